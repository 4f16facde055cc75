"""A server in a process of its own, in a state that can be compared and put back.

What a refused request must not do is change anything; what an accepted one did is undone, so
that every request of a test meets the same project, in the middle of a round.
"""

import base64
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pymongo import MongoClient
from pymongo.database import Database

from ..support import ADMIN, ADMIN_PASSWORD, DEVICE_INFO, floats
from .wire import Reply, exchange, message

SERVER = Path(__file__).parent.parent.parent / "server.py"

MODEL = floats([0.0, 1.0, 2.0, 3.0])
UPDATE = floats([1.0, 2.0, 3.0, 4.0])
RECORD = bytes(3073)
PHONES = 3

NOT_FACTS = {"counters", "leases", "outbox", "events", "sign_ins"}
"""Collections that a refused request may touch: ids and leases that were taken for nothing, the
scheduler's own, and the records of refusals."""

Document = dict[str, Any]
State = tuple[dict[str, str], dict[str, bytes]]
"""Collection → hash, and path → content."""


@dataclass
class World:
    """Project 1 trains in round 0: phone 1 was asked and has not submitted, phone 2 has. Project
    2 is stopped and has no members."""

    url: str
    process: subprocess.Popen[bytes]
    database: Database[Document]
    files: Path
    log: Path
    staff: str = ""
    """An access token."""
    phones: list[str] = field(default_factory=list)
    """Access tokens."""
    password: str = ""
    """Of phone 1, whose name is `phone1`."""
    refresh: str = ""
    request_id: int = 0

    # --- requests ---

    def send(self, sent: bytes, *, half_close: bool = False) -> Reply | None:
        """Bytes on a connection of their own."""
        return exchange(self.url, sent, half_close=half_close)

    def call(
        self, method: str, target: str, token: str | None = None, body: Any = None, *headers: str
    ) -> Reply:
        """An ordinary request; a body that is not bytes is sent as JSON."""
        named = [(name, value) for name, _, value in (one.partition(": ") for one in headers)]
        if token:
            named.append(("Authorization", f"Bearer {token}"))
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            named.append(("Content-Type", "application/json"))
        reply = self.send(message(method, target, named, body or b""))
        assert reply is not None, f"{method} {target}: the connection was closed"
        return reply

    def succeed(self, *request: Any) -> Any:
        reply = self.call(*request)
        assert 200 <= reply.status < 300, (request, reply)
        return reply.json if reply.body else None

    @property
    def basic(self) -> str:
        credentials = f"{ADMIN}:{ADMIN_PASSWORD}".encode()
        return f"Basic {base64.b64encode(credentials).decode()}"

    def sign_in(self, username: str, password: str) -> Document:
        credentials = {"username": username, "password": password}
        answer: Document = self.succeed("POST", "/api/token/", None, credentials)
        return answer

    # --- the state ---

    def state(self) -> State:
        names = [one for one in self.database.list_collection_names() if one not in NOT_FACTS]
        hashes = self.database.command("dbHash", collections=names)["collections"]
        contents = {
            str(path.relative_to(self.files)): path.read_bytes()
            for path in sorted(self.files.rglob("*"))
            if path.is_file() and ".partial" not in path.parts
        }
        # An empty collection and none are the same.
        return {name: hashes[name] for name in names if self._any(name)}, contents

    def _any(self, name: str) -> bool:
        return self.database[name].find_one({}, {"_id": 1}) is not None

    def remember(self) -> None:
        """What is stored now is what `restore` brings back."""
        self._documents = {
            name: list(self.database[name].find())
            for name in self.database.list_collection_names()
            if name != "leases"
        }
        self.pristine = self.state()

    def changes(self) -> list[str]:
        """Collections and files that differ from what is remembered."""
        now, before = self.state(), self.pristine
        return sorted(
            name
            for part, old in zip(now, before, strict=True)
            for name in part.keys() | old.keys()
            if part.get(name) != old.get(name)
        )

    def restore(self) -> None:
        self.settle()
        for name in self.database.list_collection_names():
            if name == "leases":
                continue
            self.database[name].delete_many({})
            if self._documents.get(name):
                self.database[name].insert_many(self._documents[name])
        _, contents = self.pristine
        for name in self.state()[1].keys() - contents.keys():
            (self.files / name).unlink()
        for name, content in contents.items():
            path = self.files / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def settle(self) -> None:
        """Wait until the scheduler has nothing more to do for what was changed."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            ticked = self.succeed("POST", "/admin/commands/tick", self.staff, {"format": "json"})
            if all(one["now"] != "another tick is at work" for one in ticked):
                return
        raise AssertionError("the scheduler does not come to rest")

    # --- the process ---

    def new_in_log(self) -> str:
        """What the server logged since this was asked last."""
        with self.log.open("rb") as log:
            log.seek(self._log_read)
            new = log.read()
        self._log_read += len(new)
        return new.decode(errors="replace")

    @property
    def memory(self) -> int:
        """The most bytes of memory that the process ever had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) << 10

    @property
    def partials(self) -> list[Path]:
        """Uploads in flight, and what they left."""
        return list((self.files / ".partial").iterdir())

    _log_read: int = 0


@contextmanager
def open_world(mongod: str, folder: Path, name: str) -> Iterator[World]:
    """A server on a database of its own, with the two projects."""
    log, data = folder / "log", folder / "data"
    environment = {
        "PATH": "/usr/bin:/bin",
        "PORT": "0",
        "MONGODB_URI": f"{mongod}/{name}",
        "FLAAS_DATA_DIR": str(data),
        "JWT_SECRET": "a secret that is only for tests, long enough",
        "FLAAS_ADMIN_USERNAME": ADMIN,
        "FLAAS_ADMIN_PASSWORD": ADMIN_PASSWORD,
    }
    with MongoClient[Document](mongod) as client, log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(SERVER), "serve"], stderr=out, env=environment, cwd=folder
        )
        try:
            url = _served_at(process, log)
            world = World(url, process, client[name], data / "files", log)
            _populate(world)
            yield world
        finally:
            process.terminate()
            process.wait(60)
            client.drop_database(name)


def _served_at(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"serving at (http://\S+)", log.read_text()):
            assert urlsplit(found[1]).hostname == "127.0.0.1"
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"it does not serve: {log.read_text()}")


def _populate(world: World) -> None:
    world.staff = world.sign_in(ADMIN, ADMIN_PASSWORD)["access"]
    staff = world.staff
    world.succeed("PUT", "/admin/models/M", staff, MODEL)
    world.succeed("PUT", "/admin/samples/IID/0/0", staff, RECORD)
    ratios = {"responses_ratio_threshold": "0.30", "valid_round_training_threshold": "0.30"}
    for title in ("Project 1", "Project 2"):
        world.succeed("POST", "/api/project", staff, {"title": title, "model": "M", **ratios})
    accounts = {"accounts": PHONES, "prefix": "phone", "format": "json"}
    made = world.succeed("POST", "/admin/commands/createusers", staff, accounts)
    members = {"project": 1, "prefix": "phone"}
    assert world.call("POST", "/admin/commands/assign", staff, members).status == 200
    for one in made:
        pair = world.sign_in(one["username"], one["password"])
        world.phones.append(pair["access"])
        ping = {"request_type": "device-ping", "device_info": DEVICE_INFO}
        world.succeed("POST", "/api/report-availability", pair["access"], ping)
        if one["username"] == "phone1":
            world.password, world.refresh = one["password"], pair["refresh"]
    world.succeed("PATCH", "/api/project/1", staff, {"status": "In Progress"})
    world.settle()
    round_ = world.database["rounds"].find_one({"project_id": 1})
    assert round_
    assert round_["status"] == 2
    world.request_id = round_["request_id"]
    path = "/api/project/1/submit-model/0/model_weights.bin"
    world.succeed("POST", path, world.phones[1], UPDATE)
    world.remember()
    world.new_in_log()
