"""Whole projects: phones that train, a push service, a server, over sockets from first to last."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from flaas.app import App
from flaas.domain.project import APPS, DatasetType
from flaas.domain.round import RoundStatus, global_model_key, update_key
from flaas.fleet.client import Account
from flaas.fleet.data import Digits, split
from flaas.fleet.fleet import Fleet
from flaas.fleet.pushwoosh import PushwooshStandIn
from flaas.fleet.task import Event
from flaas.fleet.training import initial_model
from flaas.lifecycle import running
from flaas.settings import Settings

from ..conftest import TestClock
from ..support import Operator, advance

DEVICES, ROUNDS, PARAMETERS = 4, 3, 650


@dataclass
class World:
    app: App
    url: str
    operator: Operator
    push: PushwooshStandIn
    accounts: list[Account]
    clock: TestClock


@asynccontextmanager
async def world(
    make_settings: Callable[..., Settings], environment: dict[str, str], clock: TestClock
) -> AsyncIterator[World]:
    """A server with a model, samples, accounts and a push service; no project yet."""
    token = secrets.token_hex(8)
    async with PushwooshStandIn(token, "TEST-APP") as push:
        settings = make_settings(
            PUSHWOOSH_API_TOKEN=token,
            PUSHWOOSH_APPLICATION_CODE="TEST-APP",
            PUSHWOOSH_URL=push.url,
            **environment,
        )
        async with running(settings, clock) as (app, url), Operator(url) as operator:
            answer = await operator.call(
                "PUT", "/admin/models/SOFTMAX", body=initial_model(PARAMETERS)
            )
            assert answer.status == 201, answer.body
            rng = np.random.default_rng(1)
            shares = split(Digits.load(), DEVICES, len(APPS), DatasetType.IID, rng)
            for index, files in enumerate(shares):
                for number, content in enumerate(files):
                    path = f"/admin/samples/IID/{index}/{number}"
                    answer = await operator.call("PUT", path, body=content)
                    assert answer.status == 201, answer.body
            created = await app.services.accounts.create_users(DEVICES, prefix="phone")
            accounts = [Account(one.username, one.password) for one in created]
            yield World(app, url, operator, push, accounts, clock)


async def read(app: App, key: str) -> NDArray[np.float32]:
    data = b"".join([piece async for piece in app.services.files.read(key)])
    return np.frombuffer(data, "<f4")


async def until_completed(app: App, project_id: int) -> None:
    async with asyncio.timeout(60):
        while True:
            project = await app.services.store.projects.get(project_id)
            if project and project.status == "Completed":
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("training_mode", ["BASELINE", "JOINT_SAMPLES", "JOINT_MODELS"])
async def test_every_global_model_is_the_mean_of_the_submitted_ones(
    make_settings: Callable[..., Settings],
    files_environment: dict[str, str],
    clock: TestClock,
    training_mode: str,
) -> None:
    async with world(make_settings, files_environment, clock) as w:
        project_id = await w.operator.create_project(
            title="Whole",
            model="SOFTMAX",
            training_mode=training_mode,
            number_of_rounds=ROUNDS,
            number_of_epochs=2,
        )
        await w.app.services.accounts.assign(project_id, "phone")
        async with Fleet(w.url, w.accounts, w.push) as fleet:
            await fleet.wait_for(Event.PINGED, DEVICES)
            await w.operator.start(project_id)
            await until_completed(w.app, project_id)
            async with asyncio.timeout(20):
                await fleet.wait_for(Event.RESULTS, DEVICES * ROUNDS)

        store = w.app.services.store
        rounds = await store.rounds.all(project_id)
        assert [one.status for one in rounds] == [RoundStatus.COMPLETE] * ROUNDS
        users = await asyncio.gather(
            *(store.users.by_username(account.username) for account in w.accounts)
        )
        devices = [user.device_id for user in users if user]
        assert len(devices) == DEVICES
        for number in range(ROUNDS):
            updates = [await read(w.app, update_key(project_id, number, one)) for one in devices]
            assert not np.array_equal(updates[0], updates[1])
            expected = np.mean(np.stack(updates), axis=0, dtype=np.float64).astype("<f4")
            made = await read(w.app, global_model_key(project_id, number + 1))
            np.testing.assert_array_max_ulp(made, expected, maxulp=1)

        assert w.push.refusals == []
        assert len(w.push.requests) == ROUNDS
        summaries = await w.app.services.reports.rounds(project_id)
        assert all(one.loss and one.accuracy and one.joined == DEVICES for one in summaries)
        first, last = summaries[0].accuracy, summaries[-1].accuracy
        assert first
        assert last
        assert last.mean > first.mean + 0.3

        # The result of the last round can be fetched although no round starts from it.
        answer = await w.operator.call(
            "GET", f"/api/project/{project_id}/get-model/{ROUNDS}/", follow=True
        )
        assert answer.body == (await read(w.app, global_model_key(project_id, ROUNDS))).tobytes()


async def test_a_round_that_too_few_answered_is_invalid_and_its_model_stays(
    make_settings: Callable[..., Settings],
    files_environment: dict[str, str],
    clock: TestClock,
) -> None:
    async with world(make_settings, files_environment, clock) as w:
        project_id = await w.operator.create_project(
            title="Few",
            model="SOFTMAX",
            number_of_rounds=1,
            number_of_epochs=1,
            max_training_time=10,
            responses_ratio_threshold="0.50",
            valid_round_training_threshold="0.75",
        )
        await w.app.services.accounts.assign(project_id, "phone")
        half = w.accounts[: DEVICES // 2]
        async with Fleet(w.url, half, w.push) as fleet:
            await fleet.wait_for(Event.PINGED, len(half))
            await w.operator.start(project_id)
            async with asyncio.timeout(20):
                await fleet.wait_for(Event.ANSWERED, len(half))
            # Every asked device answered, but they are too few: only the time ends the round.
            done = await advance(w.app, project_id)
            assert "2/2 asked devices answered" in done.now
            # Longer than the round may take, and than a status report is fresh: the next one waits.
            w.clock.pass_(minutes=61)
            await advance(w.app, project_id)

        rounds = await w.app.services.store.rounds.all(project_id)
        assert rounds[0].status is RoundStatus.INVALID
        assert rounds[1].number == 1
        before = await read(w.app, global_model_key(project_id, 0))
        after = await read(w.app, global_model_key(project_id, 1))
        assert before.tobytes() == after.tobytes()

        # An invalid round does not count: the project goes on until one is complete.
        async with Fleet(w.url, w.accounts, w.push) as fleet:
            await fleet.ping_all()
            await advance(w.app, project_id)
            w.app.services.outbox.wake()
            await until_completed(w.app, project_id)
        rounds = await w.app.services.store.rounds.all(project_id)
        assert [one.status for one in rounds] == [RoundStatus.INVALID, RoundStatus.COMPLETE]
        project = (await w.operator.call("GET", f"/api/project/{project_id}")).json
        assert (project["status"], project["current_round"]) == ("Completed", 1)
