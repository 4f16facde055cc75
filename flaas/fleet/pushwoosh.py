"""A stand-in for Pushwoosh: the real HTTP interface, strict about what it is sent.

A request is refused unless it is a train request exactly as the protocol describes it, so that a
field with a wrong name or type shows here and not on people's phones.
"""

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Callable
from enum import StrEnum
from socket import socket
from types import TracebackType
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

import msgspec
from msgspec import Meta
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from flaas.domain.project import INT_MAX, TrainingMode

PATH: Final = "/json/1.3/createMessage"
REQUEST_LIMIT: Final = 10_000_000
"""Bytes."""
REMEMBERED_FOR: Final = 300.0
"""Seconds in which a repeated `transactionId` is ignored."""
REFUSED: Final = 210

Listener: TypeAlias = Callable[[dict[str, str | int]], None]
Id: TypeAlias = Annotated[int, Meta(ge=0, le=INT_MAX)]
Ttl: TypeAlias = Annotated[int, Meta(ge=1, le=INT_MAX)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """With unknown fields refused: a misspelt optional field must show."""


class TrainData(_Strict, frozen=True):
    type: Literal["train"]
    valid_date: Annotated[int, Meta(ge=10**12)] = msgspec.field(name="validDate")
    """Epoch milliseconds; the bound catches seconds."""
    request: Id
    project: Id
    round: Id
    training_mode: TrainingMode = msgspec.field(name="trainingMode")


class Notification(_Strict, frozen=True, kw_only=True):
    send_date: Literal["now"]
    ignore_user_timezone: bool
    data: TrainData
    users: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1, max_length=1000)]
    ios_silent: Literal[1]
    android_silent: Literal[1]
    ios_ttl: Ttl
    android_gcm_ttl: Ttl
    transaction_id: str | None = msgspec.field(name="transactionId", default=None)


class CreateMessage(_Strict, frozen=True):
    auth: str
    application: str
    notifications: Annotated[list[Notification], Meta(min_length=1, max_length=1000)]


class _Envelope(_Strict, frozen=True):
    request: CreateMessage


class Failure(StrEnum):
    """What can be made to go wrong."""

    HTTP_500 = "http 500"
    STATUS_500 = "status_code 500 in a 200"
    DROP = "connection closed, message lost"
    LOST_ANSWER = "connection closed, message sent"


class PushwooshStandIn:
    """Serves `createMessage` on `url` and hands messages to the listeners of their users."""

    def __init__(
        self,
        auth: str,
        application: str,
        *,
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.requests: list[dict[str, Any]] = []
        """Every `request` object that was JSON, as it came, refused or not."""
        self.refusals: list[str] = []
        """The texts of the answers with `status_code` 210."""
        self.delivered: list[tuple[str, dict[str, str | int]]] = []
        """Username and data of each push handed out, listener or not; repeats are not."""
        self._port = port
        self._auth = auth
        self._application = application
        self._clock = clock
        self._listeners: dict[str, list[Listener]] = defaultdict(list)
        self._seen: dict[str, tuple[float, str]] = {}
        self._failures: list[Failure] = []
        self._numbers = itertools.count(1)
        self._server = HTTPServer(Application([(PATH, _Handler, {"service": self})]))
        self._sockets: list[socket] = []

    @property
    def url(self) -> str:
        """What stands for https://cp.pushwoosh.com while this runs; no slash at the end."""
        return f"http://127.0.0.1:{self._sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._sockets = bind_sockets(self._port, "127.0.0.1")
        self._server.add_sockets(self._sockets)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop()
        await self._server.close_all_connections()

    def subscribe(self, username: str, callback: Listener) -> Callable[[], None]:
        """Call `callback` with the data of every push to `username`. Returns what ends that."""
        listeners = self._listeners[username]
        listeners.append(callback)
        return lambda: listeners.remove(callback)

    def fail_next(self, count: int, kind: Failure) -> None:
        """Make the next `count` requests fail, after those that were ordered to before."""
        self._failures.extend([kind] * count)

    def next_failure(self) -> Failure | None:
        return self._failures.pop(0) if self._failures else None

    def create_message(self, body: bytes) -> dict[str, Any]:
        """Check a request and send its messages; the answer's JSON."""
        try:
            notifications = self._read(body).notifications
        except ValueError as error:
            self.refusals.append(str(error))
            return {"status_code": REFUSED, "status_message": str(error), "response": None}
        codes = [self._send(notification) for notification in notifications]
        return {"status_code": 200, "status_message": "OK", "response": {"Messages": codes}}

    def _read(self, body: bytes) -> CreateMessage:
        """Raises `ValueError` with what is wrong."""
        if len(body) > REQUEST_LIMIT:
            raise ValueError(f"A request has at most {REQUEST_LIMIT} bytes, this one {len(body)}")
        raw = msgspec.json.decode(body)
        if isinstance(raw, dict) and isinstance(raw.get("request"), dict):
            self.requests.append(raw["request"])
        request = msgspec.convert(raw, _Envelope).request
        if request.auth != self._auth:
            raise ValueError("Access denied or application not found: wrong auth token")
        if request.application != self._application:
            raise ValueError("Access denied or application not found: wrong application code")
        for notification in request.notifications:
            if len(set(notification.users)) < len(notification.users):
                raise ValueError("A user is twice in one notification")
        return request

    def _send(self, notification: Notification) -> str:
        """Hand a notification to the listeners, unless it is a repeat; its message code."""
        now = self._clock()
        self._seen = {key: seen for key, seen in self._seen.items() if seen[0] > now}
        key = notification.transaction_id
        if key is not None and key in self._seen:
            return self._seen[key][1]
        code = f"{next(self._numbers):04X}-STANDIN"
        if key is not None:
            self._seen[key] = now + REMEMBERED_FOR, code
        data = msgspec.to_builtins(notification.data)
        for username in notification.users:
            asyncio.get_running_loop().call_soon(self._deliver, username, data)
        return code

    def _deliver(self, username: str, data: dict[str, str | int]) -> None:
        self.delivered.append((username, data))
        for listener in self._listeners[username].copy():
            listener(dict(data))


class _Handler(RequestHandler):
    def initialize(self, service: PushwooshStandIn) -> None:
        self._service = service

    def post(self) -> None:
        failure = self._service.next_failure()
        if failure is Failure.DROP:
            self.detach().close()
        elif failure is Failure.LOST_ANSWER:
            self._service.create_message(self.request.body)
            self.detach().close()
        elif failure is Failure.HTTP_500:
            self.set_status(500)
            self.finish("Internal Server Error")
        elif failure is Failure.STATUS_500:
            self._answer({"status_code": 500, "status_message": "Internal error"})
        else:
            self._answer(self._service.create_message(self.request.body))

    def _answer(self, answer: dict[str, Any]) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(answer))
