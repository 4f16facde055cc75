"""A project that passes through every transition, on a server that may die and come back."""

import asyncio
import hashlib
import multiprocessing
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np

from flaas import settings as settings_module
from flaas.app import App, open_app
from flaas.domain.device import User
from flaas.domain.round import RoundStatus
from flaas.fleet.pushwoosh import PushwooshStandIn
from flaas.settings import Settings

from ..support import ADMIN, ADMIN_PASSWORD, Answer, Caller, PhoneCaller, floats
from .mortal import Death, Launch, Point, run

PHONES: Final = 3
PARAMETERS: Final = 257
SILENT_ROUND: Final = 1
"""In which one phone answers and the others do not, so that it becomes invalid."""

_DEADLINE_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.03
_TOKEN, _APPLICATION = "crash-token", "CRASH-APP"

# Forked from a process that has imported the server: a start takes a tenth of a second.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.crash.mortal"])


@dataclass
class Scene:
    """One server after another on the same database and files, with its phones."""

    environment: Mapping[str, str]
    folder: Path
    database: Any
    """To look at what is stored, from outside."""
    push: PushwooshStandIn

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self._clock_file = self.folder / "clock"
        self._journal = self.folder / "journal"
        self.pass_(0)
        self.port = _free_port()
        self.process: BaseProcess | None = None
        self.deaths = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def _environment(self) -> dict[str, str]:
        return {
            **self.environment,
            "PORT": str(self.port),
            "JWT_SECRET": "a secret that is only for tests, long enough",
            "FLAAS_ADMIN_USERNAME": ADMIN,
            "FLAAS_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "FLAAS_TICK_SECONDS": "0.5",
            "PUSHWOOSH_API_TOKEN": _TOKEN,
            "PUSHWOOSH_APPLICATION_CODE": _APPLICATION,
            "PUSHWOOSH_URL": self.push.url,
        }

    @property
    def settings(self) -> Settings:
        return settings_module.load(self._environment, data_dir=str(self.folder / "data"))

    def pass_(self, seconds: float) -> None:
        """Move the servers' clock ahead."""
        ahead = float(self._clock_file.read_text()) if self._clock_file.exists() else 0.0
        new = self._clock_file.with_suffix(".new")
        new.write_text(str(ahead + seconds))
        new.replace(self._clock_file)

    def start(self, death: Death | None = None) -> None:
        launch = Launch(
            environment=self._environment,
            data_dir=self.folder / "data",
            clock_file=self._clock_file,
            journal=self._journal,
            log=self.folder / "log",
            death=death,
        )
        self.process = _PROCESSES.Process(target=run, args=(launch,), daemon=True)
        self.process.start()

    async def watch(self) -> None:
        """Start a new server whenever one was killed."""
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            if self.process is not None and self.process.exitcode is not None:
                assert self.process.exitcode == -signal.SIGKILL, self.log()
                self.deaths += 1
                # A batch that a dead sender had claimed is free again after two minutes.
                self.pass_(180)
                self.start()

    def kill(self) -> None:
        if self.process is not None and self.process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
            self.process.join()

    async def stop(self) -> int | None:
        """SIGTERM; the exit status."""
        if self.process is None:
            return None
        self.process.terminate()
        await asyncio.to_thread(self.process.join, 30)
        return self.process.exitcode

    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")[-6000:]

    def points(self) -> list[Point]:
        """Those that were reached, in the order in which they first were."""
        lines = self._journal.read_text().splitlines()
        return [Point(*line.split("\t")) for line in dict.fromkeys(lines)]


class Project:
    """The project's phones and its operator: they try again until the server takes it."""

    def __init__(self, scene: Scene, project_id: int) -> None:
        self._scene = scene
        self.id = project_id
        self.phones: list[PhoneCaller] = []
        self.operator = Caller(scene.url)
        self._at_work: set[asyncio.Task[None]] = set()
        self._taken: set[tuple[str, int]] = set()

    async def run(self) -> None:
        """From the first round through an invalid one to completion, and on for one more."""
        for phone in self.phones:
            self._scene.push.subscribe(phone.username, lambda data, p=phone: self._woken(p, data))
        await self.ping()
        await self.change(status="In Progress")
        await self._until(lambda: self._answered(SILENT_ROUND) == 1)
        # Over for the round, and too long ago for the reports: the phones are heard of again.
        self._scene.pass_(61 * 60)
        await self.ping()
        await self._until(lambda: self._status() == "Completed")
        await self.change(number_of_rounds=3, status="In Progress")
        await self._until(lambda: self._complete_rounds() == 3 and self._status() == "Completed")
        await asyncio.gather(*self._at_work)

    async def close(self) -> None:
        for caller in [*self.phones, self.operator]:
            await caller.__aexit__(None, None, None)

    async def ping(self) -> None:
        for phone in self.phones:
            await self._sure(lambda phone=phone: phone.ping(), 201)

    async def change(self, **values: Any) -> None:
        path = f"/api/project/{self.id}"
        await self._sure(lambda: self.operator.call("PATCH", path, values), 200)

    # --- phones ---

    def _woken(self, phone: PhoneCaller, data: Mapping[str, Any]) -> None:
        number = int(data["round"])
        first = (phone.username, number) not in self._taken
        self._taken.add((phone.username, number))
        if first and (number != SILENT_ROUND or phone is self.phones[0]):
            task = asyncio.create_task(self._train(phone, number, int(data["request"])))
            self._at_work.add(task)

    async def _train(self, phone: PhoneCaller, number: int, request: int) -> None:
        await self._sure(lambda: phone.join(self.id, number), 200)
        base = await self._sure(lambda: phone.get_model(self.id, number), 200)
        body = self._trained(phone, number, base.body)
        while True:
            await self._sure(lambda: phone.submit_model(self.id, number, body), 200, 201)
            answer = await self._sure(lambda: phone.report(request), 201, 409)
            if answer.status == 201:
                break
            # The server died while it stored the model: it is sent again.
        results = {"local_training_worker": {"epochs": [2.0, 1.0 / (number + 1)]}}
        await self._sure(lambda: phone.submit_results(self.id, number, results), 201)

    def _trained(self, phone: PhoneCaller, number: int, base: bytes) -> bytes:
        """The same whenever it is asked, as a phone that retries sends the same file."""
        seed = [self.phones.index(phone), number]
        step = np.random.default_rng(seed).standard_normal(PARAMETERS, np.float32)
        return (np.frombuffer(base, "<f4") + step).astype("<f4").tobytes()

    async def _sure(self, call: Any, *wanted: int) -> Answer:
        """Until the server answers as it should, past connections that break and 503s."""
        async with asyncio.timeout(_DEADLINE_SECONDS):
            while True:
                with suppress(aiohttp.ClientError, ConnectionError):
                    answer: Answer = await call()
                    if answer.status in wanted:
                        return answer
                    assert answer.status == 503, (answer.status, answer.body, self._scene.log())
                await asyncio.sleep(_PAUSE_SECONDS)

    # --- what is stored ---

    async def _until(self, reached: Any) -> None:
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                while not reached():
                    for task in self._at_work:
                        if task.done():
                            task.result()
                    await asyncio.sleep(_PAUSE_SECONDS)
        except TimeoutError:
            raise AssertionError(f"stuck:\n{self._scene.log()}") from None

    def _status(self) -> str:
        return str(self._scene.database["projects"].find_one({"_id": self.id})["status"])

    def _complete_rounds(self) -> int:
        query = {"project_id": self.id, "status": RoundStatus.COMPLETE.value}
        return int(self._scene.database["rounds"].count_documents(query))

    def _answered(self, number: int) -> int:
        round_ = self._scene.database["rounds"].find_one({"project_id": self.id, "number": number})
        if round_ is None:
            return 0
        query = {"round_id": round_["_id"], "reported_at": {"$ne": None}}
        return int(self._scene.database["participants"].count_documents(query))


async def prepare(
    scene: Scene, phones: int = PHONES, parameters: int = PARAMETERS, **settings: Any
) -> Project:
    """Accounts, a model and a project that is not started yet; no server runs."""
    payload = {"title": "Crash", "model": "M", "number_of_rounds": 2, "seed": 7, **settings}
    async with open_app(scene.settings) as app:
        services = app.services
        await services.accounts.ensure_staff(ADMIN, ADMIN_PASSWORD)
        async with await services.catalogue.receive_model("M") as model:
            await model.write(floats([0.25] * parameters))
            await model.finish()
        staff = await services.store.users.by_username(ADMIN)
        assert staff
        made = await services.projects.create(staff, payload)
        await services.accounts.create_users(phones, prefix="phone")
        await services.accounts.assign(made.id, "phone")
        project = Project(scene, made.id)
        project.operator.token = services.tokens.issue(staff).access
        async for user in members_of(app, made.id):
            token = services.tokens.issue(user).access
            project.phones.append(PhoneCaller(scene.url, token, user.username))
    return project


def members_of(app: App, project_id: int) -> AsyncIterator[User]:
    return app.services.store.users.members(project_id)


async def facts(scene: Scene, project_id: int) -> dict[str, Any]:
    """All that a project leaves after a clean-up, without ids and times."""
    found: dict[str, Any] = {}
    async with open_app(scene.settings) as app:
        services = app.services
        found["cleaned up"] = [one.file.key async for one in services.clean_up.delete()]
        project = await services.store.projects.get(project_id)
        assert project
        found["project"] = (project.status, project.current_round)
        for one in await services.store.rounds.all(project_id):
            found[f"round {one.number}"] = (
                *(one.status, one.phase, one.seed, one.registered),
                *(one.model_sha256, one.result_sha256),
            )
            found[f"participants {one.number}"] = [
                (
                    *(p.device_id, p.requested, p.joined_at is not None, p.counted, p.rejected),
                    *(p.submission.sha256 if p.submission else None, p.results),
                )
                for p in sorted(await services.store.participants.all(one.id), key=_device)
            ]
        found["files"] = {}
        async for info in services.files.walk(""):
            content = b"".join([piece async for piece in services.files.read(info.key)])
            found["files"][info.key] = hashlib.sha256(content).hexdigest()
        found["verified"] = [
            one.wrong async for one in services.verification.rounds(project_id, None)
        ]
        events = [one async for one in services.store.events.find(project_id, None)]
        # Without what follows a colon: why a round closed is told anew when that was interrupted.
        told = [one.what.partition(":")[0] for one in events if one.who == "scheduler"]
        found["events"] = list(dict.fromkeys(told))
    return found


def pushed(scene: Scene) -> dict[int, set[tuple[str, int]]]:
    """Round → the different (transaction, request) that were sent for it, refused ones too."""
    sent: dict[int, set[tuple[str, int]]] = {}
    for request in scene.push.requests:
        for notification in request["notifications"]:
            data = notification["data"]
            one = (notification["transactionId"], data["request"])
            sent.setdefault(data["round"], set()).add(one)
    return sent


def _device(participant: Any) -> int:
    device_id: int = participant.device_id
    return device_id


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stand_in() -> PushwooshStandIn:
    return PushwooshStandIn(_TOKEN, _APPLICATION)
