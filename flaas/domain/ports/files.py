"""Files: what an object store has to offer."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from msgspec import Struct


class FileMissing(Exception):
    """There is no file of that key."""


class FileChanged(Exception):
    """The file is not the one that was asked for any more."""


class FileInfo(Struct, frozen=True):
    key: str
    size: int
    """Bytes."""
    etag: str
    """Changes when the content does; without quotes."""


class FileWriter(Protocol):
    async def write(self, data: bytes) -> None:
        """Append; waits where the store is slower than the writer."""

    async def commit(self) -> None:
        """Make all that was written the content of the key, at once and durably."""


class Files(Protocol):
    """An object store. Keys are relative paths with `/`."""

    def create(self, key: str) -> AbstractAsyncContextManager[FileWriter]:
        """A writer for `key`. Until `commit` the key is as before; leaving without discards."""

    def read(
        self, key: str, start: int = 0, end: int | None = None, *, etag: str | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, without, `end`, in pieces: all of one content, whatever
        is put in its place meanwhile.

        Raises `FileMissing`, and `FileChanged` where `etag` is given and another one's.
        """

    async def read_into(self, key: str, buffer: memoryview, start: int = 0) -> int:
        """Fill `buffer`, of bytes, with the file's from `start` on; how many there were: fewer
        than it has room for where the file ends. Raises `FileMissing`."""

    async def stat(self, key: str) -> FileInfo | None:
        """None where there is no such file."""

    async def copy(self, source: str, target: str) -> None:
        """Replace `target`, at once and durably. Raises `FileMissing`."""

    def walk(self, prefix: str) -> AsyncIterator[FileInfo]:
        """Every file whose key starts with `prefix`, in the order of the keys."""

    async def delete_all(self, prefix: str) -> int:
        """Delete every file below the folder `prefix` (ends with `/`); how many there were."""

    async def delete(self, key: str) -> None:
        """Nothing where there is no such file."""

    async def discard_unfinished(self, before: datetime) -> int:
        """Take back what was begun by `create` before then and never ended, since its process was
        killed; how many there were."""

    async def link(self, key: str) -> str | None:
        """A URL that anyone can GET for a while; None where clients are to ask the server."""
