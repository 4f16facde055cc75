"""A MongoDB that hangs for a while, and one that is killed and started again."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tornado.web import RequestHandler

from flaas.domain.errors import Unavailable
from flaas.domain.round import RoundStatus
from flaas.lifecycle import running
from flaas.settings import Settings
from flaas.store import documents, gate
from flaas.store.documents import Repository, lasting
from flaas.store.gate import Gate
from flaas.store.mongo import open_store

from ..conftest import TestClock
from ..store.records import members
from ..support import Answer, Operator, PhoneCaller, Server, floats
from .mongod import Mongod

SOON = 60
"""Seconds in which everything here happens, on a slow machine, and where a tick was cut that held
the lease of the project, which lasts half of that."""

MODEL = floats([1.0, 2.0])


@pytest.fixture
def own_mongod(tmp_path: Path) -> Iterator[Mongod]:
    mongod = Mongod(tmp_path / "own-mongod")
    mongod.start()
    yield mongod
    mongod.kill()


@pytest.fixture
async def server(
    own_mongod: Mongod,
    make_settings: Callable[..., Settings],
    clock: TestClock,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Server]:
    monkeypatch.setattr(documents, "CALL_SECONDS", 3.0)
    monkeypatch.setattr(gate, "_PING_SECONDS", 0.5)
    monkeypatch.setattr(gate, "_PAUSE_SECONDS", 0.1)
    settings = make_settings(MONGODB_URI=own_mongod.uri, FLAAS_TICK_SECONDS="2")
    async with running(settings, clock) as (app, url), Operator(url) as operator:
        yield Server(app, url, operator, clock)
        own_mongod.thaw()


async def trained(server: Server) -> tuple[int, PhoneCaller]:
    """A project whose round 0 trains, with the update of its one phone."""
    await server.operator.put_model("M", [1.0, 2.0])
    project_id = await server.operator.create_project(number_of_rounds=1)
    (phone,) = await server.phones(1, project_id)
    await server.operator.start(project_id)
    assert (await phone.ping()).status == 201
    await until(lambda: has_status(server, project_id, RoundStatus.TRAINING))
    assert (await phone.submit_model(project_id, 0, MODEL)).status == 201
    return project_id, phone


async def has_status(server: Server, project_id: int, status: RoundStatus) -> bool:
    found = await server.app.services.store.rounds.by_number(project_id, 0)
    return found is not None and found.status is status


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(SOON):
        while not await condition():
            await asyncio.sleep(0.05)


async def empty(collection: Any) -> bool:
    return not await collection.count_documents({})


async def is_back(server: Server) -> bool:
    return (await server.operator.call("GET", "/healthz")).status == 200


def refused(answer: Answer) -> bool:
    assert answer.status == 503, answer.body
    assert answer.json["code"] == "unavailable"
    return int(answer.headers["Retry-After"]) >= 5


@pytest.mark.parametrize("fault", ["hangs", "is killed"])
async def test_requests_are_refused_at_once_while_it_is_away_and_all_goes_on_after(
    server: Server, own_mongod: Mongod, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    project_id, phone = await trained(server)
    round_ = await server.app.services.store.rounds.by_number(project_id, 0)
    assert round_
    # A tick that is cut in its work would keep the project's lease for thirty seconds.
    leases = server.app.services.store.leases._collection
    await until(lambda: empty(leases))
    own_mongod.freeze() if fault == "hangs" else own_mongod.kill()

    # More than there are threads for the database: those that find none wait no longer either.
    async with asyncio.timeout(SOON):
        for answer in await asyncio.gather(*(phone.ping() for _ in range(50))):
            assert refused(answer)
    for call in (
        phone.report(round_.request_id),
        phone.submit_model(project_id, 0, MODEL),
        server.operator.call("GET", "/admin/reports/countresponses/1"),
        server.operator.call("GET", "/healthz"),
    ):
        began = time.monotonic()
        assert refused(await call)
        assert time.monotonic() - began < documents.CALL_SECONDS / 2
    await until(lambda: said(caplog, "no tick: The database is away"))
    await until(nothing_hangs)
    assert said_times(caplog, "the database is away: calls are refused") == 1

    own_mongod.thaw() if fault == "hangs" else own_mongod.start()
    await until(lambda: is_back(server))
    assert (await phone.report(round_.request_id)).json == {"counted": True}
    await until(lambda: has_status(server, project_id, RoundStatus.COMPLETE))
    assert (await phone.get_model(project_id, 1)).body == MODEL
    assert said_times(caplog, "the database is back") == 1
    assert not [one for one in caplog.records if one.exc_info]
    await phone.__aexit__(None, None, None)


async def said(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return said_times(caplog, text) > 0


def said_times(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in one.getMessage() for one in caplog.records)


async def nothing_hangs() -> bool:
    """No request is being handled."""
    running = [one.get_coro() for one in asyncio.all_tasks()]
    return not any(
        one and one.__qualname__ == RequestHandler._execute.__qualname__ for one in running
    )


class Slow(Repository):
    """Queries that take the database a second."""

    collection_name = "users"

    def _query(self) -> Any:
        body = "function() { sleep(1000); return true }"
        function = {"$function": {"body": body, "args": [], "lang": "js"}}
        return self._collection.aggregate([{"$match": {"$expr": function}}])

    async def short(self) -> int:
        return len([one async for one in self._query()])

    @lasting
    async def long(self) -> int:
        return len([one async for one in self._query()])

    async def report(self) -> AsyncIterator[Any]:
        async for one in self._query():
            yield one


async def test_only_calls_that_requests_wait_for_are_cut(
    mongodb_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "CALL_SECONDS", 0.3)
    async with open_store(mongodb_uri, timedelta(days=1)) as store:
        database = store.users._collection.database
        await database["users"].insert_one({"_id": 1})
        slow = Slow(database, Gate(database))
        assert await slow.long() == 1
        assert len([one async for one in slow.report()]) == 1
        with pytest.raises(Unavailable):
            await slow.short()

        # The database works, so others find it open again at once.
        async def opens() -> bool:
            try:
                slow._gate.check()
            except Unavailable:
                return False
            return True

        await until(opens)


async def test_a_report_whose_database_was_started_anew_says_so(own_mongod: Mongod) -> None:
    async with open_store(own_mongod.uri, timedelta(days=1)) as store:
        await store.participants.fix_cohort(1, members(*range(1, 1_501)))
        rows = store.participants.cohort(1)
        await anext(rows)
        await asyncio.to_thread(own_mongod.kill)
        await asyncio.to_thread(own_mongod.start)
        with pytest.raises(Unavailable):
            async for _ in rows:
                pass
        await until(lambda: pings(store))


async def pings(store: Any) -> bool:
    try:
        await store.ping()
    except Unavailable:
        return False
    return True
