"""A server in a process of its own, whose memory can be read."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_SERVER = Path(__file__).parent.parent.parent / "server.py"


@dataclass(frozen=True)
class Served:
    url: str
    pid: int
    log: Path

    def begin_peak(self) -> int:
        """Bytes that the process has resident now; `peak` counts from here."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self._status("VmRSS")

    def peak(self) -> int:
        """The most bytes that were resident since `begin_peak`."""
        return self._status("VmHWM")

    def _status(self, name: str) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
        assert found
        return int(found[1]) * 1024


@contextmanager
def serving(
    data_dir: Path, environ: Mapping[str, str], prefix: Sequence[str] = ()
) -> Iterator[Served]:
    """The server, from its first answer until it has drained. `prefix` is a command that ends by
    executing the rest of its arguments."""
    log = data_dir.parent / "server.log"
    command = [*prefix, sys.executable, str(_SERVER), "serve", "--data-dir", str(data_dir)]
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            command,
            stderr=errors,
            env={"PATH": os.environ["PATH"], "PORT": "0", "FLAAS_DRAIN_SECONDS": "5", **environ},
            cwd=data_dir.parent,
        ) as process,
    ):
        try:
            while not (found := re.search(r"serving at (http://\S+)", log.read_text())):
                if process.poll() is not None:
                    pytest.fail(f"it did not serve: {log.read_text()}")
                time.sleep(0.02)
            yield Served(found[1], process.pid, log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
