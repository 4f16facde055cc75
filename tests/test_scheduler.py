"""When rounds move: nudges, busy projects, and projects that hang."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from flaas.domain.errors import NotFound
from flaas.scheduler import Scheduler
from flaas.services.rounds import Advance


class Looks:
    """Stands for the rounds: notes which project is looked at, and answers as it is told."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.hang: set[int] = set()
        self.busy_times = 0
        self.projects = [1, 2]

    async def in_progress(self) -> list[int]:
        return self.projects

    async def advance(self, project_id: int) -> Advance:
        self.seen.append(project_id)
        await asyncio.sleep(0)
        if project_id in self.hang:
            await asyncio.Event().wait()
        if self.busy_times:
            self.busy_times -= 1
            return Advance(project_id, "P", (), "busy", busy=True)
        if project_id == 99:
            raise NotFound("gone")
        return Advance(project_id, "P", (), "rests")


class NoOutbox:
    async def run(self) -> None:
        await asyncio.Event().wait()

    def wake(self) -> None:
        pass


@pytest.fixture
def looks() -> Looks:
    return Looks()


@pytest.fixture
async def scheduler(looks: Looks) -> AsyncIterator[Any]:
    made = Scheduler(
        looks,  # type: ignore[arg-type]
        NoOutbox(),  # type: ignore[arg-type]
        every=timedelta(seconds=0.2),
        timeout=timedelta(seconds=0.5),
    )
    yield made
    await made.close(0.1)


async def test_a_project_that_hangs_holds_up_no_other_and_is_given_up(
    scheduler: Scheduler, looks: Looks
) -> None:
    looks.hang = {1}
    scheduler.start()
    await asyncio.sleep(0.5)
    assert looks.seen.count(2) >= 2
    assert looks.seen.count(1) == 1
    await asyncio.sleep(0.4)
    assert looks.seen.count(1) == 2


async def test_nudges_during_a_look_make_one_more_look(scheduler: Scheduler, looks: Looks) -> None:
    looks.projects = []
    for _ in range(5):
        scheduler.nudge(7)
    await asyncio.sleep(0)
    for _ in range(5):
        scheduler.nudge(7)
    await asyncio.sleep(0.1)
    assert looks.seen == [7, 7]


async def test_a_project_at_which_another_process_is_is_looked_at_again(
    scheduler: Scheduler, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flaas.scheduler._BUSY_PAUSE_SECONDS", 0.01)
    looks.busy_times = 3
    scheduler.nudge(7)
    await asyncio.sleep(0.3)
    assert looks.seen == [7] * 4


async def test_a_deleted_project_is_no_trouble(scheduler: Scheduler, looks: Looks) -> None:
    scheduler.nudge(99)
    await asyncio.sleep(0.05)
    scheduler.nudge(99)
    await asyncio.sleep(0.05)
    assert looks.seen == [99, 99]


async def test_a_closed_scheduler_starts_nothing(scheduler: Scheduler, looks: Looks) -> None:
    scheduler.start()
    await scheduler.close(1)
    looks.seen.clear()
    scheduler.nudge(7)
    await asyncio.sleep(0.3)
    assert looks.seen == []
