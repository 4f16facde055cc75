"""Files in a local directory, which several processes may share."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from stat import S_ISREG
from typing import Final, Self
from uuid import uuid4

from flaas.domain.ports import FileChanged, FileInfo, FileMissing, FileWriter
from flaas.files.blocking import PIECE, OpenFile, copy_contents, put_in_place, read_into
from flaas.files.errors import FilesUnavailable, full_disk_told
from flaas.files.keys import check_folder, check_key, check_prefix

_PARTIAL: Final = ".partial"
_LEFTOVER_AGE: Final = timedelta(days=1)
"""Without a write for that long, a partial file is a killed process's."""

_NO_FILE: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class DirectoryFiles:
    """A `Files` below a folder. Raises `errors.NoRoom` where the disk is full, else OSError as the
    system does, and ValueError for a bad key.

    A file is written in a hidden folder and then moved to its key, never changed in place. So
    whoever reads one keeps what was there when the reading began.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._partials = self._root / _PARTIAL

    @classmethod
    @asynccontextmanager
    async def open(cls, root: Path) -> AsyncIterator[Self]:
        """Make the folder where it is missing, and remove what killed processes left.

        Raises `FilesUnavailable`.
        """
        files = cls(root)
        try:
            await asyncio.to_thread(files._prepare)
        except OSError as error:
            raise FilesUnavailable(f"the folder {root} cannot be used: {error}") from error
        yield files

    @asynccontextmanager
    async def create(self, key: str) -> AsyncIterator[FileWriter]:
        target = self._path(key)
        partial = self._new_partial()
        file = OpenFile(partial, "xb")
        try:
            with full_disk_told():
                await asyncio.to_thread(file.open)
            yield _Writer(file, partial, target)
        finally:
            await asyncio.shield(asyncio.to_thread(_discard, file, partial))

    async def read(
        self, key: str, start: int = 0, end: int | None = None, *, etag: str | None = None
    ) -> AsyncIterator[bytes]:
        file = OpenFile(self._path(key), "rb")
        try:
            await asyncio.to_thread(file.open, start)
            if etag is not None and _etag(await asyncio.to_thread(file.status)) != etag:
                raise FileChanged(key)
            while end is None or start < end:
                size = PIECE if end is None else min(PIECE, end - start)
                piece = await asyncio.to_thread(file.read, size)
                if not piece:
                    break
                start += len(piece)
                yield piece
        except _NO_FILE:
            raise FileMissing(key) from None
        finally:
            await asyncio.shield(asyncio.to_thread(file.close))

    async def read_into(self, key: str, buffer: memoryview, start: int = 0) -> int:
        try:
            return await asyncio.to_thread(read_into, self._path(key), buffer, start)
        except _NO_FILE:
            raise FileMissing(key) from None

    async def stat(self, key: str) -> FileInfo | None:
        return await asyncio.to_thread(_info, key, self._path(key))

    async def copy(self, source: str, target: str) -> None:
        origin, goal, partial = self._path(source), self._path(target), self._new_partial()
        try:
            if await self.stat(source) is None:
                raise FileMissing(source)
            # A hard link would be instant and, as far as this class goes, safe. But an operator's
            # `cp new.bin models/M.bin` writes in place, and through the link it would change every
            # round that began from the old one.
            with full_disk_told():
                await asyncio.to_thread(copy_contents, origin, partial)
                await asyncio.to_thread(put_in_place, partial, goal)
        finally:
            await asyncio.shield(asyncio.to_thread(partial.unlink, missing_ok=True))

    async def walk(self, prefix: str) -> AsyncIterator[FileInfo]:
        check_prefix(prefix)
        folder, slash, _ = prefix.rpartition("/")
        ahead: list[FileInfo | str] = [folder + slash]
        while ahead:
            found = ahead.pop()
            if isinstance(found, FileInfo):
                yield found
            else:
                inside = await asyncio.to_thread(self._list, found)
                ahead += [one for one in reversed(inside) if _key(one).startswith(prefix)]

    async def delete_all(self, prefix: str) -> int:
        check_folder(prefix)
        self._path(prefix[:-1])
        return await asyncio.to_thread(self._delete, prefix)

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(self._path(key).unlink, missing_ok=True)

    async def discard_unfinished(self, before: datetime) -> int:
        return await asyncio.to_thread(self._discard_unfinished, before)

    async def link(self, key: str) -> str | None:
        check_key(key)
        return None

    def _path(self, key: str) -> Path:
        check_key(key)
        if key.split("/", 1)[0] == _PARTIAL:
            raise ValueError(f"not a key: {key!r}")
        return self._below(key)

    def _below(self, key: str) -> Path:
        """Where a key is. A wall of its own behind `check_key`: a deletion that got past the root
        would take the machine with it, so no single mistake may open the way."""
        # Joined as text: `root / key` would be `key` alone where that begins with `/`.
        path = Path(os.path.normpath(f"{self._root}/{key}"))
        if not path.is_relative_to(self._root):
            raise ValueError(f"not below {self._root}: {key!r}")
        return path

    def _new_partial(self) -> Path:
        return self._partials / uuid4().hex

    def _prepare(self) -> None:
        self._partials.mkdir(parents=True, exist_ok=True)
        self._discard_unfinished(datetime.now(UTC) - _LEFTOVER_AGE)

    def _discard_unfinished(self, before: datetime) -> int:
        discarded = 0
        for partial in self._partials.iterdir():
            with suppress(FileNotFoundError):
                if partial.stat().st_mtime < before.timestamp():
                    partial.unlink()
                    discarded += 1
        return discarded

    def _list(self, folder: str) -> list[FileInfo | str]:
        """The files and folders right below a folder, in the order of keys. Names of folders end
        with `/`: that is what puts `a.b` before `a/b`, as in a bucket."""
        found: list[FileInfo | str] = []
        with suppress(*_NO_FILE), os.scandir(self._below(folder)) as entries:
            for entry in entries:
                key = folder + entry.name
                if not entry.is_dir(follow_symlinks=False):
                    info = _info(key, Path(entry.path))
                    if info is not None:
                        found.append(info)
                elif key != _PARTIAL:
                    found.append(f"{key}/")
        return sorted(found, key=_key)

    def _delete(self, folder: str) -> int:
        deleted = 0
        for found in self._list(folder):
            if isinstance(found, str):
                deleted += self._delete(found)
            else:
                with suppress(FileNotFoundError):
                    self._below(found.key).unlink()
                    deleted += 1
        # Another process may just have put a new file there, or have removed the folder itself.
        with suppress(OSError):
            self._below(folder).rmdir()
        return deleted


class _Writer:
    def __init__(self, file: OpenFile, partial: Path, target: Path) -> None:
        self._file = file
        self._partial = partial
        self._target = target

    async def write(self, data: bytes) -> None:
        with full_disk_told():
            await asyncio.to_thread(self._file.write, data)

    async def commit(self) -> None:
        with full_disk_told():
            await asyncio.to_thread(self._commit)

    def _commit(self) -> None:
        self._file.sync()
        put_in_place(self._partial, self._target)


def _discard(file: OpenFile, partial: Path) -> None:
    file.close()
    partial.unlink(missing_ok=True)


def _info(key: str, path: Path) -> FileInfo | None:
    try:
        status = path.stat()
    except _NO_FILE:
        return None
    if not S_ISREG(status.st_mode):
        return None
    return FileInfo(key, status.st_size, _etag(status))


def _etag(status: os.stat_result) -> str:
    return f"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ino:x}"


def _key(found: FileInfo | str) -> str:
    return found if isinstance(found, str) else found.key
