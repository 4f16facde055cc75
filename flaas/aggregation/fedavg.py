"""FedAvg: the next global model is the mean of the updates.

McMahan, Moore, Ramage, Hampson, Agüera y Arcas: Communication-Efficient Learning of Deep
Networks from Decentralized Data, AISTATS 2017 (arXiv:1602.05629). Devices submit whole weights
and count equally, as the phones in the field expect: every one trains on as many samples.
"""

import numpy as np
from numpy.typing import NDArray

from flaas.aggregation.tree import TreeSum
from flaas.aggregation.update import DTYPE


class FedAvg:
    """One pass over the updates, each in consecutive pieces, in the order of device ids."""

    def __init__(self, parameters: int) -> None:
        self._sum = TreeSum(parameters)

    def add(self, offset: int, values: NDArray[np.float32]) -> None:
        """A piece of the current update: shape (n,), from parameter `offset` on."""
        self._sum.add(offset, values)

    def end_update(self) -> None:
        """The current update is whole."""
        self._sum.end_update()

    def model(self) -> NDArray[np.float32]:
        """The mean, shape (parameters,), little-endian. Raises `ValueError` without updates."""
        total = self._sum.total()
        total /= self._sum.updates
        return total.astype(DTYPE)
