"""From start to stop: listen, tick, and on a signal drain and close."""

import asyncio
import logging
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

from flaas.app import App, make_web, open_app
from flaas.domain.ports import Clock
from flaas.settings import SettingError, Settings
from flaas.web.context import Context

log = logging.getLogger(__name__)

_READ_BYTES: Final = 1 << 16
"""Bodies come in pieces of at most this: large enough that a model is a few dozen, small enough
for thousands of connections: as much of a body may be read along with its headers."""

_NO_LIMIT: Final = 1 << 62
"""Each handler bounds its own body and says so in JSON; Tornado's bound would just hang up."""

_IDLE_SECONDS: Final = 60.0
"""A connection is closed when its next request's headers are not whole by then."""

_DEAF_MILLISECONDS: Final = 120_000
"""A connection is closed when its client takes nothing of what it was sent for that long."""

_CONNECTIONS: Final = 8_192
"""Further ones are closed at once. Each costs some 30 KB, and `_READ_BYTES` while it waits with a
file for its turn."""

_OTHER_FILES: Final = 512
"""Descriptors that are not clients' connections."""

_BACKLOG: Final = 1024
"""Connections that wait to be accepted: a push wakes thousands of phones at once."""


class _Server(HTTPServer):
    """An `HTTPServer` with a bound on its connections: out of descriptors, a process can neither
    accept nor do anything else."""

    connections_max = _CONNECTIONS

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if len(self._connections) < self.connections_max:
            super().handle_stream(stream, address)
        else:
            stream.close()


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[str]:
    """The URL at which `app` serves and schedules until the block ends, then drains."""
    await _ensure_admin(app)
    settings = app.settings
    application, context = make_web(app)
    server = _Server(
        application,
        xheaders=False,
        chunk_size=_READ_BYTES,
        max_body_size=_NO_LIMIT,
        idle_connection_timeout=_IDLE_SECONDS,
    )
    server.connections_max = _allow_connections()
    listening = _bind(settings)
    server.add_socket(listening)
    app.scheduler.start()
    try:
        host, port = listening.getsockname()[:2]
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        await _drain(app, context)
        server.stop()
        await server.close_all_connections()
        await asyncio.gather(*context.cleaning, return_exceptions=True)


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_app(settings) as app, serving(app) as url:
        log.info("serving at %s", url)
        await stop.wait()
        log.info("stopping: requests in flight have %.0f s to finish", settings.drain_seconds)
    log.info("stopped")


@asynccontextmanager
async def running(settings: Settings, clock: Clock | None = None) -> AsyncIterator[tuple[App, str]]:
    """A whole server inside this process: for the demo and the tests."""
    opened = open_app(settings, clock) if clock else open_app(settings)
    async with opened as app, serving(app) as url:
        yield app, url


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
    try:
        bound = socket.create_server(
            (settings.address, settings.port), family=family, backlog=_BACKLOG
        )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise SettingError(f"{settings.address}:{settings.port}: {reason}") from None
    bound.setblocking(False)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAF_MILLISECONDS)
    return bound


def _allow_connections() -> int:
    """Raise the process's own limit of descriptors as far as it may go; how many connections fit
    below it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most == resource.RLIM_INFINITY:
        return _CONNECTIONS
    return max(min(_CONNECTIONS, most - _OTHER_FILES), 1)


async def _ensure_admin(app: App) -> None:
    settings = app.settings
    if settings.admin_username is not None and settings.admin_password is not None:
        made = await app.services.accounts.ensure_staff(
            settings.admin_username, settings.admin_password.reveal()
        )
        if made:
            log.info("created the staff account %s", settings.admin_username)


async def _drain(app: App, context: Context) -> None:
    """New requests are told to come back; those in flight, and the tick, may finish."""
    context.drain()
    seconds = app.settings.drain_seconds
    closing = asyncio.create_task(app.scheduler.close(seconds))
    try:
        async with asyncio.timeout(seconds):
            await context.idle.wait()
    except TimeoutError:
        log.warning("%d requests were cut off", context.in_flight)
    await closing
