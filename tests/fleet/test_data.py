import sys
from pathlib import Path

import numpy as np
import pytest

from flaas.domain.project import DatasetType
from flaas.fleet.data import RECORD_SIZE, DataMissing, Digits, split, to_records, write_samples


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def table(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8).reshape(-1, RECORD_SIZE)


def rows(data: bytes) -> list[bytes]:
    return [row.tobytes() for row in table(data)]


def test_a_record_is_a_label_and_three_equal_planes_of_the_enlarged_image() -> None:
    image = np.zeros((1, 8, 8))
    image[0, 0, 1] = 16
    image[0, 7, 7] = 8

    record = to_records(image, np.array([5]))

    assert record.shape == (1, 3073)
    assert record[0, 0] == 5
    planes = record[0, 1:].reshape(3, 32, 32)
    assert (planes == planes[0]).all()
    assert (planes[0, :4, 4:8] == 255).all()
    assert (planes[0, 28:, 28:] == 128).all()
    assert np.count_nonzero(planes[0]) == 32


def test_the_test_set_is_a_fifth_that_no_device_gets(digits: Digits) -> None:
    assert (len(digits.train), len(digits.test_records)) == (1438, 359)
    given = {
        row
        for device in split(digits, 4, 3, DatasetType.IID, rng())
        for file in device
        for row in rows(file)
    }
    # A few digits are scanned twice in the data set; none of the others may be shared.
    shared = given & set(rows(digits.test))
    assert len(given) > 1400
    assert len(shared) <= 2


def test_loading_is_repeatable(digits: Digits) -> None:
    assert Digits.load().test == digits.test


def test_without_scikit_learn_the_text_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)

    with pytest.raises(DataMissing, match=r"pip install -r requirements-dev\.txt"):
        Digits.load()


@pytest.mark.parametrize("kind", DatasetType)
def test_few_devices_share_nothing_and_files_are_of_one_size(
    digits: Digits, kind: DatasetType
) -> None:
    numbered = number(digits)
    files = [file for device in split(numbered, 8, 3, kind, rng()) for file in device]

    assert len(files) == 24
    assert {len(file) for file in files} == {59 * RECORD_SIZE}
    given = np.concatenate([numbers(file) for file in files])
    assert len(set(given)) == len(given)


@pytest.mark.parametrize("kind", DatasetType)
def test_many_devices_share_records_but_no_device_has_one_twice(
    digits: Digits, kind: DatasetType
) -> None:
    devices = list(split(number(digits), 40, 3, kind, rng()))

    assert len(devices) == 40
    for device in devices:
        given = np.concatenate([numbers(file) for file in device])
        assert len(given) == len(set(given)) == 3 * 40


def test_iid_devices_see_all_classes_and_non_iid_ones_few(digits: Digits) -> None:
    def largest_share(kind: DatasetType) -> float:
        shares = []
        for device in split(digits, 8, 3, kind, rng()):
            counts = np.bincount(table(b"".join(device))[:, 0], minlength=10)
            shares.append(counts.max() / counts.sum())
        return float(np.mean(shares))

    assert largest_share(DatasetType.IID) < 0.2
    assert largest_share(DatasetType.NON_IID) > 0.3


def test_the_split_follows_the_random_source(digits: Digits) -> None:
    def first(seed: int) -> list[bytes]:
        return next(split(digits, 8, 3, DatasetType.NON_IID, rng(seed)))

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_more_records_than_there_are_is_an_error(digits: Digits) -> None:
    with pytest.raises(ValueError, match="only 1438 digits"):
        next(split(digits, 2, 3, DatasetType.IID, rng(), minimum=500))


def test_the_tree_on_disk(tmp_path: Path) -> None:
    devices = [[b"a", b"b"], [b"c", b"d"]]

    count = write_samples(tmp_path, DatasetType.NON_IID, iter(devices), first_index=5)

    assert count == 2
    files = {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert files == {
        "NonIID/5/0/samples.bin": b"a",
        "NonIID/5/1/samples.bin": b"b",
        "NonIID/6/0/samples.bin": b"c",
        "NonIID/6/1/samples.bin": b"d",
    }


def number(digits: Digits) -> Digits:
    """The digits with a number in the first two pixels, to tell equal images apart."""
    train = digits.train.copy()
    train[:, 1:3] = np.arange(len(train), dtype=">u2").view(np.uint8).reshape(-1, 2)
    return Digits(train, digits.test_records)


def numbers(data: bytes) -> np.ndarray:
    return table(data)[:, 1:3].copy().view(">u2")[:, 0]
