"""The command line as operators call it: real processes on a data directory of their own."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import argon2
import pytest
from pymongo import MongoClient

from flaas.cli import commands
from flaas.store.documents import dump
from flaas.store.embedded import private_mongod

from .store.records import project
from .support import DEVICE_INFO, Caller, Operator, floats

SERVER = Path(__file__).parent.parent / "server.py"
WEIGHTS = floats([1.0, 2.0, 3.0])
RECORD = bytes(3073)
ADMIN = {"FLAAS_ADMIN_USERNAME": "root", "FLAAS_ADMIN_PASSWORD": "a password of staff"}

Ran = subprocess.CompletedProcess[str]


@dataclass
class Shell:
    """Runs `server.py` with nothing of this process's environment but where programs are."""

    data_dir: Path
    environ: dict[str, str] = field(
        default_factory=lambda: {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    )

    def command(self, *arguments: str, on_data: bool = True) -> list[str]:
        place = ["--data-dir", str(self.data_dir)] if on_data else []
        return [sys.executable, str(SERVER), *arguments[:1], *place, *arguments[1:]]

    def run(self, *arguments: str, on_data: bool = True, typed: str = "", **environ: str) -> Ran:
        return subprocess.run(
            self.command(*arguments, on_data=on_data),
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environ | environ,
            cwd=self.data_dir.parent,
            check=False,
        )

    def succeed(self, *arguments: str, **options: Any) -> str:
        ran = self.run(*arguments, **options)
        assert (ran.returncode, ran.stderr) == (0, "")
        return ran.stdout

    def fail(self, *arguments: str, **options: Any) -> str:
        """The one line on standard error of a command that ends with status 1."""
        ran = self.run(*arguments, **options)
        assert (ran.returncode, ran.stdout) == (1, ""), ran.stderr
        assert ran.stderr.startswith("error: ")
        assert ran.stderr.count("\n") == 1, ran.stderr
        return ran.stderr.removeprefix("error: ").rstrip()

    @contextmanager
    def serving(self, **environ: str) -> Iterator["Served"]:
        """A server in a process of its own, from its first answer on."""
        with subprocess.Popen(
            self.command("serve"),
            stderr=subprocess.PIPE,
            text=True,
            env=self.environ | {"PORT": "0"} | environ,
            cwd=self.data_dir.parent,
        ) as process:
            assert process.stderr
            heard = []
            try:
                for line in process.stderr:
                    heard.append(line)
                    if found := re.search(r"serving at (http://\S+)", line):
                        yield Served(process, found[1])
                        return
                pytest.fail(f"it did not serve: {''.join(heard)}")
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.communicate(timeout=30)

    @property
    def mongod(self) -> int | None:
        """The private MongoDB's process, if it runs."""
        try:
            pid = int((self.data_dir / "mongodb" / "mongod.pid").read_text())
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            return None
        return None if state == "Z" else pid


@dataclass
class Served:
    process: subprocess.Popen[str]
    url: str


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Shell]:
    """Each command starts the database and stops it."""
    shell = Shell(tmp_path / "data")
    yield shell
    if (pid := shell.mongod) is not None:
        os.kill(pid, signal.SIGKILL)
        pytest.fail("a mongod was left running")


@pytest.fixture
def shell(lone: Shell) -> Iterator[Shell]:
    """The database is up already, so that commands are quick."""
    with private_mongod(lone.data_dir):
        yield lone


@pytest.fixture
def database(lone: Shell) -> Iterator[Any]:
    with private_mongod(lone.data_dir) as uri, MongoClient(uri) as client:
        yield client.get_default_database()


# --- help and wrong calls ---


def test_the_help_lists_every_command_in_one_line_each(lone: Shell) -> None:
    shown = lone.succeed("-h", on_data=False)
    assert shown == lone.succeed("--help", on_data=False) == lone.succeed("help", on_data=False)
    assert "Type 'server.py help COMMAND'" in " ".join(shown.split())
    listed = shown.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == sorted(commands.commands)
    assert all(re.fullmatch(r"  [a-z_-]+ +[A-Z].*[.]", line) for line in listed)
    assert all(len(line) <= 100 for line in listed)


@pytest.mark.parametrize("name", ["createusers", "upload-samples"])
def test_the_help_of_a_command_is_told_in_both_ways(lone: Shell, name: str) -> None:
    shown = lone.succeed("help", name, on_data=False)
    assert shown == lone.succeed(name, "-h", on_data=False)
    assert shown.startswith(f"Usage: server.py {name} ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bogus"],
        ["nonsense"],
        ["help", "nonsense"],
        ["createusers"],
        ["createusers", "0"],
        ["createusers", "5", "--bogus"],
        ["assign", "one"],
        ["serve", "--port", "many"],
        ["upload-model", "M", "nowhere.bin"],
    ],
    ids=" ".join,
)
def test_a_wrong_call_is_answered_with_the_usage(lone: Shell, arguments: list[str]) -> None:
    ran = lone.run(*arguments, on_data=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("Usage: server.py")
    assert "Traceback" not in ran.stderr
    assert list(lone.data_dir.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"PORT": "many"}, "PORT: "),
        ({"JWT_SECRET": "short"}, "JWT_SECRET: "),
        ({"DYNO": "web.1"}, "MONGODB_URI, "),
        ({"MONGODB_URI": "nonsense://db", "JWT_SECRET": "x" * 32}, "MONGODB_URI "),
    ],
)
def test_a_wrong_setting_is_one_line(lone: Shell, environ: dict[str, str], said: str) -> None:
    command = ["tick"] if "MONGODB_URI" in environ else []
    assert lone.fail(*command, on_data=False, **environ).startswith(said)


def test_a_port_that_is_taken_is_one_line(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = shell.run("serve", "--port", str(port))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.splitlines()[-1].startswith(f"error: 127.0.0.1:{port}: ")
    assert "Traceback" not in ran.stderr


def test_a_data_directory_that_is_a_file_is_one_line(lone: Shell) -> None:
    lone.data_dir.write_text("")
    assert str(lone.data_dir) in lone.fail("tick")


def test_a_broken_mongod_is_one_line(lone: Shell, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "mongod").write_text("not a program")
    (tmp_path / "bin" / "mongod").chmod(0o755)
    said = lone.fail("tick", PATH=f"{tmp_path}/bin:{os.environ['PATH']}")
    assert "MONGODB_URI" in said


# --- accounts ---


@pytest.mark.parametrize(
    ("options", "prefix", "length", "start"),
    [
        (["--prefix", "test_user"], "test_user", 10, 0),
        ([], "user", 10, 0),
        (["--prefix", "p", "--length", "16", "--samples-index-start", "7"], "p", 16, 7),
    ],
)
def test_createusers_prints_what_the_seed_shows(
    shell: Shell, options: list[str], prefix: str, length: int, start: int
) -> None:
    header, *rows = shell.succeed("createusers", "5", *options).splitlines()
    assert header == "username, password, samples_index"
    assert len(rows) == 5
    passwords = set()
    for number, row in enumerate(rows):
        found = re.fullmatch(rf"{prefix}{number + 1}, ([A-Za-z0-9]+), {start + number}", row)
        assert found, row
        passwords.add(found[1])
    assert {len(password) for password in passwords} == {length}
    assert len(passwords) == 5


def test_createusers_refuses_up_front_when_a_name_exists(shell: Shell, database: Any) -> None:
    shell.succeed("createusers", "2", "--prefix", "a")
    before = list(database["users"].find())
    begun = time.monotonic()
    said = shell.fail("createusers", "5000", "--prefix", "a")
    assert time.monotonic() - begun < 20  # five thousand passwords take longer to hash
    assert "a1" in said
    assert "nothing was created" in said
    assert list(database["users"].find()) == before
    assert list(database["counters"].find()) == [{"_id": "users", "last": 2}]


@pytest.mark.parametrize(
    ("options", "said"), [(["--length", "2"], "length"), (["--prefix", "a b"], "username")]
)
def test_createusers_names_the_wrong_option(
    shell: Shell, database: Any, options: list[str], said: str
) -> None:
    assert shell.fail("createusers", "2", *options).startswith(f"{said}: ")
    assert database["users"].count_documents({}) == 0


def test_assign_prints_what_the_seed_shows(shell: Shell, database: Any) -> None:
    database["projects"].insert_one(dump(project()))
    shell.succeed("createusers", "5", "--prefix", "test_user")
    shell.succeed("createusers", "2", "--prefix", "other")
    shown = shell.succeed("assign", "1", "--prefix", "test_user")
    assert shown == "5 user(s) assigned succesfully to project 'Project 1'\n"
    assigned = database["users"].find({"project_id": 1}, {"username": 1}).sort("_id")
    assert [one["username"] for one in assigned] == [f"test_user{n}" for n in range(1, 6)]


@pytest.mark.parametrize(
    ("number", "prefix", "said"), [("1", "nobody", "nobody"), ("7", "a", "7"), ("-1", "a", "-1")]
)
def test_assign_without_a_match_changes_nothing(
    shell: Shell, database: Any, number: str, prefix: str, said: str
) -> None:
    database["projects"].insert_one(dump(project()))
    shell.succeed("createusers", "1", "--prefix", "a")
    before = list(database["users"].find())
    assert said in shell.fail("assign", "--prefix", prefix, "--", number)
    assert list(database["users"].find()) == before


def test_createadmin_reads_the_password_from_standard_input(shell: Shell, database: Any) -> None:
    def stored() -> str:
        (found,) = database["users"].find({"username": "boss"})
        assert found["is_staff"]
        return str(found["password_hash"])

    hasher = argon2.PasswordHasher()
    assert shell.succeed("createadmin", "boss", typed="first pass\n").count("created") == 1
    assert hasher.verify(stored(), "first pass")
    assert shell.succeed("createadmin", "boss", typed="second\r\n").count("updated") == 1
    assert hasher.verify(stored(), "second")


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [("boss", "", "password"), ("boss", "\n", "password"), ("a b", "one\n", "username")],
)
def test_createadmin_refuses_what_is_no_account(
    shell: Shell, database: Any, name: str, typed: str, said: str
) -> None:
    assert shell.fail("createadmin", name, typed=typed).startswith(f"{said}: ")
    assert database["users"].count_documents({}) == 0


# --- files ---


def test_upload_model_registers_it(shell: Shell, database: Any, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(WEIGHTS)
    shown = shell.succeed("upload-model", "M", str(tmp_path / "weights.bin"))
    assert shown == "Model 'M' registered: 3 parameters.\n"
    assert (shell.data_dir / "files" / "models" / "M.bin").read_bytes() == WEIGHTS
    assert database["models"].find_one({"_id": "M"})["parameters"] == 3


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("M", b"", "0 bytes"),
        ("M", WEIGHTS[:-1], "11 bytes"),
        ("M", b"\0\0\xc0\x7f", "not finite"),
        ("../M", WEIGHTS, "name: "),
    ],
)
def test_upload_model_refuses_what_is_no_model(
    shell: Shell, database: Any, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / "weights.bin").write_bytes(content)
    assert said in shell.fail("upload-model", name, str(tmp_path / "weights.bin"))
    assert database["models"].count_documents({}) == 0
    assert list((shell.data_dir / "files").rglob("*.bin")) == []


def samples(folder: Path, *places: str, content: bytes = RECORD * 2) -> Path:
    for place in places:
        file = folder / place / "samples.bin"
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    return folder


def test_upload_samples_takes_the_layout_of_the_bucket(shell: Shell, tmp_path: Path) -> None:
    folder = samples(tmp_path / "in", "IID/0/0", "IID/0/1", "NonIID/12/2")
    assert shell.succeed("upload-samples", str(folder)) == "3 file(s) with 6 samples uploaded.\n"
    stored = shell.data_dir / "files" / "samples"
    assert (stored / "NonIID" / "12" / "2" / "samples.bin").read_bytes() == RECORD * 2
    assert len(list(stored.rglob("samples.bin"))) == 3


@pytest.mark.parametrize(
    ("place", "content", "status", "said"),
    [
        ("IID/0", RECORD, 2, "samples.bin"),
        ("IID/first/0", RECORD, 2, "TYPE/INDEX/APP"),
        ("IID/0/9", RECORD, 1, "app: "),
        ("Other/0/0", RECORD, 1, "dataset_type: "),
        ("IID/0/0", RECORD[:-1], 1, "3072 bytes"),
    ],
)
def test_upload_samples_refuses_what_is_no_sample(
    shell: Shell, tmp_path: Path, place: str, content: bytes, status: int, said: str
) -> None:
    folder = samples(tmp_path / "in", place, content=content)
    ran = shell.run("upload-samples", str(folder))
    assert (ran.returncode, ran.stdout) == (status, "")
    assert said in ran.stderr.replace("\n", " ")
    assert "Traceback" not in ran.stderr
    assert not list((shell.data_dir / "files").rglob("samples.bin"))


# --- ticks ---


def test_tick_says_what_it_did(shell: Shell, database: Any) -> None:
    assert shell.succeed("tick") == "No project is in progress.\n"
    shell.data_dir.joinpath("weights.bin").write_bytes(WEIGHTS)
    shell.succeed("upload-model", "M", str(shell.data_dir / "weights.bin"))
    database["projects"].insert_one(dump(project(status="In Progress")))
    database["projects"].insert_one(dump(project(2, status="Stopped")))
    rest = "round 0: no device is assigned to the project"
    assert shell.succeed("tick") == f"Project 1 (Project 1): round 0 opened; {rest}\n"
    assert shell.succeed("tick", "--once") == f"Project 1 (Project 1): {rest}\n"


def test_a_tick_that_fails_says_so_and_still_does_the_rest(shell: Shell, database: Any) -> None:
    shell.data_dir.joinpath("weights.bin").write_bytes(WEIGHTS)
    shell.succeed("upload-model", "M", str(shell.data_dir / "weights.bin"))
    for number, model in enumerate(("gone", "M"), 1):
        database["projects"].insert_one(dump(project(number, model=model, status="In Progress")))
    ran = shell.run("tick")
    first, second = ran.stdout.splitlines()
    assert ran.returncode == 1
    assert first.startswith("Project 1 ")
    assert "failed" in first
    assert "round 0 opened" in second


async def test_ticks_beside_a_server_start_a_round_once(lone: Shell, database: Any) -> None:
    lone.data_dir.joinpath("weights.bin").write_bytes(WEIGHTS)
    lone.succeed("upload-model", "M", str(lone.data_dir / "weights.bin"))
    rows = lone.succeed("createusers", "2", "--prefix", "phone").splitlines()[1:]
    with lone.serving(FLAAS_TICK_SECONDS="600", **ADMIN) as served:
        async with Operator(served.url) as operator:
            project_id = await operator.create_project(status="In Progress")
        assert "2 user(s)" in lone.succeed("assign", str(project_id), "--prefix", "phone")
        for row in rows:
            username, password, _ = row.split(", ")
            async with Caller(served.url) as phone:
                await phone.sign_in(username, password)
                document = {"request_type": "device-ping", "device_info": DEVICE_INFO}
                answer = await phone.call("POST", "/api/report-availability", document)
                assert answer.status == 201

        async def tick() -> str:
            process = await asyncio.create_subprocess_exec(
                *lone.command("tick", "--once"), stdout=subprocess.PIPE, env=lone.environ
            )
            out, _ = await process.communicate()
            assert process.returncode == 0
            return out.decode()

        said = await asyncio.gather(*(tick() for _ in range(2)))
        assert sum("asks 2/2 devices to train" in one for one in said) == 1, said
        (only,) = database["rounds"].find()
        assert (only["number"], only["status"]) == (0, 2)
        (batch,) = database["outbox"].find()
        assert batch["usernames"] == ["phone1", "phone2"]
        assert served.process.poll() is None


# --- processes ---


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["createusers", "1"], 0),
        (["tick"], 0),
        (["assign", "1"], 1),
        (["createadmin", "boss"], 1),
        (["upload-samples", "."], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_nothing_is_left_running_after_a_command(
    lone: Shell, arguments: list[str], status: int
) -> None:
    assert lone.run(*arguments).returncode == status
    assert (lone.data_dir / "mongodb" / "mongod.pid").exists()
    assert lone.mongod is None


def test_a_command_that_is_interrupted_leaves_nothing(lone: Shell) -> None:
    with subprocess.Popen(
        lone.command("createusers", "2000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=lone.environ,
        # Where the tests themselves run in the background, a shell has them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 20
        while lone.mongod is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(1.5)  # into the hashing
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=30)
    assert out == ""
    assert process.returncode not in (0, 2)
    assert "Traceback" not in error
    assert lone.mongod is None
    with private_mongod(lone.data_dir) as uri, MongoClient(uri) as client:
        assert client.get_default_database()["users"].count_documents({}) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_a_stopped_server_ends_well_and_its_mongod_with_it(
    lone: Shell, number: signal.Signals
) -> None:
    with lone.serving() as served:
        assert lone.mongod is not None
        begun = time.monotonic()
        served.process.send_signal(number)
        _, error = served.process.communicate(timeout=30)
        assert served.process.returncode == 0
        assert time.monotonic() - begun < 5
        assert "Traceback" not in error
    assert lone.mongod is None


async def test_commands_beside_a_server_work_on_its_database(lone: Shell) -> None:
    with lone.serving() as served:
        row = lone.succeed("createusers", "1").splitlines()[1]
        lone.succeed("createadmin", "boss", typed="a password\n")
        assert lone.mongod is not None
        async with Caller(served.url) as caller:
            await caller.sign_in(*row.split(", ")[:2])
            await caller.sign_in("boss", "a password")
            answer = await caller.call("GET", "/api/project")
            assert (answer.status, answer.json) == (200, [])


def test_a_killed_server_s_data_serves_the_next(lone: Shell) -> None:
    with lone.serving() as served:
        lone.succeed("createusers", "2", "--prefix", "a")
        served.process.kill()
        served.process.wait()
    assert lone.mongod is not None
    assert "a1" in lone.fail("createusers", "1", "--prefix", "a")
    deadline = time.monotonic() + 10
    while lone.mongod is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert lone.mongod is None


def test_without_a_command_the_server_is_started(lone: Shell) -> None:
    environ = lone.environ | {"FLAAS_DATA_DIR": str(lone.data_dir), "PORT": "0"}
    with subprocess.Popen(
        lone.command(on_data=False), stderr=subprocess.PIPE, text=True, env=environ
    ) as process:
        assert process.stderr
        assert any("serving at http://127.0.0.1:" in line for line in process.stderr)
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode == 0


@pytest.mark.parametrize("number", ["99999999999999999999", "2147483648", "-2147483648"])
def test_a_number_that_no_phone_could_hold_is_refused_in_one_line(lone: Shell, number: str) -> None:
    run = lone.run("verify", "--round", "0", "--", number)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert "is not in the range" in run.stderr
