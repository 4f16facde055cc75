"""Sums of many updates in one canonical order.

Updates, sorted by device id, are the leaves of a tree in which every node is the float64 sum of
up to `FAN_IN` children, added in order. The order is a part of the result: whoever follows it
gets the same bits, whatever the engine, the number of threads or of repeats. The tree also
keeps the error of a sum of n updates near that of log(n) additions.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

FAN_IN: Final = 64

_BLOCK: Final = 1 << 17
"""Parameters that are summed over several updates before the next ones: their sums, 1 MiB, stay
in a core's cache meanwhile. Smaller blocks make threads wait for the interpreter's lock."""


def levels(updates: int) -> int:
    """Of the tree over that many updates: as many accumulators there are."""
    count = 1
    while updates >= FAN_IN:
        updates //= FAN_IN
        count += 1
    return count


class TreeSum:
    """Adds updates in their order, some at a time, piece by piece.

    Holds one float64 accumulator of the model's length a level: two below 4,097 updates. Pieces
    that do not overlap may be added in threads beside each other.
    """

    def __init__(self, parameters: int) -> None:
        self.parameters = parameters
        self.updates = 0
        self._levels: list[_Node] = []

    @property
    def room(self) -> int:
        """How many updates may be added before they are ended, at least one."""
        return FAN_IN - self._levels[0].children if self._levels else FAN_IN

    def begin(self) -> None:
        """Make room for the next updates, before threads add to it."""
        self._level(0)

    def add(self, offset: int, updates: Sequence[NDArray[np.floating]]) -> None:
        """Add the same piece of the next updates, at most `room` of them: each of shape (n,),
        from parameter `offset` on."""
        self._level(0).add(offset, updates)

    def end_updates(self, count: int) -> None:
        """That many updates are whole: all `parameters` of them were added."""
        self.updates += count
        self._end_children(0, count)

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

    def _end_children(self, level: int, count: int) -> None:
        node = self._levels[level]
        node.children += count
        if node.children == FAN_IN:
            self._carry(level)

    def _carry(self, level: int) -> None:
        """A full node becomes a child of the level above."""
        self._level(level + 1).add(0, [self._levels[level].sum])
        self._levels[level].children = 0
        self._end_children(level + 1, 1)


class _Node:
    def __init__(self, parameters: int) -> None:
        self.sum: NDArray[np.float64] = np.empty(parameters, np.float64)
        self.children = 0

    def add(self, offset: int, children: Sequence[NDArray[np.floating]]) -> None:
        for start in range(0, len(children[0]), _BLOCK):
            pieces = [child[start : start + _BLOCK] for child in children]
            part = self.sum[offset + start : offset + start + len(pieces[0])]
            if not self.children:
                # The first child is copied: adding to zero would turn a -0.0 into a 0.0.
                part[...] = pieces.pop(0)
            for piece in pieces:
                np.add(part, piece, out=part)
