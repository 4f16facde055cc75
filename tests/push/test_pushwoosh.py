"""What the push client takes for a success, and that its failures give nothing away."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest

from flaas.domain.ports import PushFailed
from flaas.fleet.pushwoosh import Failure, PushwooshStandIn
from flaas.push.log import LogPush
from flaas.push.pushwoosh import Pushwoosh, open_pushwoosh

from ..store.records import batch

TOKEN, APPLICATION = "a-secret-api-token", "TEST-APP"
OK = b'{"status_code":200,"status_message":"OK","response":{"Messages":["A"]}}'

DATA = {
    "type": "train",
    "validDate": 1_800_000_000_000,
    "request": 1,
    "project": 1,
    "round": 0,
    "trainingMode": "BASELINE",
}


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
    return head.encode() + body


@asynccontextmanager
async def answering(*pieces: bytes, pause: float = 0.0) -> AsyncIterator[str]:
    """A server that answers every request with these bytes, then hangs up."""

    served: list[asyncio.Task[None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        with suppress(OSError):  # the client may have heard enough
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
            writer.close()
            await writer.wait_closed()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.create_task(answer(reader, writer)))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"
        await asyncio.gather(*served)


@asynccontextmanager
async def client(url: str, timeout: float = 5.0) -> AsyncIterator[Pushwoosh]:
    limit = aiohttp.ClientTimeout(total=timeout)
    async with aiohttp.ClientSession(timeout=limit) as session:
        yield Pushwoosh(session, url, TOKEN, APPLICATION)


async def test_a_train_request_is_as_the_protocol_says() -> None:
    sent = batch(usernames=["ann", "bob"], data=DATA)
    async with (
        PushwooshStandIn(TOKEN, APPLICATION) as push,
        open_pushwoosh(f"{push.url}/", TOKEN, APPLICATION) as service,
    ):
        await service.send(sent)
        await service.send(sent)
        assert push.refusals == []
        assert push.requests[0] == {
            "auth": TOKEN,
            "application": APPLICATION,
            "notifications": [
                {
                    "send_date": "now",
                    "ignore_user_timezone": True,
                    "data": DATA,
                    "users": ["ann", "bob"],
                    "ios_silent": 1,
                    "android_silent": 1,
                    "ios_ttl": 3600,
                    "android_gcm_ttl": 3600,
                    "transactionId": "flaas-1-0",
                }
            ],
        }
        assert push.requests[1] == push.requests[0]
        assert push.delivered == [("ann", DATA), ("bob", DATA)]


@pytest.mark.parametrize("failure", Failure)
async def test_a_failure_of_the_service_is_a_failed_push(failure: Failure) -> None:
    async with (
        PushwooshStandIn(TOKEN, APPLICATION) as push,
        open_pushwoosh(push.url, TOKEN, APPLICATION) as service,
    ):
        push.fail_next(1, failure)
        with pytest.raises(PushFailed) as caught:
            await service.send(batch(data=DATA))
        assert TOKEN not in str(caught.value)
        await service.send(batch(data=DATA))


async def test_a_wrong_token_is_a_failed_push_that_does_not_show_it() -> None:
    async with (
        PushwooshStandIn("another", APPLICATION) as push,
        open_pushwoosh(push.url, TOKEN, APPLICATION) as service,
    ):
        with pytest.raises(PushFailed, match="status_code 210") as caught:
            await service.send(batch(data=DATA))
    assert TOKEN not in str(caught.value)


def refusal(**answer: object) -> bytes:
    return http(json.dumps(answer).encode())


ANSWERS = {
    "HTTP 500": http(OK, "500 Internal Server Error"),
    "HTTP 401": http(OK, "401 Unauthorized"),
    "HTTP 201": http(OK, "201 Created"),
    "a redirect to nowhere": http(OK, "301 Moved Permanently"),
    "HTTP 403 with the token": http(f"no such token: {TOKEN}".encode(), "403 Forbidden"),
    "a refusal": refusal(status_code=210, status_message="Argument error"),
    "a refusal without a text": refusal(status_code=210, status_message=None),
    "a refusal with the token": refusal(status_code=210, status_message=f"wrong: {TOKEN}"),
    "a code that is text": refusal(status_code="200"),
    "no code": refusal(status_message="OK"),
    "another JSON": http(b"[200]"),
    "an empty body": http(b""),
    "a page": http(b"<html>maintenance</html>"),
    "no text": http(b"\xff\xfe"),
    "too much": http(b'{"status_code":200' + b" " * (2 << 20)),
    "nothing": b"",
    "no HTTP": b"nonsense\r\n\r\n",
    "a body cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + OK[:20],
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
async def test_every_other_answer_is_a_failed_push_without_the_token(answer: bytes) -> None:
    async with answering(answer) as url, client(url) as service:
        with pytest.raises(PushFailed) as caught:
            await service.send(batch(data=DATA))
    assert TOKEN not in str(caught.value)
    assert str(caught.value)


async def test_no_answer_in_time_is_a_failed_push() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n", pause=0.5) as url, client(url, 0.2) as service:
        with pytest.raises(PushFailed, match="Timeout") as caught:
            await service.send(batch(data=DATA))
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://name.invalid", "http://[::1"])
async def test_nobody_there_is_a_failed_push(url: str) -> None:
    async with client(url) as service:
        with pytest.raises(PushFailed) as caught:
            await service.send(batch(data=DATA))
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("at", [1, 10, len(OK) - 1])
async def test_an_answer_that_comes_in_pieces_is_read_whole(at: int) -> None:
    whole = http(OK)
    cut = len(whole) - len(OK) + at
    async with answering(whole[:cut], whole[cut:], pause=0.1) as url, client(url) as service:
        await service.send(batch(data=DATA))


async def test_a_chunked_answer_is_read_whole() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    chunk: Callable[[bytes], bytes] = lambda part: b"%x\r\n%s\r\n" % (len(part), part)  # noqa: E731
    pieces = head, chunk(OK[:30]), chunk(OK[30:]), chunk(b"")
    async with answering(*pieces, pause=0.05) as url, client(url) as service:
        await service.send(batch(data=DATA))


async def test_without_a_service_a_push_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await LogPush().send(batch(usernames=["ann", "bob"], data=DATA))
    assert "2 devices" in caplog.text
    assert "'request': 1" in caplog.text
