"""A disk that is really full: a small file system that only the server's process sees, and that
goes with it."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from flaas.domain.round import Participant, RoundStatus
from flaas.settings import Settings

from ..services.conftest import STAFF, World, sha256
from ..support import Caller, PhoneCaller
from .process import Served, serving

SIZE = 256 << 10
OLD, NEW = b"\0" * SIZE, b"\0\0\x80\x3f" * (SIZE // 4)

MOUNT = 'mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@"'


def namespace() -> list[str]:
    """The command that gives a process its own mounts."""
    own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    tried = [*own, "sh", "-c", MOUNT, "/mnt", "true"]
    try:
        ran = subprocess.run(tried, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `unshare` here, so no file system of our own to fill")
    if ran.returncode:
        pytest.skip(f"no file system may be mounted here: {ran.stderr.strip()}")
    return own


@dataclass
class FullDisk:
    world: World
    project_id: int
    served: Served
    files: Path
    phones: list[PhoneCaller]
    operator: Caller

    def fill(self, but: int = 0) -> None:
        """Take all the room there is, but for so many bytes."""
        with (self.files / "filler").open("ab", buffering=0) as filler:
            room = os.fstatvfs(filler.fileno())
            filler.write(bytes(room.f_bavail * room.f_frsize - but))

    def make_room(self) -> None:
        os.truncate(self.files / "filler", 0)

    async def leaves_nothing_unfinished(self) -> None:
        async with asyncio.timeout(10):
            while list((self.files / ".partial").iterdir()):
                await asyncio.sleep(0.02)

    async def participant(self, phone: int) -> Participant:
        participants = self.world.services.store.participants
        found = await participants.get((await self.world.round(self.project_id, 0)).id, phone + 1)
        assert found
        return found

    async def submit(self, phone: int, body: bytes) -> tuple[int, str]:
        answer = await self.phones[phone].submit_model(self.project_id, 0, body)
        if answer.status == 507:
            assert int(answer.headers["Retry-After"]) > 0
        return answer.status, answer.json.get("code", "")

    async def until(self, status: RoundStatus) -> None:
        async with asyncio.timeout(20):
            while True:
                found = await self.world.services.store.rounds.by_number(self.project_id, 0)
                if found and found.status is status:
                    return
                await asyncio.sleep(0.05)

    def update(self, phone: int) -> bytes:
        key = f"projects/{self.project_id}/0/{phone + 1}/model_weights.bin"
        return (self.files / key).read_bytes()


@pytest.fixture
async def disk(world: World, make_settings: Callable[..., Settings]) -> AsyncIterator[FullDisk]:
    own = namespace()
    settings = make_settings()
    assert settings.mongodb_uri
    assert settings.jwt_secret
    environ = {
        "MONGODB_URI": settings.mongodb_uri.reveal(),
        "JWT_SECRET": settings.jwt_secret.reveal(),
        "FLAAS_TICK_SECONDS": "0.3",
    }
    root = settings.data_dir / "small"
    (root / "files").mkdir(parents=True)
    tokens = world.services.tokens
    await world.services.store.users.insert([STAFF])
    prefix = [*own, "sh", "-c", MOUNT, str(root / "files")]
    with serving(root, environ, prefix) as served:
        files = Path(f"/proc/{served.pid}/root{root}/files")
        async with Caller(served.url, tokens.issue(STAFF).access) as operator:
            assert (await operator.call("PUT", "/admin/models/M", body=OLD)).status == 201
            project = await world.create_project(number_of_rounds=1)
            users = await world.devices(3, project.id)
            phones = [
                PhoneCaller(served.url, tokens.issue(one).access, one.username) for one in users
            ]
            made = FullDisk(world, project.id, served, files, phones, operator)
            await made.until(RoundStatus.TRAINING)
            yield made
            for phone in phones:
                await phone.__aexit__(None, None, None)


# The first leaves room for the half of a file, the second for nothing.
@pytest.mark.parametrize("room", [SIZE // 2, 0])
async def test_what_finds_no_room_leaves_all_as_it_was(disk: FullDisk, room: int) -> None:
    assert await disk.submit(0, OLD) == (201, "")
    results = {"local_training_worker": {"epochs": [1.0]}}
    disk.fill(but=room)

    assert await disk.submit(0, NEW) == (507, "no_room")
    assert await disk.submit(1, NEW) == (507, "no_room")
    put = await disk.operator.call("PUT", "/admin/models/M", body=NEW)
    assert (put.status, put.json["code"]) == (507, "no_room")
    if not room:
        answer = await disk.phones[0].submit_results(disk.project_id, 0, results)
        assert answer.status == 507

    await disk.leaves_nothing_unfinished()
    assert disk.update(0) == OLD
    first, second = [await disk.participant(phone) for phone in (0, 1)]
    assert first.submission
    assert first.submission.sha256 == sha256(OLD)
    assert (first.results, second.submission) == (None, None)
    assert (await disk.phones[1].get_model(disk.project_id, 0)).body == OLD
    model = await disk.world.services.store.models.get("M")
    assert model
    assert model.sha256 == sha256(OLD)

    disk.make_room()
    assert await disk.submit(0, NEW) == (201, "")
    assert await disk.submit(1, NEW) == (201, "")
    assert disk.update(0) == disk.update(1) == NEW
    assert (await disk.phones[0].submit_results(disk.project_id, 0, results)).status == 201
    assert "Traceback" not in disk.served.log.read_text()


async def test_a_round_that_finds_no_room_for_its_model_completes_later(disk: FullDisk) -> None:
    request = (await disk.world.round(disk.project_id, 0)).request_id
    for phone in range(3):
        assert await disk.submit(phone, NEW) == (201, "")
    disk.fill()
    for one in disk.phones:
        assert (await one.report(request)).json == {"counted": True}
    async with asyncio.timeout(20):
        while disk.served.log.read_text().count("waits for the next tick") < 2:
            await asyncio.sleep(0.05)
    assert (await disk.world.round(disk.project_id, 0)).status is RoundStatus.TRAINING
    await disk.leaves_nothing_unfinished()

    disk.make_room()
    await disk.until(RoundStatus.COMPLETE)
    assert (await disk.phones[0].get_model(disk.project_id, 1)).body == NEW
    assert "Traceback" not in disk.served.log.read_text()
