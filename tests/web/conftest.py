"""A project with a small model and three phones, and rounds moved by hand."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from flaas.domain.round import Round

from ..support import PhoneCaller, Server, advance, floats
from .world import World, open_world

MODEL = [0.0, 1.0, 2.0, 3.0]
MODEL_BYTES = len(floats(MODEL))


@dataclass
class Trial:
    """A project in progress whose round 0 waits for its devices."""

    server: Server
    project_id: int
    phones: list[PhoneCaller]

    async def round(self, number: int = 0) -> Round:
        found = await self.server.app.services.store.rounds.by_number(self.project_id, number)
        assert found is not None
        return found

    async def ask_all(self) -> Round:
        """Every phone reports its status, and is asked to train."""
        return await self.ask(self.phones)

    async def ask(self, phones: list[PhoneCaller]) -> Round:
        for phone in phones:
            assert (await phone.ping()).status == 201
        await advance(self.server.app, self.project_id)
        return await self.round()

    async def close_round(self) -> None:
        """The time of the open round passes."""
        self.server.clock.pass_(minutes=61)
        await advance(self.server.app, self.project_id)


@pytest.fixture(scope="module")
def world(
    mongod: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[World]:
    """A server process that the tests of a module share. They put back what they change."""
    name = request.module.__name__.rpartition(".")[2]
    with open_world(mongod, tmp_path_factory.mktemp(name), name) as one:
        yield one


@pytest.fixture
async def trial(server: Server) -> AsyncIterator[Trial]:
    await server.operator.put_model("M", MODEL)
    project_id = await server.operator.create_project(
        responses_ratio_threshold="0.30", valid_round_training_threshold="0.30"
    )
    phones = await server.phones(3, project_id)
    await server.operator.start(project_id)
    await advance(server.app, project_id)
    yield Trial(server, project_id, phones)
    for phone in phones:
        await phone.__aexit__(None, None, None)
