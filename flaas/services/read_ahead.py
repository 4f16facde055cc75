"""Reads many updates side by side, a few at a time, while the ones before are summed."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flaas.aggregation.update import DTYPE, PARAMETER_BYTES
from flaas.domain.ports import FileMissing, Files

TOGETHER: Final = 8
"""Updates that are read, and then summed, at a time. It divides the fan-in of the tree, so that
no chunk has updates of two of its nodes."""

CHUNK_PARAMETERS: Final = 1 << 20
"""That many parameters of each are held: 4 MiB, in two halves, makes 64 MiB in all."""


class Incomplete(Exception):
    """A file is missing, or ends too early."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The same parameters of some consecutive updates."""

    first: int
    """Place of the first of these updates."""
    count: int
    offset: int
    """Of the first of these parameters, from where the reading starts."""
    parameters: int
    ends_updates: bool
    """These are the last parameters of these updates."""


class Buffers:
    """Room for two chunks: one is read while the other one is summed.

    Made once and used for a whole aggregation: touching fresh memory costs more than reading.
    """

    def __init__(self, updates: int, parameters: int) -> None:
        shape = (2, min(updates, TOGETHER), min(parameters, CHUNK_PARAMETERS))
        self.parameters = shape[-1]
        self.halves: NDArray[np.float32] = np.empty(shape, DTYPE)


def chunks(updates: int, parameters: int, longest: int) -> Iterator[Chunk]:
    """All parameters of all updates, `longest` at a time, in the order in which they are summed."""
    for first in range(0, updates, TOGETHER):
        count = min(TOGETHER, updates - first)
        for offset in range(0, parameters, longest):
            length = min(longest, parameters - offset)
            yield Chunk(first, count, offset, length, offset + length == parameters)


async def read_ahead(
    files: Files, keys: Sequence[str], start: int, parameters: int, buffers: Buffers
) -> AsyncGenerator[tuple[Chunk, list[NDArray[np.float32]]], None]:
    """Each chunk with its updates' parameters, from parameter `start` of the files on.

    They are views of a buffer, and good until the next chunk is asked for. Raises `Incomplete`.
    """

    async def read(chunk: Chunk, half: int) -> list[NDArray[np.float32]]:
        rows = buffers.halves[half, : chunk.count, : chunk.parameters]
        begin = (start + chunk.offset) * PARAMETER_BYTES
        try:
            lengths = await asyncio.gather(
                *(
                    files.read_into(key, memoryview(row).cast("B"), begin)
                    for key, row in zip(keys[chunk.first :], rows, strict=False)
                )
            )
        except FileMissing as error:
            raise Incomplete(str(error)) from None
        if any(length != chunk.parameters * PARAMETER_BYTES for length in lengths):
            raise Incomplete
        return list(rows)

    work = list(chunks(len(keys), parameters, buffers.parameters))
    ahead = asyncio.create_task(read(work[0], 0))
    try:
        for number, chunk in enumerate(work):
            rows = await ahead
            if number + 1 < len(work):
                ahead = asyncio.create_task(read(work[number + 1], (number + 1) % 2))
            yield chunk, rows
    finally:
        ahead.cancel()
        await asyncio.gather(ahead, return_exceptions=True)
