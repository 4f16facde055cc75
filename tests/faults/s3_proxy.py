"""An S3 endpoint that fails as it is told: an HTTP server in front of a real one."""

import asyncio
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum

import aiohttp
from aiohttp import web
from yarl import URL

_ERROR = "<Error><Code>{}</Code><Message>m</Message></Error>"
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"}


class Fault(StrEnum):
    STATUS_500 = "500"
    STATUS_503 = "503"
    HANG = "no answer"
    DRIP = "an answer that comes a byte at a time"
    TRUNCATE = "an answer that breaks off"
    RESET = "a reset instead of an answer"
    LOSE = "done, and a reset instead of the answer"


@dataclass
class FaultyS3:
    endpoint: str
    url: str = ""
    fault: Fault | None = None
    pattern: str = ""
    """Of `METHOD /path?query`: what the fault is for."""
    hits: list[str] = field(default_factory=list)
    """The requests that met it."""
    _left: int | None = None

    def fail(self, pattern: str, fault: Fault, times: int | None = None) -> None:
        self.pattern, self.fault, self._left = pattern, fault, times
        self.hits.clear()

    def mend(self) -> None:
        self.fault = None

    async def answer(
        self, request: web.Request, session: aiohttp.ClientSession
    ) -> web.StreamResponse:
        line = f"{request.method} {request.raw_path}"
        fault = self.fault if re.search(self.pattern, line) else None
        if fault is None:
            return web.Response(**await self._forward(request, session))
        self.hits.append(line)
        if self._left is not None:
            self._left -= 1
            if not self._left:
                self.mend()
        match fault:
            case Fault.STATUS_500:
                await request.content.read()
                return web.Response(status=500, text=_ERROR.format("InternalError"))
            case Fault.STATUS_503:
                await request.content.read()
                return web.Response(status=503, text=_ERROR.format("SlowDown"))
            case Fault.HANG:
                await asyncio.sleep(60)
            case Fault.LOSE:
                await self._forward(request, session)
            case Fault.DRIP | Fault.TRUNCATE:
                given = await self._forward(request, session)
                await self._break_off(request, fault, **given)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _forward(
        self, request: web.Request, session: aiohttp.ClientSession
    ) -> dict[str, object]:
        url = URL(self.endpoint + request.raw_path, encoded=True)
        headers = {k: v for k, v in request.headers.items() if k.lower() != "expect"}
        data = io.BytesIO(await request.content.read())
        async with session.request(request.method, url, headers=headers, data=data) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
            if request.method == "HEAD":
                kept["Content-Length"] = answer.headers["Content-Length"]
            return {"status": answer.status, "headers": kept, "body": await answer.read()}

    async def _break_off(
        self, request: web.Request, fault: Fault, status: int, headers: dict[str, str], body: bytes
    ) -> None:
        answer = web.StreamResponse(status=status, headers=headers)
        answer.content_length = len(body)
        await answer.prepare(request)
        if fault is Fault.TRUNCATE:
            await answer.write(body[: len(body) // 2])
            return
        for byte in body:
            await answer.write(bytes([byte]))
            await asyncio.sleep(0.05)


@asynccontextmanager
async def faulty_s3(endpoint: str) -> AsyncIterator[FaultyS3]:
    s3 = FaultyS3(endpoint)
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def handle(request: web.Request) -> web.StreamResponse:
            return await s3.answer(request, session)

        server = web.Server(handle)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        s3.url = f"http://127.0.0.1:{port}"
        try:
            yield s3
        finally:
            await runner.cleanup()
