"""What tests do over and over: call the API as an operator or a phone would."""

import asyncio
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp

from flaas.app import App
from flaas.services.rounds import Advance

ADMIN, ADMIN_PASSWORD = "root", "a password of staff"

JSON_HEADERS = {"Content-Type": "application/json"}

DEVICE_INFO: dict[str, Any] = {
    "battery_status": {"level": 0.9, "power_plugged": True},
    "device_details": {"os": "Android", "model": "Pixel", "version": 33},
}


class Clock(Protocol):
    def pass_(self, **time: float) -> None: ...


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """Calls one server, with the credentials it has."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url
        self.token = token
        self._session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        follow: bool = False,
    ) -> Answer:
        sent = dict(headers or {})
        if self.token and "Authorization" not in sent:
            sent["Authorization"] = f"Bearer {self.token}"
        if document is not None:
            body, sent = json.dumps(document).encode(), JSON_HEADERS | sent
        async with self._session.request(
            method, self.url + path, data=body, headers=sent, allow_redirects=follow
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def sign_in(self, username: str, password: str) -> None:
        document = {"username": username, "password": password}
        answer = await self.call("POST", "/api/token/", document, headers={"Authorization": ""})
        assert answer.status == 200, answer.body
        self.token = answer.json["access"]


class Operator(Caller):
    """A member of staff."""

    async def __aenter__(self) -> Self:
        await self.sign_in(ADMIN, ADMIN_PASSWORD)
        return self

    async def put_model(self, name: str, values: list[float]) -> None:
        answer = await self.call("PUT", f"/admin/models/{name}", body=floats(values))
        assert answer.status == 201, answer.body

    async def create_project(self, **settings: Any) -> int:
        document = {"title": "Project 1", "model": "M", **settings}
        answer = await self.call("POST", "/api/project", document)
        assert answer.status == 201, answer.body
        return int(answer.json["id"])

    async def start(self, project_id: int) -> None:
        answer = await self.call("PATCH", f"/api/project/{project_id}", {"status": "In Progress"})
        assert answer.status == 200, answer.body


class PhoneCaller(Caller):
    """A phone whose every call a test makes by hand."""

    def __init__(self, url: str, token: str, username: str) -> None:
        super().__init__(url, token)
        self.username = username

    async def ping(self, info: Mapping[str, Any] = DEVICE_INFO) -> Answer:
        document = {"request_type": "device-ping", "device_info": info}
        return await self.call("POST", "/api/report-availability", document)

    async def report(self, request_id: int) -> Answer:
        document = {
            "request_type": "device-train",
            "request_id": request_id,
            "device_info": DEVICE_INFO,
        }
        return await self.call("POST", "/api/report-availability", document)

    async def join(self, project_id: int, number: int, status: int = 1) -> Answer:
        path = f"/api/project/{project_id}/join-round/{number}/?status={status}"
        return await self.call("GET", path)

    async def get_model(self, project_id: int, number: int) -> Answer:
        path = f"/api/project/{project_id}/get-model/{number}/"
        return await self.call("GET", path, follow=True)

    async def submit_model(self, project_id: int, number: int, body: bytes) -> Answer:
        path = f"/api/project/{project_id}/submit-model/{number}/model_weights.bin"
        headers = {"Content-Type": "application/octet-stream"}
        return await self.call("POST", path, body=body, headers=headers)

    async def submit_results(self, project_id: int, number: int, document: Any) -> Answer:
        path = f"/api/project/{project_id}/submit-results/{number}/performance.json"
        return await self.call("POST", path, document)


@dataclass
class Server:
    """A running server, seen from outside and from inside."""

    app: App
    url: str
    operator: Operator
    clock: Clock

    async def phones(self, count: int, project_id: int, prefix: str = "user") -> list[PhoneCaller]:
        """Accounts that are assigned to the project and signed in. To be closed by the caller."""
        created = await self.app.services.accounts.create_users(count, prefix=prefix)
        await self.app.services.accounts.assign(project_id, prefix)
        phones = []
        for one in created:
            caller = Caller(self.url)
            async with caller:
                await caller.sign_in(one.username, one.password)
            phones.append(PhoneCaller(self.url, caller.token or "", one.username))
        return phones


async def advance(app: App, project_id: int) -> Advance:
    """Advance a project here, after whoever is at it."""
    async with asyncio.timeout(20):
        while (done := await app.services.rounds.advance(project_id)).busy:
            await asyncio.sleep(0.02)
    return done


def floats(values: list[float]) -> bytes:
    """A model file."""
    return struct.pack(f"<{len(values)}f", *values)
