import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest

from flaas.fleet.client import Account
from flaas.fleet.fleet import Fleet
from flaas.fleet.phone import Phone
from flaas.fleet.pushwoosh import PATH, PushwooshStandIn
from flaas.fleet.retry import Backoff
from flaas.fleet.task import Event

from .fake import FLOW, PASSWORD, USERNAME, FakeServer, Reply
from .test_pushwoosh import message

ACCOUNTS = [Account(USERNAME, PASSWORD)]


@pytest.fixture
async def push() -> AsyncIterator[PushwooshStandIn]:
    async with PushwooshStandIn("token", "APP") as push:
        yield push


async def soon(fleet: Fleet, event: Event, count: int) -> None:
    async with asyncio.timeout(20):
        await fleet.wait_for(event, count)


async def test_a_push_makes_a_phone_train(
    session: aiohttp.ClientSession, server: FakeServer, push: PushwooshStandIn
) -> None:
    told: list[tuple[str, Event, str]] = []
    fleet = Fleet(server.url, ACCOUNTS, push, on_event=lambda *what: told.append(what))

    async with fleet:
        await soon(fleet, Event.PINGED, 1)
        await session.post(push.url + PATH, json=message(users=[USERNAME, "stranger"]))
        await soon(fleet, Event.RESULTS, 1)

    assert fleet.counts == {
        Event.PINGED: 1,
        Event.JOINED: 1,
        Event.DOWNLOADED: 1,
        Event.TRAINED: 1,
        Event.SUBMITTED: 1,
        Event.ANSWERED: 1,
        Event.RESULTS: 1,
    }
    assert [event for _, event, _ in told] == list(fleet.counts)
    assert {username for username, _, _ in told} == {USERNAME}


async def test_phones_keep_pinging_and_a_failure_does_not_stop_them(
    server: FakeServer, push: PushwooshStandIn
) -> None:
    server.script("/api/report-availability", Reply(201), Reply(500))
    once = Backoff(tries=1)

    async with Fleet(server.url, ACCOUNTS, push, ping_interval=0.01, backoff=once) as fleet:
        await soon(fleet, Event.PINGED, 4)

    assert fleet.counts[Event.FAILED] == 1


async def test_ping_all(server: FakeServer, push: PushwooshStandIn) -> None:
    async with Fleet(server.url, ACCOUNTS, push) as fleet:
        await soon(fleet, Event.PINGED, 1)
        await fleet.ping_all()

        assert fleet.counts[Event.PINGED] == 2


async def test_a_phone_that_is_signed_out_stops_pinging(
    server: FakeServer, push: PushwooshStandIn
) -> None:
    wrong = [Account(USERNAME, "wrong")]

    async with Fleet(server.url, wrong, push, ping_interval=0.001) as fleet:
        await soon(fleet, Event.SIGNED_OUT, 1)
        await asyncio.sleep(0.02)

    assert len(server.calls) == 2


@pytest.mark.parametrize("path", ["/api/token/", "/api/report-availability"])
async def test_stopping_in_the_middle_leaves_nothing(
    server: FakeServer, push: PushwooshStandIn, path: str
) -> None:
    """The fixture that looks for tasks, sockets and threads does the checking."""
    server.script(path, Reply(503, headers={"Retry-After": "600"}))

    async with Fleet(server.url, ACCOUNTS, push, ping_interval=0):
        while not any(call.uri == path for call in server.calls):
            await asyncio.sleep(0.001)


async def test_pushes_after_the_stop_reach_nobody(
    session: aiohttp.ClientSession,
    server: FakeServer,
    push: PushwooshStandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    got: list[Mapping[str, str | int]] = []

    async def keep(self: Phone, data: Mapping[str, str | int]) -> None:
        got.append(data)

    monkeypatch.setattr(Phone, "run_task", keep)
    async with Fleet(server.url, ACCOUNTS, push):
        await session.post(push.url + PATH, json=message(users=[USERNAME]))
        await asyncio.sleep(0.02)

    await session.post(push.url + PATH, json=message(users=[USERNAME]))
    await asyncio.sleep(0.02)

    assert len(push.delivered) == 2
    assert len(got) == 1


async def test_a_mistake_in_a_phone_comes_out(
    server: FakeServer, push: PushwooshStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Phone) -> None:
        raise KeyError("mistake")

    monkeypatch.setattr(Phone, "ping", broken)

    async def wait_twice() -> None:
        async with Fleet(server.url, ACCOUNTS, push) as fleet:
            for _ in range(2):
                with pytest.raises(KeyError, match="mistake"):
                    await soon(fleet, Event.PINGED, 1)

    with pytest.raises(BaseExceptionGroup, match="simulated phones broke"):
        await wait_twice()


@pytest.mark.parametrize(("at_work", "mixed"), [(1, False), (3, True)])
async def test_only_so_many_phones_work_at_a_time(
    session: aiohttp.ClientSession,
    server: FakeServer,
    push: PushwooshStandIn,
    at_work: int,
    mixed: bool,
) -> None:
    accounts = [Account(f"phone{n}", PASSWORD) for n in range(3)]

    async with Fleet(server.url, accounts, push, at_work=at_work) as fleet:
        await soon(fleet, Event.PINGED, 3)
        del server.calls[:]
        await session.post(push.url + PATH, json=message(users=list(fleet.phones)))
        await soon(fleet, Event.RESULTS, 3)

    callers = [call.authorization for call in server.calls]
    turns = sum(1 for _ in itertools.groupby(callers))
    assert len(callers) == 3 * len(FLOW)
    assert (turns > 3) is mixed
