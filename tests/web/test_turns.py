"""Uploads and downloads take turns, and who is too slow for its turn is cut: on bare sockets."""

import asyncio
import contextlib
import io
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from urllib.parse import urlsplit

import pytest

from flaas import lifecycle
from flaas.fleet.client import Account, Client, Tokens, open_session
from flaas.fleet.retry import Backoff
from flaas.lifecycle import running
from flaas.settings import Settings
from flaas.web import base, download, turns

from ..conftest import TestClock
from ..support import Operator, PhoneCaller, Server
from .conftest import MODEL_BYTES, Trial
from .test_refusals import connection, read_answer

SOON = 20
"""Seconds in which everything here happens, on a slow machine too."""

BIG = 16 << 20

QUICK = {"FLAAS_UPLOADS_AT_A_TIME": "1", "FLAAS_DOWNLOADS_AT_A_TIME": "1"}


@pytest.fixture
async def server(make_settings: Callable[..., Settings], clock: TestClock) -> AsyncIterator[Server]:
    """One transfer at a time."""
    async with running(make_settings(**QUICK), clock) as (app, url), Operator(url) as operator:
        yield Server(app, url, operator, clock)


def head(trial: Trial, phone: PhoneCaller) -> bytes:
    return (
        f"POST /api/project/{trial.project_id}/submit-model/0/model_weights.bin HTTP/1.1\r\n"
        f"Host: x\r\nContent-Length: {MODEL_BYTES}\r\nAuthorization: Bearer {phone.token}\r\n\r\n"
    ).encode()


@asynccontextmanager
async def unfinished_upload(
    trial: Trial,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """The first phone's, which has its turn and lacks a byte."""
    async with connection(trial.server) as (reader, writer):
        writer.write(head(trial, trial.phones[0]) + bytes(MODEL_BYTES - 1))
        partial = trial.server.app.settings.data_dir / "files" / ".partial"
        async with asyncio.timeout(SOON):
            while not list(partial.iterdir()):
                await asyncio.sleep(0.01)
        yield reader, writer


async def submit(trial: Trial, number: int = 1) -> int:
    async with asyncio.timeout(SOON):
        answer = await trial.phones[number].submit_model(trial.project_id, 0, bytes(MODEL_BYTES))
    return answer.status


async def test_an_upload_waits_for_its_turn(trial: Trial) -> None:
    await trial.ask_all()
    async with unfinished_upload(trial) as (reader, writer):
        waiting = [asyncio.create_task(submit(trial, number)) for number in (1, 2)]
        done, _ = await asyncio.wait(waiting, timeout=0.3)
        assert not done
        writer.write(b"\0")
        assert (await read_answer(reader))[0] == 201
        assert [await one for one in waiting] == [201, 201]


async def test_one_whose_turn_does_not_come_is_told_when_to_come_back(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_WAIT_SECONDS", 0.1)
    await trial.ask_all()
    pauses = set()
    async with unfinished_upload(trial):
        for _ in range(8):
            phone = trial.phones[1]
            answer = await phone.submit_model(trial.project_id, 0, bytes(MODEL_BYTES))
            assert (answer.status, answer.json["code"]) == (503, "busy")
            pauses.add(int(answer.headers["Retry-After"]))
    assert min(pauses) >= 5
    assert max(pauses) <= 20
    assert len(pauses) > 1, "phones that were refused together would come back together"


async def test_a_phone_that_was_told_to_come_back_gets_through(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_WAIT_SECONDS", 0.1)
    monkeypatch.setattr("flaas.web.errors._RETRY_AFTER_SECONDS", 1)
    monkeypatch.setattr("flaas.web.errors._RETRY_SPREAD_SECONDS", 0)
    await trial.ask_all()
    loop = asyncio.get_running_loop()
    tried = []

    async with open_session() as session, AsyncExitStack() as stack:
        await stack.enter_async_context(unfinished_upload(trial))
        client = Client(session, trial.server.url, Account(trial.phones[1].username, ""))
        client.tokens = Tokens(trial.phones[1].token or "", "")

        async def step(attempt: int) -> None:
            tried.append(loop.time())
            if attempt == 2:
                await stack.aclose()
            await client.submit_model(trial.project_id, 0, bytes(MODEL_BYTES))

        await Backoff(base=0).run(step, Random(1))
    assert len(tried) == 2
    assert tried[1] - tried[0] >= 1


async def test_a_body_that_stalls_is_refused_and_makes_room(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_PORTION_SECONDS", 0.3)
    monkeypatch.setattr(base, "_DRAIN_SECONDS", 0.5)
    await trial.ask_all()
    async with unfinished_upload(trial) as (reader, _), asyncio.timeout(SOON):
        status, answer = await read_answer(reader)
        assert (status, answer["code"]) == (408, "too_slow")
        assert await submit(trial) == 201
        assert await reader.read() == b""
    assert await submit(trial, 0) == 201


async def test_a_body_that_drips_is_refused(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_PORTION_SECONDS", 0.5)
    await trial.ask_all()
    async with connection(trial.server) as (reader, writer):
        writer.write(head(trial, trial.phones[0]))

        async def drip() -> None:
            for _ in range(MODEL_BYTES - 1):
                writer.write(b"\0")
                await asyncio.sleep(0.1)

        dripping = asyncio.create_task(drip())
        async with asyncio.timeout(SOON):
            assert (await read_answer(reader))[0] == 408
        assert not dripping.done(), "it was cut for its pace, not because it stopped"
        dripping.cancel()
    assert await submit(trial) == 201


async def test_only_the_client_s_time_counts_and_every_portion_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "_PORTION_SECONDS", 0.8)
    monkeypatch.setattr(turns, "_PORTION_BYTES", 10)
    slow = asyncio.Event()
    pace = turns.Pace(slow.set)
    for _ in range(4):
        for size in (9, 1):
            pace.wait()
            await asyncio.sleep(0.12)
            pace.stop()
            pace.came(size)
    pace.wait()
    await asyncio.sleep(0.2)
    pace.stop()
    await asyncio.sleep(0.8)  # ours
    assert not slow.is_set()
    pace.wait()
    await asyncio.wait_for(slow.wait(), SOON)


async def test_an_upload_is_given_up_after_its_whole_time(
    make_settings: Callable[..., Settings], clock: TestClock
) -> None:
    settings = make_settings(**QUICK, FLAAS_UPLOAD_TIMEOUT_SECONDS="0.3")
    async with running(settings, clock) as (app, url), Operator(url) as operator:
        server = Server(app, url, operator, clock)
        for _ in range(2):
            async with connection(server) as (reader, writer), asyncio.timeout(SOON):
                writer.write(
                    b"PUT /admin/models/SLOW HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n"
                    b"Authorization: Bearer %s\r\n\r\n1234" % (operator.token or "").encode()
                )
                assert await reader.read() == b""
        await operator.put_model("M", [1.0])


async def test_headers_that_drip_end_the_connection(
    make_settings: Callable[..., Settings], clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "_IDLE_SECONDS", 0.5)
    async with running(make_settings(), clock) as (app, url), Operator(url) as operator:
        server = Server(app, url, operator, clock)
        async with connection(server) as (reader, writer), asyncio.timeout(SOON):
            writer.write(b"GET /healthz HTTP/1.1\r\n")
            ended = asyncio.create_task(reader.read())
            for number in range(1_000):
                writer.write(b"X-%d: a\r\n" % number)
                await asyncio.wait([ended], timeout=0.05)
                if ended.done():
                    break
            assert await ended == b""


async def test_connections_beyond_the_bound_are_closed(
    make_settings: Callable[..., Settings], clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "_CONNECTIONS", 3)
    async with running(make_settings(), clock) as (_, url), asyncio.timeout(SOON):
        address = urlsplit(url)

        async def idle() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection(address.hostname, address.port)

        async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
            writer.write(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                return (await read_answer(reader))[0] == 404
            except (asyncio.IncompleteReadError, ConnectionError):
                return False

        held = [await idle() for _ in range(3)]
        for one in held:
            assert await answers(*one)
        refused = await idle()
        assert not await answers(*refused)
        held[0][1].close()
        later = []
        while True:
            later.append(await idle())
            if await answers(*later[-1]):
                break
            await asyncio.sleep(0.02)
        for _, writer in [*held, refused, *later]:
            writer.close()


async def test_a_client_that_asks_and_never_reads_is_cut(
    make_settings: Callable[..., Settings], clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "_DEAF_MILLISECONDS", 500)
    async with running(make_settings(), clock) as (_, url):
        address, loop = urlsplit(url), asyncio.get_running_loop()
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
            deaf.setblocking(False)
            await loop.sock_connect(deaf, (address.hostname, address.port))

            async def ask_for_ever() -> None:
                while True:
                    await loop.sock_sendall(deaf, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")

            with pytest.raises(ConnectionError):
                await asyncio.wait_for(ask_for_ever(), SOON)


async def test_a_client_that_does_not_read_its_download_is_cut_and_makes_room(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_PIECE_SECONDS", 0.5)
    # More than the kernel's buffers on both sides take.
    put = await server.operator.call("PUT", "/admin/models/BIG", body=io.BytesIO(bytes(BIG)))
    assert put.status == 201
    project_id = await server.operator.create_project(model="BIG")
    await server.operator.start(project_id)
    path = f"/api/project/{project_id}/get-model/0"
    async with asyncio.timeout(SOON):
        while (await server.operator.call("GET", path)).status != 200:
            await asyncio.sleep(0.05)
    address, loop = urlsplit(server.url), asyncio.get_running_loop()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        deaf.setblocking(False)
        await loop.sock_connect(deaf, (address.hostname, address.port))
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
        await loop.sock_sendall(deaf, f"{request}{server.operator.token}\r\n\r\n".encode())
        assert await loop.sock_recv(deaf, 1)  # it has its turn, and reads no more
        async with asyncio.timeout(SOON):
            answer = await server.operator.call("GET", path)
            assert (answer.status, len(answer.body)) == (200, BIG)
            got = 1
            with contextlib.suppress(ConnectionError):
                while piece := await loop.sock_recv(deaf, 1 << 20):
                    got += len(piece)
    assert got < BIG
