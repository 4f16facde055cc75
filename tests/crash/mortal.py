"""A whole server in a process of its own, which kills itself at one chosen call of a port.

Nothing in the server knows of it: the faults stand in front of the ports. Where a call comes from
(a step of a transition, or anything else) is told by marks around the executor's actions.
"""

import asyncio
import inspect
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from contextvars import ContextVar
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from flaas import settings as settings_module
from flaas.app import Ports, assemble, open_ports, utc_now
from flaas.domain.decision import Complete, Instruction
from flaas.lifecycle import serving
from flaas.services.runner import Runner
from flaas.services.transitions import Transitions

ELSEWHERE: Final = "elsewhere"

LEASE_SECONDS: Final = 1.0
"""A killed holder keeps others out for that long here, and for 30 s in the field."""

_READS: Final = frozenset(
    (
        "all",
        "all_answered",
        "by_number",
        "by_request",
        "by_username",
        "count",
        "counted",
        "get",
        "in_progress",
        "is_retired",
        "link",
        "names_taken",
        "next_due",
        "of_devices",
        "open_round",
        "ping",
        "registered",
        "spans",
        "stat",
        "tally",
        "using_model",
    )
)
"""Calls that leave nothing. Whatever is not here changes something, and is a point to die at."""


class Point(NamedTuple):
    """A call of a port, by where it comes from. The first such call of a process is meant."""

    place: str
    """The list and the step of a transition, or elsewhere."""
    call: str


class Death(NamedTuple):
    point: Point
    when: str
    """before, after."""


class Launch(NamedTuple):
    """What a process is started with."""

    environment: Mapping[str, str]
    data_dir: Path
    clock_file: Path
    """Seconds that this server's clock is ahead."""
    journal: Path
    """Where the points that were reached are written, one a line."""
    log: Path
    death: Death | None = None


_place: ContextVar[str] = ContextVar("place", default=ELSEWHERE)


class Fate:
    """Notes each point that is reached for the first time, and ends the process at one."""

    def __init__(self, launch: Launch) -> None:
        self._death = launch.death
        self._journal = launch.journal.open("a")
        self._seen: set[Point] = set()

    async def around(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        point = Point(_place.get(), name)
        if point.place == ELSEWHERE and name.rpartition(".")[2] in _READS:
            return await call()
        first = point not in self._seen
        self._seen.add(point)
        if first:
            self._journal.write("\t".join(point) + "\n")
            self._journal.flush()
            self._die_if(Death(point, "before"))
        result = await call()
        if first:
            self._die_if(Death(point, "after"))
        return result

    def _die_if(self, death: Death) -> None:
        if death == self._death:
            os.kill(os.getpid(), signal.SIGKILL)


class Mortal:
    """A port whose calls may be the process's last."""

    def __init__(self, real: Any, name: str, fate: Fate) -> None:
        self._real = real
        self._name = name
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        member, called = getattr(self._real, name), f"{self._name}.{name}"
        if name == "leases":
            # To die with a lease is to die before the first step; the lease itself is no step.
            return ShortLeases(member)
        if name == "create":
            return self._create
        if not callable(member):
            return Mortal(member, called, self._fate)
        if not inspect.iscoroutinefunction(member):
            return member

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._fate.around(called, lambda: member(*args, **kwargs))

        return call

    @asynccontextmanager
    async def _create(self, key: str) -> AsyncIterator[Any]:
        async with self._real.create(key) as out:
            yield MortalWriter(out, f"{self._name}.commit {_kind_of(key)}", self._fate)


class MortalWriter:
    def __init__(self, real: Any, name: str, fate: Fate) -> None:
        self.write = real.write
        self._real = real
        self._name = name
        self._fate = fate

    async def commit(self) -> None:
        await self._fate.around(self._name, self._real.commit)


class ShortLeases:
    """Leases that a killed holder does not keep for half a minute."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.release = real.release

    async def acquire(self, name: str, holder: str, seconds: float) -> bool:
        got: bool = await self._real.acquire(name, holder, min(seconds, LEASE_SECONDS))
        return got


def _kind_of(key: str) -> str:
    """So that a global model, an update and results are points of their own."""
    return f"{key.count('/')} {key.rpartition('/')[2]}"


def list_name(instruction: Instruction) -> str:
    """As `all_step_lists` calls it."""
    last = isinstance(instruction, Complete) and instruction.last
    return type(instruction).__name__ + (" (last)" if last else "")


def _mark_steps(transitions: Transitions) -> None:
    def marked(step: str, action: Callable[[Any], Awaitable[None]]) -> Any:
        async def run(work: Any) -> None:
            token = _place.set(f"{list_name(work.instruction)}: {step}")
            try:
                await action(work)
            finally:
                _place.reset(token)

        return run

    actions = transitions._actions
    transitions._actions = {step: marked(step, action) for step, action in actions.items()}


def run(launch: Launch) -> None:
    """Serve until SIGTERM, or until death."""
    with launch.log.open("ab", buffering=0) as log:
        os.dup2(log.fileno(), sys.stderr.fileno())
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    asyncio.run(_serve(launch))


async def _serve(launch: Launch) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    def clock() -> datetime:
        return utc_now() + timedelta(seconds=float(launch.clock_file.read_text()))

    settings = settings_module.load(dict(launch.environment), data_dir=str(launch.data_dir))
    fate = Fate(launch)
    async with open_ports(settings) as real:
        ports = Ports(
            store=Mortal(real.store, "store", fate),  # type: ignore[arg-type]
            files=Mortal(real.files, "files", fate),  # type: ignore[arg-type]
            push=Mortal(real.push, "push", fate),  # type: ignore[arg-type]
        )
        with closing(Runner()) as runner:
            app = assemble(settings, ports, runner, clock)
            _mark_steps(app.services.rounds.transitions)
            async with serving(app):
                await stop.wait()
