"""Starting, stopping and ticking, in a process of this one."""

import asyncio
from collections.abc import Callable

import pytest

from flaas.app import open_app
from flaas.domain.round import RoundStatus
from flaas.lifecycle import running, serving
from flaas.settings import SettingError, Settings

from .conftest import TestClock
from .support import Caller, Operator, PhoneCaller, Server, floats


async def test_a_stopping_server_lets_requests_finish_and_takes_no_more(
    make_settings: Callable[..., Settings],
) -> None:
    async with open_app(make_settings(FLAAS_DRAIN_SECONDS="5")) as app:
        stop = asyncio.Event()
        started = asyncio.get_running_loop().create_future()

        async def serve() -> None:
            async with serving(app) as url:
                started.set_result(url)
                await stop.wait()

        server = asyncio.create_task(serve())
        url = await started
        async with Operator(url) as operator:
            half_sent = asyncio.Event()

            async def slow_body():  # type: ignore[no-untyped-def]
                yield floats([1.0])
                half_sent.set()
                await asyncio.sleep(1)
                yield floats([2.0])

            upload = asyncio.create_task(
                operator.call("PUT", "/admin/models/SLOW", body=slow_body())
            )
            await half_sent.wait()
            await asyncio.sleep(0.2)  # until it has arrived
            stop.set()
            await asyncio.sleep(0.1)
            async with Caller(url) as late:
                answer = await late.call("GET", "/healthz")
                assert answer.status == 503
                assert answer.headers["Connection"] == "close"
                assert "Retry-After" in answer.headers
            assert (await upload).status == 201
        async with asyncio.timeout(3):
            await server


async def test_requests_that_do_not_end_are_cut_off_after_the_deadline(
    make_settings: Callable[..., Settings],
) -> None:
    hung: asyncio.Task[object] | None = None
    async with asyncio.timeout(10):
        async with running(make_settings(FLAAS_DRAIN_SECONDS="0.5")) as (_, url):
            operator = await Operator(url).__aenter__()

            async def endless():  # type: ignore[no-untyped-def]
                yield floats([1.0])
                await asyncio.sleep(60)

            hung = asyncio.create_task(operator.call("PUT", "/admin/models/X", body=endless()))
            await asyncio.sleep(0.2)
    with pytest.raises(Exception):  # noqa: B017, PT011 - however the client words it
        await hung
    await operator.__aexit__(None, None, None)


async def test_a_port_that_is_taken_is_said_in_one_line(
    make_settings: Callable[..., Settings],
) -> None:
    async with running(make_settings()) as (_, url):
        port = url.rpartition(":")[2]
        with pytest.raises(SettingError, match=f"127.0.0.1:{port}: Address already in use"):
            async with running(make_settings(PORT=port)):
                pass


async def test_the_staff_account_of_the_settings_exists_and_gets_its_new_password(
    make_settings: Callable[..., Settings],
) -> None:
    async with running(make_settings()) as (_, url), Operator(url):
        pass
    changed = make_settings(FLAAS_ADMIN_PASSWORD="another password")
    async with running(changed) as (_, url), Caller(url) as caller:
        old = {"username": "root", "password": "a password of staff"}
        assert (await caller.call("POST", "/api/token/", old)).status == 401
        await caller.sign_in("root", "another password")


async def test_the_timer_moves_rounds_without_being_asked(
    make_settings: Callable[..., Settings], clock: TestClock
) -> None:
    settings = make_settings(FLAAS_TICK_SECONDS="0.2")
    async with running(settings, clock) as (app, url), Operator(url) as operator:
        await operator.put_model("M", [1.0])
        project_id = await operator.create_project(max_training_time=10)
        (phone,) = await Server(app, url, operator, clock).phones(1, project_id)
        await operator.start(project_id)
        async with phone:
            assert (await phone.ping()).status == 201
            await until(app.services.store.rounds.by_number, project_id, RoundStatus.TRAINING)
            clock.pass_(minutes=10)
            await until(app.services.store.rounds.by_number, project_id, RoundStatus.INVALID)


async def test_two_servers_on_one_database_share_the_work(
    make_settings: Callable[..., Settings], clock: TestClock
) -> None:
    settings = make_settings(FLAAS_TICK_SECONDS="0.1")
    async with (
        running(settings, clock) as (app, url),
        running(settings, clock) as (other, other_url),
        Operator(url) as operator,
    ):
        await operator.put_model("M", [1.0, 2.0])
        project_id = await operator.create_project(number_of_rounds=3)
        phones = await Server(app, url, operator, clock).phones(4, project_id)
        # Half of the phones speak to one server and half to the other.
        for phone in phones[2:]:
            phone.url = other_url
        await operator.start(project_id)
        await asyncio.gather(*(work(phone, project_id, 3) for phone in phones))
        async with asyncio.timeout(20):
            while (await operator.call("GET", f"/api/project/{project_id}")).json[
                "status"
            ] != "Completed":
                await asyncio.sleep(0.05)
        rounds = await other.services.store.rounds.all(project_id)
        assert [one.number for one in rounds] == [0, 1, 2]
        assert all(one.status is RoundStatus.COMPLETE for one in rounds)
        for phone in phones:
            await phone.__aexit__(None, None, None)


async def work(phone: PhoneCaller, project_id: int, rounds: int) -> None:
    """Answer each round as soon as it trains."""
    await phone.ping()
    async with asyncio.timeout(30):
        for number in range(rounds):
            while (joined := await phone.join(project_id, number)).status == 404 or (
                joined.json["status"] == 1
            ):
                await asyncio.sleep(0.02)
            assert (await phone.submit_model(project_id, number, floats([1, 2]))).status == 201
            request = joined.json["id"]
            assert (await phone.report(request)).json == {"counted": True}


async def until(by_number: Callable[..., object], project_id: int, status: RoundStatus) -> None:
    async with asyncio.timeout(10):
        while True:
            found = await by_number(project_id, 0)  # type: ignore[misc]
            if found and found.status is status:
                return
            await asyncio.sleep(0.02)
