"""FedAvg: the next global model is the mean of the updates.

McMahan, Moore, Ramage, Hampson, Agüera y Arcas: Communication-Efficient Learning of Deep
Networks from Decentralized Data, AISTATS 2017 (arXiv:1602.05629). Devices submit whole weights
and count equally, as the phones in the field expect: every one trains on as many samples.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flaas.aggregation.tree import TreeSum
from flaas.aggregation.update import DTYPE


class FedAvg:
    """One pass over the updates, in the order of device ids; used as a `TreeSum` is."""

    def __init__(self, parameters: int) -> None:
        self._sum = TreeSum(parameters)

    @property
    def room(self) -> int:
        """How many updates may be added before they are ended, at least one."""
        return self._sum.room

    def begin(self) -> None:
        """Make room for the next updates, before threads add to it."""
        self._sum.begin()

    def add(self, offset: int, updates: Sequence[NDArray[np.float32]]) -> None:
        """The same piece of the next updates: each of shape (n,), from parameter `offset` on."""
        self._sum.add(offset, updates)

    def end_updates(self, count: int) -> None:
        """That many updates are whole."""
        self._sum.end_updates(count)

    def model(self) -> NDArray[np.float32]:
        """The mean, shape (parameters,), little-endian. Raises `ValueError` without updates."""
        total = self._sum.total()
        total /= self._sum.updates
        return total.astype(DTYPE)
