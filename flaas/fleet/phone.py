"""One simulated phone: it pings, and it trains when a push asks it to."""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from random import Random
from typing import Any

import msgspec

from flaas.fleet.client import Client, SignedOut
from flaas.fleet.device import Device
from flaas.fleet.retry import Backoff, StepFailed
from flaas.fleet.task import Equipment, Event, Expired, SampleStore, Task, TaskRun


class Phone:
    """`ping` and `run_task` never raise for what the server does: they tell `on_event`."""

    def __init__(
        self,
        client: Client,
        pool: Executor,
        *,
        random: Random,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.time,
        on_event: Callable[[Event, str], None] = lambda event, detail: None,
        power_plugged: bool = True,
        battery_level: float = 1.0,
        drop_rate: float = 0.0,
        at_work: AbstractAsyncContextManager[Any] | None = None,
    ) -> None:
        self.client = client
        self.power_plugged = power_plugged
        self.battery_level = battery_level
        """0 to 1."""
        self.drop_rate = drop_rate
        """The chance that a push has no effect, 0 to 1."""
        self.signed_out = False
        """The server refused this phone's tokens: it does nothing any more."""
        self._device = Device.draw(random)
        self._at_work = at_work or nullcontext()
        """Entered for the length of a task: a semaphore bounds how many phones work at a time."""
        self._running: set[tuple[int, int]] = set()
        self._equipment = Equipment(
            client=client,
            samples=SampleStore(client, pool),
            pool=pool,
            backoff=backoff or Backoff(),
            random=random,
            clock=clock,
            device_info=self.device_info,
            on_event=on_event,
        )

    @property
    def username(self) -> str:
        return self.client.account.username

    def device_info(self) -> dict[str, Any]:
        return self._device.info(
            power_plugged=self.power_plugged,
            battery_level=self.battery_level,
            random=self._equipment.random,
        )

    async def ping(self) -> None:
        """Sign in if need be and report what state the phone is in."""

        async def report(attempt: int) -> None:
            await self._sign_in()
            await self.client.report_availability(
                {"request_type": "device-ping", "device_info": self.device_info()}
            )

        with self._telling():
            await self._retry(report)
            self._tell(Event.PINGED)

    async def run_task(self, data: Mapping[str, str | int]) -> None:
        """Do what a push says; `data` of another type than "train" is none of its business."""
        if data.get("type") != "train":
            return
        if self.signed_out or self._equipment.random.random() < self.drop_rate:
            self._tell(Event.IGNORED)
            return
        try:
            task = Task.read(data)
        except msgspec.ValidationError as error:
            self._tell(Event.FAILED, f"the app cannot read the push: {error}")
            return
        if self._equipment.clock() * 1000 > task.valid_date:
            self._tell(Event.EXPIRED)
            return
        key = task.project, task.round_
        if key in self._running:
            self._tell(Event.DUPLICATE)
            return
        self._running.add(key)
        try:
            run = TaskRun(task, self._equipment)
            with self._telling():
                async with self._at_work:
                    await self._retry(lambda attempt: self._sign_in())
                    await run.run()
        finally:
            self._running.discard(key)

    async def _retry(self, step: Callable[[int], Awaitable[None]]) -> None:
        await self._equipment.backoff.run(step, self._equipment.random)

    async def _sign_in(self) -> None:
        if self.client.tokens is None:
            await self.client.sign_in()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn the ways in which a ping or a task ends early into events."""
        try:
            yield
        except Expired:
            self._tell(Event.EXPIRED)
        except SignedOut as reason:
            self.signed_out = True
            self._tell(Event.SIGNED_OUT, str(reason))
        except StepFailed as failure:
            self._tell(Event.FAILED, str(failure))

    def _tell(self, event: Event, detail: str = "") -> None:
        self._equipment.on_event(event, detail)
