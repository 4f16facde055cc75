"""One training task on a phone, from the push to the results."""

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any, TypeVar

import msgspec

from flaas.domain.project import APPS, DatasetType, TrainingMode
from flaas.fleet import client as calls
from flaas.fleet import training
from flaas.fleet.client import Client, JavaInt, Round
from flaas.fleet.retry import Backoff
from flaas.fleet.training import Evaluation, Records, Weights

Result = TypeVar("Result")


class Event(StrEnum):
    """What can happen to a phone."""

    PINGED = "pinged"
    IGNORED = "ignored"
    """A push the phone did not react to: by its `drop_rate`, or because it is signed out."""
    DUPLICATE = "duplicate"
    """A push for a round that it is training for already."""
    EXPIRED = "expired"
    JOINED = "joined"
    DOWNLOADED = "downloaded"
    TRAINED = "trained"
    SUBMITTED = "submitted"
    ANSWERED = "answered"
    RESULTS = "results"
    FAILED = "failed"
    """A ping or a task was given up after all tries."""
    SIGNED_OUT = "signed out"


class Task(msgspec.Struct, frozen=True):
    """The data of a train request. Push services may turn the numbers into strings."""

    request: JavaInt
    project: JavaInt
    round_: JavaInt = msgspec.field(name="round")
    training_mode: TrainingMode = msgspec.field(name="trainingMode")
    valid_date: int = msgspec.field(name="validDate")
    """Epoch milliseconds; later than that the task is worth nothing."""

    @classmethod
    def read(cls, data: Mapping[str, str | int]) -> "Task":
        """Raises `msgspec.ValidationError`."""
        return msgspec.convert(data, cls, strict=False)


class Expired(Exception):
    """The task's time passed while the phone was at it."""


class SampleStore:
    """A phone's own samples: fetched once for each dataset type and app, then kept."""

    def __init__(self, client: Client, pool: Executor) -> None:
        self._client = client
        self._pool = pool
        self._kept: dict[tuple[DatasetType, int], Records] = {}

    async def get(self, dataset_type: DatasetType, app: int) -> Records:
        key = dataset_type, app
        if key not in self._kept:
            data = await self._client.get_samples(dataset_type, app)
            self._kept[key] = await in_pool(self._pool, training.read_records, data)
        return self._kept[key]


@dataclass(frozen=True)
class Equipment:
    """What a task uses of its phone."""

    client: Client
    samples: SampleStore
    pool: Executor
    """For numpy."""
    backoff: Backoff
    random: Random
    clock: Callable[[], float]
    """Seconds since the epoch."""
    device_info: Callable[[], dict[str, Any]]
    on_event: Callable[[Event, str], None]


class TaskRun:
    """The steps of one task in the order the app takes them, and what it notes on the way."""

    def __init__(self, task: Task, phone: Equipment) -> None:
        self._task = task
        self._phone = phone
        self._reached: set[Event] = set()
        self._notes: dict[str, Any] = {
            "general": {
                "backend_request_id": task.request,
                "notification_received_local_time": int(phone.clock() * 1000),
            }
        }
        self._started = time.perf_counter()

    async def run(self) -> None:
        """Do the whole task. Raises `Expired`, `SignedOut`, or `StepFailed` after all tries."""
        round_ = await self._step(self._join)
        model = await self._step(self._download, expired=calls.EXPIRED_AT_DOWNLOAD)
        trained = await self._step(lambda attempt: self._train(round_, model, attempt))
        await self._step(
            lambda attempt: self._merge(trained, attempt), expired=calls.EXPIRED_AT_MERGE
        )
        await self._step(self._submit_results, expired=calls.EXPIRED_AT_RESULTS)

    async def _step(
        self, step: Callable[[int], Awaitable[Result]], expired: int | None = None
    ) -> Result:
        """Try a step up to the limit. `expired` is the join status that says: too late for it."""

        async def once(attempt: int) -> Result:
            if expired and self._phone.clock() * 1000 > self._task.valid_date:
                await self._phone.client.join_round(self._task.project, self._task.round_, expired)
                raise Expired
            return await step(attempt)

        return await self._phone.backoff.run(once, self._phone.random)

    async def _join(self, attempt: int) -> Round:
        round_ = await self._phone.client.join_round(self._task.project, self._task.round_)
        self._reach(Event.JOINED)
        return round_

    async def _download(self, attempt: int) -> Weights:
        watch = Stopwatch()
        data = await self._phone.client.get_model(self._task.project, self._task.round_)
        model = training.read_model(data)
        self._notes["download_weights_worker"] = {
            "download_duration": watch.lap(),
            "attempt": attempt,
        }
        self._reach(Event.DOWNLOADED)
        return model

    async def _train(self, round_: Round, model: Weights, attempt: int) -> list[Weights]:
        """The models to merge: one for each app in JOINT_MODELS, else a single one."""
        mode = self._task.training_mode
        watch = Stopwatch()
        apps = 1 if mode is TrainingMode.BASELINE else round_.number_of_apps
        parts = [
            training.hold_out(await self._phone.samples.get(round_.dataset_type, app))
            for app in range(apps)
        ]
        load_duration = watch.lap()
        held_out = Records.concatenate([test for _, test in parts])
        sets = [train[: round_.number_of_samples] for train, _ in parts]
        if mode is TrainingMode.JOINT_SAMPLES:
            sets = [Records.concatenate(sets)]
        # The device's part of the seed keeps phones from shuffling alike.
        seed = (round_.seed % 2**32, zlib.crc32(self._phone.client.account.username.encode()))
        evaluation: Evaluation = await in_pool(self._phone.pool, training.evaluate, model, held_out)
        self._notes["evaluation"] = msgspec.to_builtins(evaluation)
        trained, workers = [], []
        for app, records in enumerate(sets):
            watch.lap()
            weights, losses = await in_pool(
                self._phone.pool,
                training.train,
                model,
                records,
                round_.number_of_epochs,
                (*seed, app),
            )
            trained.append(weights)
            workers.append(
                {
                    "load_samples_duration": load_duration,
                    "epochs": losses,
                    "training_duration": watch.lap(),
                    "attempt": attempt,
                }
            )
        self._notes["local_training_worker"] = (
            dict(zip(APPS, workers, strict=False))
            if mode is TrainingMode.JOINT_MODELS
            else workers[0]
        )
        self._reach(Event.TRAINED)
        return trained

    async def _merge(self, trained: list[Weights], attempt: int) -> None:
        watch = Stopwatch()
        merged = await in_pool(self._phone.pool, training.mean, trained)
        merge_duration = watch.lap()
        await self._phone.client.submit_model(
            self._task.project, self._task.round_, merged.tobytes()
        )
        self._reach(Event.SUBMITTED)
        submit_duration = watch.lap()
        await self._phone.client.report_availability(
            {
                "request_type": "device-train",
                "request_id": self._task.request,
                "device_info": self._phone.device_info(),
            }
        )
        self._reach(Event.ANSWERED)
        self._notes["merge_models_worker"] = {
            "merge_duration": merge_duration,
            "submit_model_duration": submit_duration,
            "report_duration": watch.lap(),
            "attempt": attempt,
        }

    async def _submit_results(self, attempt: int) -> None:
        self._notes["general"]["total_duration"] = _milliseconds(self._started)
        self._notes["submit_results_worker"] = {"attempt": attempt}
        await self._phone.client.submit_results(self._task.project, self._task.round_, self._notes)
        self._reach(Event.RESULTS)

    def _reach(self, event: Event) -> None:
        """Tell it once, however often the step is tried."""
        if event not in self._reached:
            self._reached.add(event)
            self._phone.on_event(event, "")


class Stopwatch:
    """Milliseconds from one lap to the next."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def lap(self) -> int:
        passed = _milliseconds(self._since)
        self._since = time.perf_counter()
        return passed


def _milliseconds(since: float) -> int:
    return round((time.perf_counter() - since) * 1000)


async def in_pool(pool: Executor, work: Callable[..., Result], *arguments: Any) -> Result:
    """Run numpy work on a thread of the pool: the event loop serves all other phones."""
    return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)
