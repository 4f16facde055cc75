"""Sums of many updates in one canonical order.

Updates, sorted by device id, are the leaves of a tree in which every node is the float64 sum of
up to `FAN_IN` children, added in order. The order is a part of the result: whoever follows it
gets the same bits, whatever the engine, the number of threads or of repeats. The tree also
keeps the error of a sum of n updates near that of log(n) additions.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

FAN_IN: Final = 64


class TreeSum:
    """Adds updates one after the other, each in consecutive pieces.

    Holds one float64 accumulator of the model's length a level: two below 4,097 updates.
    """

    def __init__(self, parameters: int) -> None:
        self.parameters = parameters
        self.updates = 0
        self._levels: list[_Node] = []

    def add(self, offset: int, values: NDArray[np.float32]) -> None:
        """Add a piece of the current update: `values`, shape (n,), from parameter `offset` on."""
        self._level(0).add(offset, values)

    def end_update(self) -> None:
        """The current update is whole: all `parameters` of it were added."""
        self.updates += 1
        self._end_child(0)

    def total(self) -> NDArray[np.float64]:
        """The sum over all updates, shape (parameters,). Ends the use of this object.

        Raises `ValueError` when there was no update.
        """
        if not self.updates:
            raise ValueError("no update was added")
        for level in range(len(self._levels) - 1):
            if self._levels[level].children:
                self._carry(level)
        return self._levels[-1].sum

    def _level(self, level: int) -> "_Node":
        if level == len(self._levels):
            self._levels.append(_Node(self.parameters))
        return self._levels[level]

    def _end_child(self, level: int) -> None:
        node = self._levels[level]
        node.children += 1
        if node.children == FAN_IN:
            self._carry(level)

    def _carry(self, level: int) -> None:
        """A full node becomes a child of the level above."""
        self._level(level + 1).add(0, self._levels[level].sum)
        self._levels[level].children = 0
        self._end_child(level + 1)


class _Node:
    def __init__(self, parameters: int) -> None:
        self.sum: NDArray[np.float64] = np.empty(parameters, np.float64)
        self.children = 0

    def add(self, offset: int, values: NDArray[np.floating]) -> None:
        part = self.sum[offset : offset + len(values)]
        if self.children:
            np.add(part, values, out=part)
        else:
            # The first child is copied: adding to zero would turn a -0.0 into a 0.0.
            part[...] = values
