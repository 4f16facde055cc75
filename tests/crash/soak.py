"""The long form: a thousand phones that misbehave, and servers that are killed, for a set time.

    python -m tests.crash.soak --seconds 600

Everything is real: server processes and a mongod that die by SIGKILL, a push service that fails,
phones that drop uploads, repeat requests, send corrupt bodies, crawl, or never answer. At the end
every invariant is checked on what is stored, and the table says what was injected, what was
survived, and what was lost. The exit status is 1 when anything was.
"""

import argparse
import asyncio
import hashlib
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np
from moto.server import ThreadedMotoServer
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from flaas.app import App, open_app
from flaas.domain.round import RoundStatus
from flaas.fleet.pushwoosh import Failure
from flaas.store.embedded import find_mongod

from ..conftest import new_bucket
from ..support import PhoneCaller
from .scene import Scene, members_of, prepare, pushed, stand_in

PARAMETERS: Final = 5_000
HASTE: Final = 20.0
"""Seconds that pass for the server in one of ours: the waits of a round are long."""

SERVER_LIVES: Final = (6.0, 20.0)
MONGOD_LIVES: Final = (25.0, 60.0)
PUSH_FAILS_EVERY: Final = (2.0, 8.0)
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)

CLOCK_JUMPS: Final = (-60.0, 60.0)
"""Seconds by which the next server's clock is off from the one that was killed."""


@dataclass
class Tally:
    injected: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)
    """Ended well: for a phone, its update was taken after all."""
    lost: list[str] = field(default_factory=list)
    late: int = 0
    """Phones whose round was over before they were through, and that were told so (410)."""


class Mongod:
    """A mongod that can be killed, and comes back on the same data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "db").mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.uri = f"mongodb://127.0.0.1:{self._port}/soak"

    def start(self) -> None:
        """Nothing where it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        command = [str(find_mongod()), "--dbpath", str(self._folder / "db"), "--bind_ip"]
        command += ["127.0.0.1", "--port", str(self._port), "--nounixsocket"]
        command += ["--wiredTigerCacheSizeGB", "0.5", "--logpath", str(self._folder / "log")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        with MongoClient[dict[str, Any]](self.uri, serverSelectionTimeoutMS=60_000) as client:
            client.admin.command("ping")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Phone:
    """One phone: it does what a round asks of it, in one of several bad ways."""

    def __init__(self, caller: PhoneCaller, project_id: int, tally: Tally, chance: random.Random):
        self._caller = caller
        self._project_id = project_id
        self._tally = tally
        self._chance = chance
        self.answered: dict[int, tuple[str, bool]] = {}
        """Round → the SHA-256 of the update that was acknowledged, and whether it counts."""

    @property
    def username(self) -> str:
        return self._caller.username

    async def close(self) -> None:
        await self._caller.__aexit__(None, None, None)

    async def ping(self) -> None:
        with suppress(aiohttp.ClientError, TimeoutError):
            await self._caller.ping()

    async def train(self, number: int, request: int) -> None:
        """Raises `Over` where the round is not open to this phone any more."""
        fault = self._choose()
        if fault == "phone never answers":
            return
        await self._sure(lambda: self._caller.join(self._project_id, number))
        base = await self._sure(lambda: self._caller.get_model(self._project_id, number))
        rng = np.random.default_rng([number, self._chance.randrange(2**31)])
        trained = np.frombuffer(base.body, "<f4") + rng.standard_normal(PARAMETERS, np.float32)
        body = trained.astype("<f4").tobytes()
        await self._misbehave(fault, number, body)
        times = 3 if fault == "every request three times at once" else 1
        while True:
            submit = lambda: self._caller.submit_model(self._project_id, number, body)  # noqa: E731
            await self._sure(submit, times=times)
            answer = await self._sure(lambda: self._caller.report(request), 409, times=times)
            if answer.status == 201:
                break
        self.answered[number] = hashlib.sha256(body).hexdigest(), answer.json["counted"]
        results = {"local_training_worker": {"epochs": [1.0 / (number + 1)]}}
        await self._sure(
            lambda: self._caller.submit_results(self._project_id, number, results), times=times
        )
        if fault:
            self._tally.survived[fault] += 1

    def _choose(self) -> str | None:
        faults = {
            "phone never answers": 0.01,
            "every request three times at once": 0.10,
            "upload dropped half way": 0.05,
            "slow link": 0.05,
            "corrupt body": 0.05,
        }
        point = self._chance.random()
        for name, share in faults.items():
            if point < share:
                self._tally.injected[name] += 1
                return name
            point -= share
        return None

    async def _misbehave(self, fault: str | None, number: int, body: bytes) -> None:
        """What comes before the right upload."""
        if fault == "upload dropped half way":
            with suppress(aiohttp.ClientError, ConnectionError, TimeoutError):
                await self._upload(number, _broken(body), len(body))
        elif fault == "slow link":
            with suppress(aiohttp.ClientError, ConnectionError, TimeoutError):
                await self._upload(number, _slow(body), len(body))
        elif fault == "corrupt body":
            for bad in (body[:-4], body[:-4] + np.float32("nan").tobytes()):
                call = lambda b=bad: self._caller.submit_model(self._project_id, number, b)  # noqa: E731
                answer = await self._sure(call, 400)
                if answer.status != 400:
                    self._tally.lost.append(f"a corrupt update was answered {answer.status}")

    async def _upload(self, number: int, pieces: AsyncIterator[bytes], length: int) -> None:
        path = f"/api/project/{self._project_id}/submit-model/{number}/model_weights.bin"
        headers = {"Content-Length": str(length)}
        await self._caller.call("POST", path, body=pieces, headers=headers)

    async def _sure(self, call: Any, *also: int, times: int = 1) -> Any:
        """Until it is answered with 200, 201 or one of `also`, as an app that retries does."""
        pause = 0.1
        while True:
            answers = await asyncio.gather(*(call() for _ in range(times)), return_exceptions=True)
            for answer in answers:
                if isinstance(answer, aiohttp.ClientError | ConnectionError | TimeoutError):
                    continue
                if isinstance(answer, BaseException):
                    raise answer
                if answer.status in (200, 201, *also):
                    return answer
                if answer.status == 410 or (answer.status == 409 and times == 1):
                    raise Over
                if answer.status not in (409, 503, 429, 408):
                    self._tally.lost.append(f"an answer of {answer.status}: {answer.body[:200]!r}")
                    raise Over
            await asyncio.sleep(pause * self._chance.uniform(0.5, 1.5))
            pause = min(pause * 2, 3.0)


class Over(Exception):
    """The round closed before this phone was through."""


async def _broken(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    await asyncio.sleep(0.05)
    raise ConnectionError("the link is gone")


async def _slow(body: bytes) -> AsyncIterator[bytes]:
    quarter = len(body) // 4
    for start in range(0, len(body), quarter):
        yield body[start : start + quarter]
        await asyncio.sleep(0.3)


class Soak:
    def __init__(self, scene: Scene, mongod: Mongod, count: int, seed: int) -> None:
        self.scene = scene
        self.mongod = mongod
        self.tally = Tally()
        self.phones: list[Phone] = []
        self._count = count
        self._seed = seed
        self._chance = random.Random(seed)
        self._at_work: set[asyncio.Task[None]] = set()
        self._over = False

    async def run(self, seconds: float) -> None:
        project = await prepare(
            self.scene,
            phones=self._count,
            parameters=PARAMETERS,
            number_of_rounds=100_000,
            max_training_time=10,
            responses_ratio_threshold="0.60",
            valid_round_training_threshold="0.60",
        )
        self.project_id = project.id
        for index, caller in enumerate(project.phones):
            chance = random.Random(self._seed * 1_000_003 + index)
            phone = Phone(caller, project.id, self.tally, chance)
            self.phones.append(phone)
            self.scene.push.subscribe(
                phone.username, lambda data, one=phone: self._woken(one, data)
            )
        self.scene.start()
        chaos = [
            asyncio.create_task(one) for one in (self._hurry(), self._ping(), self._supervise())
        ]
        await project.change(status="In Progress")
        until = time.monotonic() + seconds
        chaos += [
            asyncio.create_task(one)
            for one in (self._kill_servers(), self._kill_mongod(), self._break_pushes())
        ]
        while time.monotonic() < until:
            await asyncio.sleep(5)
            for one in chaos:
                if one.done():
                    one.result()
            print(f"{until - time.monotonic():5.0f} s left, {self._progress()}", file=sys.stderr)
        for one in chaos[3:]:
            one.cancel()
        await asyncio.gather(*chaos[3:], return_exceptions=True)
        await asyncio.to_thread(self.mongod.start)
        await self._healthy()
        for name in ("server killed", "mongod killed"):
            self.tally.survived[name] = self.tally.injected[name]
        self._over = True
        # Quiet from here on: what was begun ends, and no round begins.
        await asyncio.wait(self._at_work, timeout=60) if self._at_work else None
        await project.change(status="Stopped")
        for one in chaos[:3]:
            one.cancel()
        await asyncio.gather(*chaos[:3], *self._at_work, return_exceptions=True)
        if await self.scene.stop() != 0:
            self.tally.lost.append("the last server did not stop cleanly")
        await project.close()

    def _progress(self) -> str:
        try:
            rounds = self.scene.database["rounds"]
            complete = rounds.count_documents({"status": RoundStatus.COMPLETE.value})
            return f"{complete} rounds complete, {sum(self.tally.injected.values())} faults"
        except PyMongoError:
            return "the database is away"

    def _woken(self, phone: Phone, data: Mapping[str, Any]) -> None:
        if self._over:
            return
        task = asyncio.create_task(self._train(phone, int(data["round"]), int(data["request"])))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _train(self, phone: Phone, number: int, request: int) -> None:
        # A push does not reach all phones in the same second.
        await asyncio.sleep(self._chance.uniform(0, 5))
        try:
            await phone.train(number, request)
        except Over:
            self.tally.late += 1

    async def _hurry(self) -> None:
        while True:
            await asyncio.sleep(0.25)
            self.scene.pass_(0.25 * HASTE)

    async def _ping(self) -> None:
        while True:
            for phone in self.phones:
                await phone.ping()
                await asyncio.sleep(20 / len(self.phones))

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            process = self.scene.process
            if process is not None and process.exitcode is not None:
                if process.exitcode not in (-signal.SIGKILL, 1):
                    self.tally.lost.append(f"a server ended with {process.exitcode}")
                # It is started where its database is away too, and ends with status 1 then.
                self.scene.pass_(self._chance.uniform(*CLOCK_JUMPS))
                self.scene.start()

    async def _kill_servers(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(*SERVER_LIVES))
            self.tally.injected["server killed"] += 1
            self.scene.kill()
            await self._healthy()
            self.tally.survived["server killed"] += 1

    async def _kill_mongod(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(*MONGOD_LIVES))
            self.tally.injected["mongod killed"] += 1
            self.mongod.kill()
            await asyncio.sleep(self._chance.uniform(0, 3))
            await asyncio.to_thread(self.mongod.start)
            await self._healthy()
            self.tally.survived["mongod killed"] += 1

    async def _break_pushes(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(*PUSH_FAILS_EVERY))
            kind = self._chance.choice(list(Failure))
            self.tally.injected[f"push service: {kind.value}"] += 1
            self.scene.push.fail_next(1, kind)

    async def _healthy(self) -> None:
        """A server answers, and has its database."""
        async with aiohttp.ClientSession() as session:
            while True:
                await asyncio.sleep(0.1)
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(f"{self.scene.url}/healthz", timeout=_TIMEOUT) as answer:
                        if answer.status == 200:
                            return

    # --- the end ---

    async def check(self) -> dict[str, int]:
        """Hold every invariant against what is stored; the figures of the run."""
        async with open_app(self.scene.settings) as app:
            figures = await self._check_rounds(app)
            lost = self.tally.lost
            left = [one async for one in app.services.clean_up.delete()]
            figures["files without an owner, cleaned up"] = len(left)
            again = [one async for one in app.services.clean_up.find()]
            lost.extend(f"{one.file.key} has no owner" for one in again)
            async for verified in app.services.verification.rounds(self.project_id, None):
                lost.extend(f"round {verified.number}: {wrong}" for wrong in verified.wrong)
        # A round goes on without a phone, and a push is sent again: lost ones are in the list.
        for name in self.tally.injected:
            if name.startswith("push") or name == "phone never answers":
                self.tally.survived[name] = self.tally.injected[name]
        for number, sent in pushed(self.scene).items():
            if len({request for _, request in sent}) != 1:
                self.tally.lost.append(f"round {number} was requested twice")
        return figures

    async def _check_rounds(self, app: App) -> dict[str, int]:
        store, lost = app.services.store, self.tally.lost
        delivered = {(name, int(data["round"])) for name, data in self.scene.push.delivered}
        devices = {user.username: user.device_id async for user in members_of(app, self.project_id)}
        figures: Counter[str] = Counter()
        for round_ in await store.rounds.all(self.project_id):
            figures[f"rounds {round_.status.name.lower()}"] += 1
            parts = {one.device_id: one for one in await store.participants.all(round_.id)}
            counted = {one.device_id for one in await store.participants.counted(round_.id)}
            figures["updates averaged"] += len(counted)
            for phone in self.phones:
                part = parts.get(devices[phone.username])
                known = phone.answered.get(round_.number)
                if known is None:
                    continue
                sha256, counts = known
                if part is None or part.submission is None or part.submission.sha256 != sha256:
                    lost.append(f"round {round_.number}: an acknowledged update is not stored")
                elif counts and part.reported_at is None:
                    lost.append(f"round {round_.number}: a counted answer is not stored")
                elif counts and round_.status is RoundStatus.COMPLETE:
                    if part.device_id not in counted:
                        lost.append(f"round {round_.number}: a counted answer was not averaged")
                elif not counts and part.device_id in counted:
                    lost.append(f"round {round_.number}: an answer counts that was told not to")
            closed = round_.status in (RoundStatus.COMPLETE, RoundStatus.INVALID)
            for part in parts.values():
                if closed and part.requested and (part.username, round_.number) not in delivered:
                    lost.append(f"round {round_.number}: the push to {part.username} was lost")
        figures["phones too late for their round, and told so"] = self.tally.late
        return dict(figures)

    def report(self, figures: Mapping[str, int], seconds: float) -> str:
        lines = [f"{len(self.phones)} phones, {seconds:.0f} s", ""]
        lines += ["| fault | injected | survived |", "|---|---|---|"]
        for name, count in sorted(self.tally.injected.items()):
            lines.append(f"| {name} | {count} | {self.tally.survived[name]} |")
        lines += ["", "| | |", "|---|---|"]
        lines += [f"| {name} | {count} |" for name, count in sorted(figures.items())]
        lines += [f"| lost | {len(self.tally.lost)} |"]
        lines += [f"\n- {said}" for said in self.tally.lost[:20]]
        return "\n".join(lines)


async def soak(seconds: float, phones: int, seed: int, environment: dict[str, str]) -> bool:
    folder = Path(tempfile.mkdtemp(prefix="flaas-soak-"))
    mongod = Mongod(folder / "mongod")
    await asyncio.to_thread(mongod.start)
    try:
        with MongoClient[dict[str, Any]](mongod.uri, serverSelectionTimeoutMS=1_000) as client:
            async with stand_in() as push:
                environment = {"MONGODB_URI": mongod.uri, **environment}
                database = client.get_default_database()
                scene = Scene(environment, folder / "scene", database, push)
                run = Soak(scene, mongod, phones, seed)
                try:
                    await run.run(seconds)
                    print(run.report(await run.check(), seconds))
                finally:
                    scene.kill()
        if not run.tally.lost:
            shutil.rmtree(folder)
        return not run.tally.lost
    finally:
        mongod.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--phones", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--s3", action="store_true", help="on an S3 endpoint, not a directory")
    given = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    environment = {}
    if given.s3:
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        environment = new_bucket(f"http://{host}:{port}")
    whole = asyncio.run(soak(given.seconds, given.phones, given.seed, environment))
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
