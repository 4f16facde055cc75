"""A client that is refused in the middle of a body can read why: tried on bare sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from ..support import Server
from .conftest import MODEL_BYTES, Trial

BIG = 3_000_000


@asynccontextmanager
async def connection(
    server: Server,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def send_all_then_read(
    server: Server, path: str, token: str | None, length: int, body: bytes
) -> tuple[int, dict[str, object]]:
    """As OkHttp does: the whole request is written before the answer is read."""
    async with connection(server) as (reader, writer):
        lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {length}"]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        for start in range(0, len(body), 65536):
            writer.write(body[start : start + 65536])
            await writer.drain()
        async with asyncio.timeout(20):
            return await read_answer(reader)


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, object]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status = int(head.split()[1])
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
    return status, json.loads(await reader.readexactly(int(headers["content-length"])))


async def test_a_refused_upload_is_read_to_its_end_and_answered(trial: Trial) -> None:
    path = f"/api/project/{trial.project_id}/submit-model/0/model_weights.bin"
    status, answer = await send_all_then_read(
        trial.server, path, trial.phones[0].token, BIG, bytes(BIG)
    )
    assert status == 409
    assert answer["detail"] == "The round has not started; wait for its train request."


async def test_an_upload_without_a_token_is_answered(trial: Trial) -> None:
    path = f"/api/project/{trial.project_id}/submit-model/0/model_weights.bin"
    status, answer = await send_all_then_read(trial.server, path, None, BIG, bytes(BIG))
    assert status == 401
    assert answer["code"] == "not_authenticated"


async def test_a_wrong_length_is_answered_before_the_body_is_sent(trial: Trial) -> None:
    await trial.ask_all()
    path = f"/api/project/{trial.project_id}/submit-model/0/model_weights.bin"
    async with connection(trial.server) as (reader, writer):
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n"
            f"Authorization: Bearer {trial.phones[0].token}\r\n\r\n".encode()
        )
        async with asyncio.timeout(2):
            status, answer = await read_answer(reader)
    assert status == 400
    assert answer["detail"] == "The model has 16 bytes; 20 were sent."


async def test_a_client_that_never_sends_its_refused_body_is_let_go(trial: Trial) -> None:
    path = f"/api/project/{trial.project_id}/submit-model/0/model_weights.bin"
    async with connection(trial.server) as (reader, writer):
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n".encode())
        async with asyncio.timeout(10):
            status, _ = await read_answer(reader)
            assert status == 401
            assert await reader.read() == b""


async def test_a_connection_goes_on_after_a_refused_body(trial: Trial) -> None:
    async with connection(trial.server) as (reader, writer):
        for _ in range(2):
            writer.write(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
            async with asyncio.timeout(5):
                status, answer = await read_answer(reader)
            assert (status, answer["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [("/api/token/", 2_000_000, 413), ("/api/report-availability", 2_000_000, 413)],
)
async def test_a_body_over_the_limit_is_refused(
    trial: Trial, path: str, size: int, status: int
) -> None:
    token = trial.phones[0].token
    answered, answer = await send_all_then_read(trial.server, path, token, size, bytes(size))
    assert answered == status
    assert answer["code"] == "too_large"


async def test_a_chunked_body_over_the_limit_is_refused(trial: Trial) -> None:
    async with connection(trial.server) as (reader, writer):
        writer.write(b"POST /api/token/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
        for _ in range(20):
            writer.write(chunk)
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        async with asyncio.timeout(10):
            status, answer = await read_answer(reader)
    assert (status, answer["code"]) == (413, "too_large")


async def test_an_upload_that_breaks_off_leaves_nothing_behind(trial: Trial) -> None:
    await trial.ask_all()
    before = len(asyncio.all_tasks())
    for _ in range(5):
        address = urlsplit(trial.server.url)
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        path = f"/api/project/{trial.project_id}/submit-model/0/model_weights.bin"
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {MODEL_BYTES}\r\n"
            f"Authorization: Bearer {trial.phones[0].token}\r\n\r\n12345".encode()
        )
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()
    async with asyncio.timeout(5):
        while len(asyncio.all_tasks()) > before:
            await asyncio.sleep(0.02)
    partial = trial.server.app.settings.data_dir / "files" / ".partial"
    assert list(partial.iterdir()) == []
    assert (
        await trial.phones[0].submit_model(trial.project_id, 0, bytes(MODEL_BYTES))
    ).status == 201


@pytest.mark.parametrize("megabytes", [5, 20, 60])
@pytest.mark.parametrize("path", ["/api/report-availability", "/nowhere"])
async def test_a_refusal_of_a_very_large_body_is_read(
    trial: Trial, path: str, megabytes: int
) -> None:
    size = megabytes << 20
    status, _ = await send_all_then_read(
        trial.server, path, trial.phones[0].token, size, bytes(size)
    )
    assert status in (404, 413)


async def test_a_chunked_upload_without_a_token_is_answered(trial: Trial) -> None:
    path = f"/api/project/{trial.project_id}/submit-model/0/model_weights.bin"
    async with connection(trial.server) as (reader, writer):
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode())
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(50):
            writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        async with asyncio.timeout(10):
            status, _ = await read_answer(reader)
    assert status == 401


async def test_a_client_that_waits_for_a_go_ahead_gets_one_answer(trial: Trial) -> None:
    async with connection(trial.server) as (reader, writer):
        writer.write(
            b"POST /api/report-availability HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        async with asyncio.timeout(3):
            status, _ = await read_answer(reader)
            assert status == 401
            assert await reader.read() == b""


async def test_a_length_of_thousands_of_digits_is_too_large(trial: Trial) -> None:
    async with connection(trial.server) as (reader, writer):
        digits = b"9" * 5000
        writer.write(b"POST /api/token/ HTTP/1.1\r\nHost: x\r\nContent-Length: ")
        writer.write(digits + b"\r\n\r\n")
        async with asyncio.timeout(3):
            status, answer = await read_answer(reader)
    assert (status, answer["code"]) == (413, "too_large")
