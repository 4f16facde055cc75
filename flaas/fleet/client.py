"""The HTTP side of one phone: tokens, URLs and headers as the field app has them."""

import asyncio
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import aiohttp
import msgspec
from msgspec import Meta

from flaas.domain.project import APPS, DatasetType, TrainingMode
from flaas.fleet.retry import StepFailed

JavaInt: TypeAlias = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Count: TypeAlias = Annotated[int, Meta(ge=1, le=2**31 - 1)]
ZonedDate: TypeAlias = Annotated[datetime, Meta(tz=True)]

JOIN: Final = 1
EXPIRED_AT_DOWNLOAD: Final = 2
EXPIRED_AT_MERGE: Final = 4
EXPIRED_AT_RESULTS: Final = 5
"""The join statuses that the app sends: the first to start, the others to say where it stopped."""

_TOKEN = "/api/token/"  # noqa: S105 - a path
_REFRESH = "/api/token/refresh/"


class CallFailed(StepFailed):
    """A call that did not bring what the app needs."""

    def __init__(self, text: str, *, status: int | None = None, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.status = status
        """Of the answer; None when there was none."""
        self.retry_after = retry_after


class SignedOut(Exception):
    """The server refused the refresh token: somebody has to sign in on this phone again."""


@dataclass(frozen=True)
class Account:
    username: str
    password: str = field(repr=False)


class Tokens(msgspec.Struct, frozen=True):
    access: str
    refresh: str


class Project(msgspec.Struct, frozen=True):
    """What the app reads of a project: every field is there and has its type."""

    id: JavaInt
    create_date: ZonedDate
    title: str
    description: str | None
    status: str
    model: str
    dataset: str
    dataset_type: DatasetType
    training_mode: TrainingMode
    number_of_rounds: JavaInt
    number_of_apps: JavaInt
    number_of_samples: JavaInt
    number_of_epochs: JavaInt
    responses_ratio_threshold: str
    max_training_time: JavaInt
    valid_round_training_threshold: str
    power_plugged_only: bool
    battery_level_threshold: str
    seed: JavaInt | None
    current_round: JavaInt


class Round(msgspec.Struct, frozen=True):
    """What the app reads of a round. A null seed would crash it."""

    id: JavaInt
    create_date: ZonedDate
    round_number: JavaInt
    status: Annotated[int, Meta(ge=1, le=4)]
    start_training_date: ZonedDate | None
    stop_training_date: ZonedDate | None
    number_of_samples: Count
    number_of_epochs: Count
    seed: JavaInt
    project: JavaInt
    model: str
    dataset: str
    dataset_type: DatasetType
    training_mode: TrainingMode
    number_of_apps: Annotated[int, Meta(ge=1, le=len(APPS))]


Answer = TypeVar("Answer")


def open_session(connections: int = 256) -> aiohttp.ClientSession:
    """One session for all phones of a process: it bounds the sockets that they use at a time.

    Waiting for a socket is not limited; reading and connecting are, at OkHttp's two minutes.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=120, sock_read=120),
    )


class Client:
    """The calls of one phone. Each raises `CallFailed` or `SignedOut`."""

    def __init__(self, session: aiohttp.ClientSession, url: str, account: Account) -> None:
        self.account = account
        self.tokens: Tokens | None = None
        self._session = session
        self._base = url.rstrip("/")
        self._refreshing = asyncio.Lock()

    async def sign_in(self) -> None:
        form = {"username": self.account.username, "password": self.account.password}
        self.tokens = _decode(await self._call("POST", _TOKEN, data=form), Tokens)

    async def projects(self) -> list[Project]:
        return _decode(await self._call("GET", "/api/project"), list[Project])

    async def project(self, project: int) -> Project:
        return _decode(await self._call("GET", f"/api/project/{project}"), Project)

    async def join_round(self, project: int, round_: int, status: int = JOIN) -> Round:
        path = f"/api/project/{project}/join-round/{round_}/?status={status}"
        return _decode(await self._call("GET", path), Round)

    async def get_model(self, project: int, round_: int) -> bytes:
        return await self._call("GET", f"/api/project/{project}/get-model/{round_}/")

    async def get_samples(self, dataset_type: DatasetType, app: int) -> bytes:
        return await self._call("GET", f"/api/get-samples/{dataset_type}/{app}/")

    async def submit_model(self, project: int, round_: int, model: bytes) -> None:
        path = f"/api/project/{project}/submit-model/{round_}/model_weights.bin"
        await self._call("POST", path, data=model, content_type="application/octet-stream")

    async def report_availability(self, report: Mapping[str, Any]) -> None:
        await self._post_json("/api/report-availability", report)

    async def submit_results(self, project: int, round_: int, results: Mapping[str, Any]) -> None:
        path = f"/api/project/{project}/submit-results/{round_}/performance.json"
        await self._post_json(path, results)

    async def _post_json(self, path: str, document: Mapping[str, Any]) -> None:
        body = msgspec.json.encode(document)
        await self._call("POST", path, data=body, content_type="application/json")

    async def _call(
        self,
        method: str,
        path: str,
        *,
        data: bytes | Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> bytes:
        """Send, and on a 401 refresh the tokens once and send again."""
        sent_with = self.tokens
        try:
            return await self._send(method, path, data, content_type)
        except CallFailed as failure:
            if failure.status != 401:
                raise
        async with self._refreshing:
            # A ping and a task can both meet the expired token: the second finds it renewed.
            if self.tokens is sent_with:
                await self._refresh()
        return await self._send(method, path, data, content_type)

    async def _refresh(self) -> None:
        """Swap the tokens. Without any the app sends a blank one, as after a wrong password."""
        form = {"refresh": self.tokens.refresh if self.tokens else ""}
        try:
            answer = await self._send("POST", _REFRESH, form, None)
        except CallFailed as failure:
            if failure.status in (400, 403):
                self.tokens = None
                raise SignedOut(str(failure)) from failure
            if failure.status == 401:
                raise CallFailed(
                    "POST /api/token/refresh/ answered 401: the app would refresh without end"
                ) from failure
            raise
        self.tokens = _decode(answer, Tokens)

    async def _send(
        self,
        method: str,
        path: str,
        data: bytes | Mapping[str, str] | None,
        content_type: str | None,
    ) -> bytes:
        headers = {}
        if self.tokens:
            headers["Authorization"] = f"Bearer {self.tokens.access}"
        if content_type:
            headers["Content-Type"] = content_type
        try:
            async with self._session.request(
                method,
                self._base + path,
                # As a stream: aiohttp warns of large bodies that are plain bytes.
                data=io.BytesIO(data) if isinstance(data, bytes) else data,
                headers=headers,
                # aiohttp drops Authorization when a redirect leaves the host, as OkHttp does.
                # A redirected POST would become a GET there: a server must not send one.
                allow_redirects=method == "GET",
            ) as response:
                body = await response.read()
                if 200 <= response.status < 300:
                    return body
                raise CallFailed(
                    f"{method} {path} answered {response.status}: {_excerpt(body)}",
                    status=response.status,
                    retry_after=_seconds(response.headers.get("Retry-After", "")),
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CallFailed(f"{method} {path}: {type(error).__name__} {error}") from error


def _decode(body: bytes, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise CallFailed(f"the app cannot read the answer: {error}") from error


def _excerpt(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace")


def _seconds(retry_after: str) -> float:
    """Seconds from a Retry-After header, a number or a date; 0 when there is none to read."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        when = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    return max(0.0, when.timestamp() - time.time())
