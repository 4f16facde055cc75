"""A mongod of the test's own, to be frozen and killed."""

import signal
import socket
import subprocess
import time
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from flaas.store.embedded import find_mongod


class Mongod:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = str(probe.getsockname()[1])
        self.uri = f"mongodb://127.0.0.1:{self._port}/flaas"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """On the data that it had before."""
        self._process = subprocess.Popen(
            [
                *(find_mongod(), "--dbpath", self._folder, "--port", self._port),
                *("--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"),
                *("--logpath", self._folder / "mongod.log", "--logappend"),
            ],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        with MongoClient[dict[str, object]](self.uri, serverSelectionTimeoutMS=100) as client:
            while True:
                try:
                    client.admin.command("ping")
                except PyMongoError:
                    assert self._process.poll() is None
                    assert time.monotonic() < deadline
                else:
                    return

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _signal(self, number: int) -> None:
        assert self._process
        self._process.send_signal(number)
