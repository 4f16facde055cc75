"""Training data for simulated phones: handwritten digits, in the files of CIFAR-10.

The digits are the 1,797 images of 8x8 pixels that come with scikit-learn. A record is 3,073
bytes: a label (0 to 9), then a 32x32 image as three planes of 1,024 bytes, all the same grey.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flaas.domain.project import DatasetType

RECORD_SIZE: Final = 3073
CLASSES: Final = 10

_SCALE: Final = 4  # from 8x8 to 32x32
_BRIGHTEST: Final = 16  # of a digit; 255 in a record

RecordArray: TypeAlias = NDArray[np.uint8]


class DataMissing(Exception):
    """The digits cannot be loaded; the text says what to install."""


@dataclass(frozen=True)
class Digits:
    """The digits as records: uint8 arrays of shape (records, 3073)."""

    train: RecordArray
    """What the phones get."""
    test_records: RecordArray
    """What no phone ever gets."""

    @classmethod
    def load(cls, *, test_share: float = 0.2, seed: int = 0) -> Self:
        """Shuffle the digits and hold out `test_share` of them. Raises `DataMissing`."""
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise DataMissing(
                "The simulated phones train on scikit-learn's digits, which are not installed. "
                "Run: pip install -r requirements-dev.txt"
            ) from error
        bundle = load_digits()
        records = to_records(bundle.images, bundle.target)
        records = records[np.random.default_rng(seed).permutation(len(records))]
        held_out = round(len(records) * test_share)
        return cls(train=records[held_out:], test_records=records[:held_out])

    @property
    def test(self) -> bytes:
        """The central test set, as a samples file: for the accuracy of a global model."""
        return self.test_records.tobytes()


def to_records(images: NDArray[np.float64], labels: NDArray[np.int64]) -> RecordArray:
    """Records of shape (n, 3073) from images of shape (n, 8, 8), 0 to 16, and n labels."""
    grey = np.rint(images * (255 / _BRIGHTEST)).astype(np.uint8)
    large = grey.repeat(_SCALE, axis=1).repeat(_SCALE, axis=2)
    plane = large.reshape(len(images), -1)
    label = labels.astype(np.uint8)[:, np.newaxis]
    return np.concatenate([label, plane, plane, plane], axis=1)


def split(
    digits: Digits,
    devices: int,
    apps: int,
    kind: DatasetType,
    rng: np.random.Generator,
    *,
    minimum: int = 40,
    alpha: float = 0.5,
) -> Iterator[list[bytes]]:
    """For each device, the samples file of each of its apps.

    IID gives every device equal shares of a shuffle. NonIID draws the mix of classes of each
    device from a Dirichlet distribution (Hsu et al. 2019, arXiv:1909.06335); the smaller `alpha`
    is, the fewer classes a device sees.

    All files hold the same number of records. As long as every file gets `minimum` records, no
    record is given out twice. With more devices than that, each draws `minimum` records a file
    from all digits: then devices share records, but one device still has none twice, so what it
    holds out for its own evaluation is not in what it trains on.

    A device's files are made when they are asked for: 10,000 devices are some 4 GB.
    Raises `ValueError` when there are fewer digits than one device must get.
    """
    digits_left = len(digits.train)
    share = max(minimum, digits_left // (devices * apps))
    if share * apps > digits_left:
        raise ValueError(f"{apps} apps of {share} records each, but only {digits_left} digits")
    shared = share * apps * devices > digits_left
    pool = _Pool(digits.train, rng)
    for _ in range(devices):
        if shared:
            pool = _Pool(digits.train, rng)
        if kind is DatasetType.IID:
            drawn = pool.take(share * apps)
        else:
            drawn = pool.take_mixed(share * apps, rng.dirichlet([alpha] * CLASSES))
        rng.shuffle(drawn)
        yield [digits.train[part].tobytes() for part in np.split(drawn, apps)]


class _Pool:
    """Shuffled record numbers, from which each is taken once."""

    def __init__(self, records: RecordArray, rng: np.random.Generator) -> None:
        self._rng = rng
        self._order = rng.permutation(len(records))
        self._classes = records[self._order, 0]

    def take(self, count: int) -> NDArray[np.int64]:
        """The next `count` numbers of the shuffle."""
        return self._remove(np.arange(count))

    def take_mixed(self, count: int, mix: NDArray[np.float64]) -> NDArray[np.int64]:
        """`count` numbers with classes mixed in the ratio of `mix`, as far as there are any.

        What an exhausted class cannot give comes from the others, in their ratio.
        """
        # The floor lets a class that the mix all but excludes help out when no other is left.
        odds = np.maximum(mix, 1e-9)
        left = np.bincount(self._classes, minlength=CLASSES)
        wanted = np.zeros(CLASSES, dtype=np.int64)
        while missing := count - int(wanted.sum()):
            open_odds = np.where(wanted < left, odds, 0.0)
            more = self._rng.multinomial(missing, open_odds / open_odds.sum())
            wanted = np.minimum(wanted + more, left)
        return self._remove(
            np.concatenate(
                [
                    np.flatnonzero(self._classes == label)[: wanted[label]]
                    for label in range(CLASSES)
                ]
            )
        )

    def _remove(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        taken = self._order[positions]
        self._order = np.delete(self._order, positions)
        self._classes = np.delete(self._classes, positions)
        return taken


def write_samples(
    directory: Path,
    kind: DatasetType,
    devices: Iterable[Sequence[bytes]],
    *,
    first_index: int = 0,
) -> int:
    """Write `<directory>/<kind>/<samples index>/<app>/samples.bin`; answers how many devices."""
    count = 0
    for index, files in enumerate(devices, first_index):
        for app, content in enumerate(files):
            path = directory / kind / str(index) / str(app) / "samples.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        count += 1
    return count
