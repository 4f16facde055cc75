"""Two servers on one database whose clocks are a minute apart."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from flaas.domain.project import ProjectStatus
from flaas.domain.round import Round, RoundStatus
from flaas.fleet.pushwoosh import PushwooshStandIn
from flaas.lifecycle import running
from flaas.settings import Settings

from ..conftest import API_TOKEN, APPLICATION, TestClock
from ..support import Operator, PhoneCaller, Server
from ..test_lifecycle import work

SOON = 60


@dataclass
class Replicas:
    servers: list[Server]
    push: PushwooshStandIn

    def pass_(self, **time: float) -> None:
        for server in self.servers:
            server.clock.pass_(**time)

    async def rounds(self, project_id: int) -> list[Round]:
        return await self.servers[0].app.services.store.rounds.all(project_id)

    async def project_with(
        self, count: int, number_of_rounds: int
    ) -> tuple[int, list[PhoneCaller]]:
        """Every other phone speaks to the server that is ahead."""
        behind, ahead = self.servers
        await behind.operator.put_model("M", [1.0, 2.0])
        project_id = await behind.operator.create_project(
            number_of_rounds=number_of_rounds, max_training_time=10
        )
        phones = await behind.phones(count, project_id)
        for phone in phones[1::2]:
            phone.url = ahead.url
        await ahead.operator.start(project_id)
        return project_id, phones


@pytest.fixture
async def replicas(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> AsyncIterator[Replicas]:
    async with AsyncExitStack() as stack:
        push = await stack.enter_async_context(PushwooshStandIn(API_TOKEN, APPLICATION))
        settings = make_settings(
            FLAAS_TICK_SECONDS="0.1",
            PUSHWOOSH_API_TOKEN=API_TOKEN,
            PUSHWOOSH_APPLICATION_CODE=APPLICATION,
            PUSHWOOSH_URL=push.url,
        )
        servers = []
        for ahead in (0, 60):
            clock = TestClock()
            clock.pass_(seconds=ahead)
            app, url = await stack.enter_async_context(running(settings, clock))
            operator = await stack.enter_async_context(Operator(url))
            servers.append(Server(app, url, operator, clock))
        yield Replicas(servers, push)
        assert push.refusals == []


async def test_a_project_runs_through_with_the_right_rounds(replicas: Replicas) -> None:
    project_id, phones = await replicas.project_with(4, number_of_rounds=4)
    await asyncio.gather(*(work(phone, project_id, 4) for phone in phones))
    store = replicas.servers[1].app.services.store
    async with asyncio.timeout(SOON):
        while True:
            project = await store.projects.get(project_id)
            if project and project.status is ProjectStatus.COMPLETED:
                break
            await asyncio.sleep(0.05)
    rounds = await replicas.rounds(project_id)
    assert [(one.number, one.status) for one in rounds] == [
        (number, RoundStatus.COMPLETE) for number in range(4)
    ]
    for one in rounds:
        counted = await store.participants.counted(one.id)
        assert [each.username for each in counted] == [phone.username for phone in phones]
        result = await store.rounds.by_number(project_id, one.number + 1)
        assert result is None or result.model_sha256 == one.result_sha256
    # One push a round, and not another one by whose clock the first is a minute old.
    requests = [push["notifications"][0]["transactionId"] for push in replicas.push.requests]
    assert len(requests) == len(set(requests)) == 4
    for phone in phones:
        await phone.__aexit__(None, None, None)


async def test_a_round_that_nobody_answers_ends_once(replicas: Replicas) -> None:
    project_id, phones = await replicas.project_with(2, number_of_rounds=1)
    for phone in phones:
        assert (await phone.ping()).status == 201
        await phone.__aexit__(None, None, None)

    async def has(number: int, status: RoundStatus) -> None:
        async with asyncio.timeout(SOON):
            while not [
                one
                for one in await replicas.rounds(project_id)
                if (one.number, one.status) == (number, status)
            ]:
                await asyncio.sleep(0.05)

    for number in range(2):
        await has(number, RoundStatus.TRAINING)
        await asyncio.sleep(0.5)  # several looks of both
        assert [one.status for one in (await replicas.rounds(project_id))[number:]] == [
            RoundStatus.TRAINING
        ]
        replicas.pass_(minutes=8)
        await asyncio.sleep(0.5)
        assert (await replicas.rounds(project_id))[-1].status is RoundStatus.TRAINING
        replicas.pass_(minutes=3)
        await has(number, RoundStatus.INVALID)
