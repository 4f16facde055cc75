"""What tests of services begin with: the services, staff, accounts, a model and a project."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import pytest

from flaas.app import App
from flaas.domain.device import DeviceStatus, User
from flaas.domain.project import Project
from flaas.domain.round import JoinStatus, Round, update_key
from flaas.services.all import Services

from ..conftest import TestClock
from ..store.records import user
from ..support import floats

PARAMETERS = 3
INITIAL = floats([0.5, -1.0, 2.0])

STAFF = user(1_000_000, username="root", is_staff=True)


@dataclass
class World:
    """One project after another, with devices that act through the services."""

    services: Services
    clock: TestClock

    async def put_model(self, content: bytes = INITIAL, name: str = "M") -> None:
        incoming = await self.services.catalogue.receive_model(name)
        async with incoming:
            await incoming.write(content)
            await incoming.finish()

    async def create_project(self, **settings: Any) -> Project:
        payload = {"title": "Project 1", "model": "M", "status": "In Progress", **settings}
        return await self.services.projects.create(STAFF, payload)

    async def devices(self, count: int, project_id: int, first: int = 1) -> list[User]:
        """Members of the project that are plugged in and reported just now."""
        status = DeviceStatus(at=self.clock(), power_plugged=True, level=1.0)
        users = [user(first + n, project_id=project_id, last_status=status) for n in range(count)]
        if users:
            await self.services.store.users.insert(users)
        return users

    async def submit(self, device: User, round_: Round, content: bytes) -> int:
        update = await self.services.submissions.begin(
            device, round_.project_id, round_.number, "model_weights.bin", len(content)
        )
        async with update:
            await update.write(content)
            return await update.finish()

    async def report(self, device: User, round_: Round) -> bool | None:
        info = {"battery_status": {"power_plugged": True, "level": 1.0}}
        return await self.services.devices.report(device, "device-train", round_.request_id, info)

    async def join(self, device: User, round_: Round) -> None:
        await self.services.devices.join(device, round_.project_id, round_.number, JoinStatus.JOIN)

    async def answer(self, device: User, round_: Round, values: list[float]) -> None:
        assert await self.submit(device, round_, floats(values)) == 201
        assert await self.report(device, round_)

    async def round(self, project_id: int, number: int) -> Round:
        found = await self.services.store.rounds.by_number(project_id, number)
        assert found is not None
        return found

    async def project(self, project_id: int) -> Project:
        found = await self.services.store.projects.get(project_id)
        assert found is not None
        return found

    async def read(self, key: str) -> bytes:
        return b"".join([piece async for piece in self.services.files.read(key)])

    async def overwrite(self, device: User, round_: Round, content: bytes | None) -> None:
        """Change a device's stored update behind the server's back; None removes it."""
        key = update_key(round_.project_id, round_.number, device.device_id)
        if content is None:
            await self.services.files.delete_all(key.rpartition("/")[0] + "/")
            return
        async with self.services.files.create(key) as out:
            await out.write(content)
            await out.commit()


@pytest.fixture
def world(app: App, clock: TestClock) -> World:
    """Nothing moves by itself: a test says when a project is looked at."""

    def nobody_looks(project_id: int) -> None:
        pass

    services = app.services
    projects = replace(services.projects, on_change=nobody_looks)
    devices = replace(services.devices, on_answer=nobody_looks)
    return World(replace(services, projects=projects, devices=devices), clock)


@pytest.fixture
async def training(world: World) -> tuple[World, Round, list[User]]:
    """A round that trains with four asked devices, of which three must answer."""
    await world.put_model()
    project = await world.create_project(number_of_rounds=2)
    users = await world.devices(4, project.id)
    await world.services.rounds.advance(project.id)
    return world, await world.round(project.id, 0), users


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
