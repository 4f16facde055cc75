"""The private mongod: shared by processes, stopped by the last, on a Unix socket only."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest
from pymongo import MongoClient

from flaas.store import embedded
from flaas.store.embedded import MongodUnavailable, find_mongod, private_mongod

ROOT = Path(__file__).parents[2]

USER = """
import sys
from pathlib import Path
from flaas.store.embedded import private_mongod
with private_mongod(Path(sys.argv[1])) as uri:
    print(uri, flush=True)
    sys.stdin.readline()
"""
"""A process that uses the database until its standard input ends."""


@contextmanager
def another_process(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """It uses the database by the time that this returns."""
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(data_dir)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            assert process.stdout.readline().startswith("mongodb://")
            yield process
        finally:
            process.kill()


def leave(process: subprocess.Popen[str]) -> None:
    """End the process in order."""
    process.communicate("\n", timeout=30)
    assert process.returncode == 0


def is_running(pid: int) -> bool:
    """A zombie, which a killed parent leaves to be waited for, runs no more. One that still has
    threads does: they may hold its sockets open."""
    process = Path(f"/proc/{pid}")
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        threads = len(list((process / "task").iterdir()))
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z" or threads > 1


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """A data directory, in which no mongod is left running."""
    folder = tmp_path / "data"
    yield folder
    if (folder / "mongodb" / "mongod.pid").exists() and is_running(pid := mongod_of(folder)):
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(pid)


def mongod_of(data_dir: Path) -> int:
    return int((data_dir / "mongodb" / "mongod.pid").read_text())


def write(uri: str, value: int) -> None:
    with MongoClient(uri, w="majority", journal=True) as client:
        client.get_default_database()["facts"].insert_one({"_id": value})


def read(uri: str) -> list[int]:
    with MongoClient(uri) as client:
        return [one["_id"] for one in client.get_default_database()["facts"].find().sort("_id")]


def test_a_lone_user_stops_it_and_finds_its_data_again(data_dir: Path) -> None:
    with private_mongod(data_dir) as uri:
        pid = mongod_of(data_dir)
        assert is_running(pid)
        write(uri, 1)
    assert not is_running(pid)
    with private_mongod(data_dir) as again:
        assert again == uri
        assert mongod_of(data_dir) != pid
        assert read(again) == [1]


def test_two_processes_share_it_and_the_last_one_stops_it(data_dir: Path) -> None:
    with another_process(data_dir) as first, another_process(data_dir) as second:
        pid = mongod_of(data_dir)
        leave(first)
        assert is_running(pid)
        with private_mongod(data_dir) as uri:
            assert mongod_of(data_dir) == pid
            write(uri, 1)
        assert is_running(pid)
        leave(second)
    assert not is_running(pid)


def test_users_of_one_process_share_it_too(data_dir: Path) -> None:
    with private_mongod(data_dir) as outer:
        pid = mongod_of(data_dir)
        with private_mongod(data_dir) as inner:
            assert inner == outer
        assert is_running(pid)
    assert not is_running(pid)


def test_processes_that_start_at_once_start_one(data_dir: Path) -> None:
    command = [sys.executable, "-c", USER, str(data_dir)]
    started = [
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    uris = set()
    for process in started:
        assert process.stdout
        uris.add(process.stdout.readline())
    log = (data_dir / "mongodb" / "mongod.log").read_text()
    pid = mongod_of(data_dir)
    for process in started:
        leave(process)
    assert len(uris) == 1
    assert log.count('"msg":"MongoDB starting"') == 1
    assert not is_running(pid)


def test_what_a_killed_user_leaves_serves_the_next_who_stops_it(data_dir: Path) -> None:
    with another_process(data_dir) as user:
        pid = mongod_of(data_dir)
        user.kill()
        user.wait()
    assert is_running(pid)
    with private_mongod(data_dir) as uri:
        assert mongod_of(data_dir) == pid
        assert read(uri) == []
    assert wait_until_gone(pid)


def test_a_killed_user_is_not_waited_for_by_those_who_stay(data_dir: Path) -> None:
    with another_process(data_dir) as killed, private_mongod(data_dir):
        pid = mongod_of(data_dir)
        killed.kill()
        killed.wait()
    assert wait_until_gone(pid)


def test_after_a_killed_mongod_what_was_acknowledged_is_there(data_dir: Path) -> None:
    with private_mongod(data_dir) as uri, MongoClient(uri, w="majority", journal=True) as client:
        facts = client.get_default_database()["facts"]
        for number in range(200):
            facts.insert_one({"_id": number})
        pid = mongod_of(data_dir)
        os.kill(pid, signal.SIGKILL)
        assert wait_until_gone(pid)
        # Who comes now starts it again, while the first user is still there.
        with private_mongod(data_dir) as again:
            assert read(again) == list(range(200))
            second = mongod_of(data_dir)
            assert second != pid
        assert is_running(second)
    assert not is_running(second)


def test_a_stale_socket_file_is_no_obstacle(data_dir: Path) -> None:
    """As after a power cut: neither a user nor mongod could clean up."""
    with private_mongod(data_dir) as uri:
        pass
    socket_file = Path(unquote(uri.removeprefix("mongodb://").rpartition("/")[0]))
    socket_file.parent.mkdir(mode=0o700, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(socket_file))
    assert socket_file.is_socket()
    with private_mongod(data_dir) as again:
        assert again == uri
        assert read(uri) == []


@pytest.mark.parametrize("length", [60, 107, 200])
def test_a_deep_data_directory_works(tmp_path: Path, length: int) -> None:
    deep = tmp_path
    while len(os.fsencode(deep)) < length:
        deep /= "f" * 30
    with private_mongod(deep / "data") as uri, private_mongod(deep / "data") as again:
        assert uri == again
        write(uri, 1)
        pid = mongod_of(deep / "data")
    assert not is_running(pid)
    assert (deep / "data" / "mongodb" / "db").is_dir()


def test_two_deep_data_directories_are_two_databases(tmp_path: Path) -> None:
    deep = tmp_path / ("f" * 60) / ("g" * 60)
    with private_mongod(deep / "a") as one, private_mongod(deep / "b") as other:
        assert one != other
        write(one, 1)
        assert read(other) == []


def test_a_relative_data_directory_is_the_same_as_its_absolute_path(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data_dir.parent)
    with private_mongod(Path("data")) as relative, private_mongod(data_dir) as absolute:
        assert relative == absolute


def test_no_tcp_port_is_opened_and_nobody_else_can_connect(data_dir: Path) -> None:
    with private_mongod(data_dir):
        pid = mongod_of(data_dir)
        inodes = set()
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = str(link.readlink()) if link.is_symlink() else ""
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
        tcp = [
            line.split()[9]
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        ]
        assert inodes
        assert not inodes & set(tcp)
        assert (data_dir / "mongodb").stat().st_mode & 0o077 == 0


def test_its_cache_is_small(data_dir: Path) -> None:
    with private_mongod(data_dir) as uri, MongoClient(uri) as client:
        cache = client.admin.command("serverStatus")["wiredTiger"]["cache"]
        assert cache["maximum bytes configured"] <= 512 * 1024**2


@pytest.mark.parametrize(
    "content",
    ["#!/bin/sh\nexit 3\n", "#!/nowhere/at/all\n", "not a program", ""],
    ids=["it ends at once", "no interpreter", "no program", "an empty file"],
)
def test_a_broken_mongod_is_said_in_one_line(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "mongod").write_text(content)
    (folder / "mongod").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    with pytest.raises(MongodUnavailable, match="MONGODB_URI") as caught, private_mongod(data_dir):
        pass
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    with private_mongod(data_dir) as uri:
        assert read(uri) == []


def test_a_mongod_that_does_not_start_in_time_is_given_up(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "mongod").write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    (folder / "mongod").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(embedded, "_START_SECONDS", 0.5)
    with pytest.raises(MongodUnavailable, match="MONGODB_URI"), private_mongod(data_dir):
        pass
    assert wait_until_gone(int((tmp_path / "pid").read_text()))


def test_without_a_mongod_the_way_out_is_said(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    def none(package: str) -> Path:
        raise ModuleNotFoundError(package)

    monkeypatch.setattr(embedded.importlib.resources, "files", none)
    with pytest.raises(MongodUnavailable, match="MONGODB_URI") as caught, private_mongod(data_dir):
        pass
    assert "\n" not in str(caught.value)


def test_the_mongod_on_the_path_comes_before_the_bundled_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundled = find_mongod()
    shutil.copy("/bin/true", tmp_path / "mongod")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_mongod() == tmp_path / "mongod"
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_mongod().name == bundled.name == "mongod"


def test_damaged_data_files_are_said_in_one_line(data_dir: Path) -> None:
    with private_mongod(data_dir):
        pass
    (data_dir / "mongodb" / "db" / "WiredTiger").write_bytes(b"no longer what it was")
    (data_dir / "mongodb" / "db" / "WiredTiger.wt").write_bytes(b"")
    with pytest.raises(MongodUnavailable, match=r"mongod\.log"), private_mongod(data_dir):
        pass


def test_a_mongod_that_died_takes_no_other_process_with_it(data_dir: Path) -> None:
    """The number of a process that died may be another's by the time that its user leaves."""
    with subprocess.Popen(["sleep", "60"]) as innocent:
        try:
            with private_mongod(data_dir):
                pid = mongod_of(data_dir)
                os.kill(pid, signal.SIGKILL)
                assert wait_until_gone(pid)
                (data_dir / "mongodb" / "mongod.pid").write_text(f"{innocent.pid}\n")
            assert innocent.poll() is None
        finally:
            innocent.kill()
