"""File work that blocks: to be called in threads. Raises OSError as the system does."""

import os
import shutil
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Final

PIECE: Final = 1024 * 1024
"""Bytes that are read at a time."""


class OpenFile:
    """One file for calls in threads.

    A call runs on when its awaiting caller is cancelled. The lock lets it end before `close`
    does its work, so that it never touches a descriptor that by then is another file's.
    """

    def __init__(self, path: Path, mode: str) -> None:
        self._path = path
        self._mode = mode
        self._lock = Lock()
        self._file: FileIO | None = None
        self._closed = False

    def open(self, position: int = 0) -> None:
        with self._lock:
            if not self._closed:
                self._file = FileIO(self._path, self._mode)
                self._file.seek(position)

    def status(self) -> os.stat_result:
        """Of the file that is open, whatever has its name by now."""
        with self._lock:
            return os.fstat(self._opened().fileno())

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""
        with self._lock:
            return self._opened().read(size)

    def write(self, data: bytes) -> None:
        with self._lock:
            left = memoryview(data)
            while left:
                left = left[self._opened().write(left) :]

    def sync(self) -> None:
        """Flush to the disk and close, also when that failed: a second try would succeed falsely,
        since the system reports a page that it could not write only once."""
        with self._lock, self._opened() as file:
            os.fsync(file.fileno())

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()

    def _opened(self) -> FileIO:
        if self._file is None or self._file.closed:
            raise ValueError("the file is closed")
        return self._file


def read_into(path: Path, buffer: memoryview, start: int) -> int:
    """Fill `buffer` from `start` on; the number of bytes that there were."""
    filled = 0
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while filled < len(buffer) and (count := file.readinto(buffer[filled:])):
            filled += count
    return filled


def copy_contents(source: Path, target: Path) -> None:
    """Make `target` a flushed copy of `source`."""
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, PIECE)
        writer.flush()
        os.fsync(writer.fileno())


def put_in_place(partial: Path, target: Path) -> None:
    """Move a flushed file to `target`, durably."""
    while True:
        try:
            _make_folder(target.parent)
            partial.replace(target)
            _sync_folder(target.parent)
        except FileNotFoundError:
            # A deletion took the emptied folder away in between; nobody touches the partial file.
            if not partial.exists():
                raise
        else:
            return


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Flush the names in a folder: without it a new file can be gone after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
