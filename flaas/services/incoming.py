"""A file on its way into the store, piece by piece."""

import contextlib
import hashlib
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from flaas.aggregation.update import NonFiniteCount
from flaas.domain.errors import FlaasError, TooLarge
from flaas.domain.ports import Files, FileWriter

T = TypeVar("T")

_WRITE_BYTES: Final = 1 << 20
"""Pieces come from the network in small change; the store gets them a megabyte at a time."""


class Incoming(ABC, Generic[T]):
    """An async context manager around `write`s and one `finish`.

    Leaving it without `finish` stores nothing. A `key` of None stores nothing in any case: the
    bytes are only measured. `limit` is the most bytes that are taken.
    """

    def __init__(self, files: Files, key: str | None, limit: int) -> None:
        self.limit = limit
        self._files = files
        self._key = key
        self._received = 0
        self._digest = hashlib.sha256()
        self._non_finite = NonFiniteCount()
        self._pending = bytearray()
        self._writer: FileWriter | None = None
        self._resources = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._key is not None:
            writer = self._files.create(self._key)
            self._writer = await self._resources.enter_async_context(writer)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Not left to the garbage collector, which comes late where it pleases.
        self._pending.clear()
        await self._resources.__aexit__(kind, error, trace)

    async def write(self, piece: bytes) -> None:
        """Take the next piece; waits where the store is slower. Raises as soon as the limit is
        passed."""
        self._received += len(piece)
        if self._received > self.limit:
            raise self.too_long()
        self._digest.update(piece)
        self._non_finite.feed(piece)
        if self._writer is not None:
            self._pending += piece
            if len(self._pending) >= _WRITE_BYTES:
                await self._flush(self._writer)

    @abstractmethod
    async def finish(self) -> T:
        """Check the whole and store it. Raises `FlaasError`, and has stored nothing then."""

    def too_long(self) -> FlaasError:
        return TooLarge(f"At most {self.limit} bytes are taken here.")

    async def _commit(self) -> None:
        if self._writer is not None:
            await self._flush(self._writer)
            await self._writer.commit()

    async def _flush(self, writer: FileWriter) -> None:
        piece = bytes(self._pending)
        self._pending.clear()
        await writer.write(piece)
