"""The life of rounds on a real store: what moves, what stays, and what an interruption leaves."""

import asyncio
import inspect
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from flaas.domain.device import User
from flaas.domain.errors import NotFound
from flaas.domain.ports import Files, FileWriter, Store
from flaas.domain.project import ProjectStatus
from flaas.domain.round import Phase, Round, RoundStatus, global_model_key
from flaas.services.aggregation import Aggregation
from flaas.services.rounds import Rounds, project_lease
from flaas.services.runner import Runner
from flaas.services.transitions import Transitions

from ..support import floats
from .conftest import INITIAL, PARAMETERS, World, sha256

Training = tuple[World, Round, list[User]]


async def advance(world: World, project_id: int) -> list[str]:
    done = await world.services.rounds.advance(project_id)
    assert not done.busy
    return [*done.done, done.now]


async def model_of(world: World, project_id: int, number: int) -> bytes:
    return await world.read(global_model_key(project_id, number))


# --- opening and asking ---


async def test_a_started_project_opens_its_first_round_with_the_initial_model(
    world: World,
) -> None:
    await world.put_model()
    project = await world.create_project(number_of_samples=9, number_of_epochs=2, seed=5)
    said = await advance(world, project.id)
    round_ = await world.round(project.id, 0)
    assert round_.status is RoundStatus.WAIT
    assert (round_.number_of_samples, round_.number_of_epochs, round_.seed) == (9, 2, 5)
    assert round_.model_sha256 == sha256(INITIAL)
    assert await model_of(world, project.id, 0) == INITIAL
    assert said == ["round 0 opened", "round 0: no device is assigned to the project"]


async def test_without_a_seed_every_round_has_a_new_one(world: World) -> None:
    await world.put_model()
    seeds = set()
    for title in "ABCD":
        project = await world.create_project(title=title, seed=None)
        await advance(world, project.id)
        seeds.add((await world.round(project.id, 0)).seed)
    assert len(seeds) == 4
    assert all(0 <= seed < 2**31 for seed in seeds)


async def test_a_later_change_of_settings_leaves_the_round_as_it_was_made(world: World) -> None:
    await world.put_model()
    project = await world.create_project(number_of_epochs=2)
    await advance(world, project.id)
    await world.services.store.projects.update(project.id, {"number_of_epochs": 9})
    await advance(world, project.id)
    assert (await world.round(project.id, 0)).number_of_epochs == 2


@pytest.mark.parametrize(
    ("ratio", "fresh", "asked"), [("0.80", 4, 4), ("0.80", 3, 0), ("0.75", 3, 3), ("0.00", 0, 0)]
)
async def test_enough_eligible_devices_are_asked(
    world: World, ratio: str, fresh: int, asked: int
) -> None:
    await world.put_model()
    project = await world.create_project(responses_ratio_threshold=ratio)
    await world.devices(4 - fresh, project.id)
    world.clock.pass_(minutes=61)
    await world.devices(fresh, project.id, first=50)
    await advance(world, project.id)
    round_ = await world.round(project.id, 0)
    store = world.services.store
    cohort = [one.device_id async for one in store.participants.cohort(round_.id)]
    assert cohort == list(range(50, 50 + asked))
    assert round_.status is (RoundStatus.TRAINING if asked else RoundStatus.WAIT)
    batch = await store.outbox.claim(world.clock())
    assert (batch.usernames if batch else []) == [f"user{number}" for number in cohort]


async def test_a_train_request_says_what_the_phone_reads(training: Training) -> None:
    world, round_, _ = training
    batch = await world.services.store.outbox.claim(world.clock())
    assert batch is not None
    assert round_.start_training_date is not None
    until = round_.start_training_date + timedelta(minutes=60)
    assert batch.data == {
        "type": "train",
        "validDate": round(until.timestamp() * 1000),
        "request": round_.request_id,
        "project": round_.project_id,
        "round": 0,
        "trainingMode": "BASELINE",
    }
    assert batch.ttl_seconds == 3600
    assert batch.valid_until == until


async def test_a_project_that_is_not_there_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.services.rounds.advance(1)


@pytest.mark.parametrize("status", ["Stopped", "Completed"])
async def test_a_project_that_is_not_in_progress_rests(training: Training, status: str) -> None:
    world, round_, users = training
    await world.services.store.projects.update(round_.project_id, {"status": ProjectStatus(status)})
    for device in users:
        await world.answer(device, round_, [1.0, 1.0, 1.0])
    world.clock.pass_(minutes=90)
    await advance(world, round_.project_id)
    assert (await world.round(round_.project_id, 0)).status is RoundStatus.TRAINING


# --- closing ---


async def test_the_mean_of_the_updates_is_the_next_model(training: Training) -> None:
    world, round_, users = training
    for number, device in enumerate(users, 1):
        await world.answer(device, round_, [number, -number, 0.25])
    await advance(world, round_.project_id)
    closed = await world.round(round_.project_id, 0)
    expected = floats([2.5, -2.5, 0.25])
    assert closed.status is RoundStatus.COMPLETE
    assert (closed.phase, closed.result_sha256) == (None, sha256(expected))
    assert closed.stop_training_date is not None
    assert await model_of(world, round_.project_id, 1) == expected
    assert (await world.round(round_.project_id, 1)).model_sha256 == sha256(expected)
    assert (await world.project(round_.project_id)).current_round == 1


async def test_only_those_who_reported_in_time_count(training: Training) -> None:
    world, round_, users = training
    for device in users[:3]:
        await world.answer(device, round_, [1.0, 2.0, 3.0])
    await world.submit(users[3], round_, floats([100.0] * PARAMETERS))
    said = await advance(world, round_.project_id)
    assert said == ["round 0: training, 3/4 asked devices answered"]
    world.clock.pass_(minutes=60)
    await advance(world, round_.project_id)
    assert (await world.round(round_.project_id, 0)).status is RoundStatus.COMPLETE
    assert await model_of(world, round_.project_id, 1) == floats([1.0, 2.0, 3.0])
    assert await world.report(users[3], round_) is False


async def test_too_few_answers_keep_the_model(training: Training) -> None:
    world, round_, users = training
    for device in users[:2]:
        await world.answer(device, round_, [1.0, 2.0, 3.0])
    world.clock.pass_(minutes=60)
    await advance(world, round_.project_id)
    closed = await world.round(round_.project_id, 0)
    assert (closed.status, closed.result_sha256) == (RoundStatus.INVALID, None)
    assert await model_of(world, round_.project_id, 1) == INITIAL
    assert (await world.round(round_.project_id, 1)).model_sha256 == sha256(INITIAL)


async def test_the_last_aggregate_is_written_and_the_project_completed(
    training: Training,
) -> None:
    world, round_, users = training
    project_id = round_.project_id
    await world.services.store.projects.update(project_id, {"number_of_rounds": 1})
    for device in users:
        await world.answer(device, round_, [4.0, 5.0, 6.0])
    said = await advance(world, project_id)
    assert said[-2:] == ["completed after 1 rounds", "the project is completed"]
    assert await model_of(world, project_id, 1) == floats([4.0, 5.0, 6.0])
    assert [one.number for one in await world.services.store.rounds.all(project_id)] == [0]
    project = await world.project(project_id)
    assert (project.status, project.current_round) == (ProjectStatus.COMPLETED, 0)


async def test_more_rounds_after_the_last_start_from_its_aggregate(training: Training) -> None:
    world, round_, users = training
    project_id = round_.project_id
    store = world.services.store
    await store.projects.update(project_id, {"number_of_rounds": 1})
    for device in users:
        await world.answer(device, round_, [4.0, 5.0, 6.0])
    await advance(world, project_id)
    await store.projects.update(
        project_id, {"number_of_rounds": 2, "status": ProjectStatus.IN_PROGRESS}
    )
    said = await advance(world, project_id)
    assert said[0] == "round 1 opened"
    second = await world.round(project_id, 1)
    assert second.model_sha256 == sha256(floats([4.0, 5.0, 6.0]))
    assert await model_of(world, project_id, 1) == floats([4.0, 5.0, 6.0])
    assert (await world.project(project_id)).current_round == 1
    for device in users:
        await world.answer(device, second, [7.0, 8.0, 9.0])
    await advance(world, project_id)
    assert await model_of(world, project_id, 2) == floats([7.0, 8.0, 9.0])
    assert (await world.project(project_id)).status is ProjectStatus.COMPLETED


async def test_no_more_rounds_after_the_last_completes_again(training: Training) -> None:
    world, round_, users = training
    project_id = round_.project_id
    await world.services.store.projects.update(project_id, {"number_of_rounds": 1})
    for device in users:
        await world.answer(device, round_, [4.0, 5.0, 6.0])
    await advance(world, project_id)
    await world.services.store.projects.update(project_id, {"status": ProjectStatus.IN_PROGRESS})
    await advance(world, project_id)
    assert (await world.project(project_id)).status is ProjectStatus.COMPLETED
    assert len(await world.services.store.rounds.all(project_id)) == 1


async def test_members_who_come_after_the_count_do_not_change_it(training: Training) -> None:
    world, round_, users = training
    for device in users[:3]:
        await world.answer(device, round_, [1.0, 2.0, 3.0])
    world.clock.pass_(minutes=60)
    dying = with_ports(world, lambda port: Faulty(port, FaultAfter("end_closing")))
    with pytest.raises(Killed):
        await dying.advance(round_.project_id)
    await world.devices(10, round_.project_id, first=50)
    await advance(world, round_.project_id)
    assert (await world.round(round_.project_id, 0)).status is RoundStatus.COMPLETE


async def test_a_project_that_now_wants_fewer_rounds_is_completed(training: Training) -> None:
    world, round_, users = training
    for device in users:
        await world.answer(device, round_, [1.0, 2.0, 3.0])
    world.clock.pass_(minutes=61)
    await advance(world, round_.project_id)
    assert (await world.round(round_.project_id, 1)).status is RoundStatus.WAIT
    await world.services.store.projects.update(round_.project_id, {"number_of_rounds": 1})
    await advance(world, round_.project_id)
    assert (await world.project(round_.project_id)).status is ProjectStatus.COMPLETED


# --- damaged updates ---

GOOD = floats([1.0, 2.0, 3.0])
NAN, INF = (struct.pack("<f", float(text)) for text in ("nan", "inf"))

DAMAGE: dict[str, bytes | None] = {
    "missing": None,
    "empty": b"",
    "one parameter short": GOOD[:-4],
    "one byte short": GOOD[:-1],
    "one parameter too many": GOOD + GOOD[:4],
    "one byte too many": GOOD + b"\0",
    "not a number": NAN + GOOD[4:],
    "infinite": GOOD[:-4] + INF,
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_update_is_left_out_and_the_round_decided_again(
    training: Training, damage: str
) -> None:
    world, round_, users = training
    for device in users:
        await world.answer(device, round_, [1.0, 2.0, 3.0])
    await world.overwrite(users[1], round_, DAMAGE[damage])
    said = await advance(world, round_.project_id)
    assert "round 0: 1 damaged updates left out" in said
    assert (await world.round(round_.project_id, 0)).status is RoundStatus.COMPLETE
    assert await model_of(world, round_.project_id, 1) == GOOD
    participants = await world.services.store.participants.all(round_.id)
    reasons = {one.device_id: (one.counted, one.rejected) for one in participants}
    counted, reason = reasons.pop(users[1].device_id)
    assert counted is False
    assert reason == (
        "the file is missing" if DAMAGE[damage] is None else "the file is not what was submitted"
    )
    assert set(reasons.values()) == {(True, None)}


async def test_too_many_damaged_updates_make_the_round_invalid(training: Training) -> None:
    world, round_, users = training
    for device in users:
        await world.answer(device, round_, [1.0, 2.0, 3.0])
    for device in users[:2]:
        await world.overwrite(device, round_, None)
    await advance(world, round_.project_id)
    assert (await world.round(round_.project_id, 0)).status is RoundStatus.INVALID
    assert await model_of(world, round_.project_id, 1) == INITIAL


async def test_an_update_that_is_damaged_after_the_next_round_was_opened(
    training: Training,
) -> None:
    """The next round starts from the model that its file holds, whatever came in between."""
    world, round_, users = training
    project_id = round_.project_id
    for number, device in enumerate(users):
        await world.answer(device, round_, [number, 2.0, 3.0])
    dying = with_ports(world, lambda port: Faulty(port, FaultAfter("insert")))
    with pytest.raises(Killed):
        await dying.advance(project_id)
    await world.overwrite(users[0], round_, None)
    await advance(world, project_id)
    made = await model_of(world, project_id, 1)
    assert made == floats([2.0, 2.0, 3.0])
    assert (await world.round(project_id, 0)).result_sha256 == sha256(made)
    assert (await world.round(project_id, 1)).model_sha256 == sha256(made)


@pytest.mark.parametrize("threshold", ["0.70", "0.00"])
async def test_when_all_are_damaged_the_round_is_invalid_and_the_model_stays(
    training: Training, threshold: str
) -> None:
    world, round_, users = training
    await world.services.store.projects.update(
        round_.project_id, {"valid_round_training_threshold": Decimal(threshold)}
    )
    for device in users:
        await world.answer(device, round_, [1.0, 2.0, 3.0])
        await world.overwrite(device, round_, NAN * PARAMETERS)
    await advance(world, round_.project_id)
    closed = await world.round(round_.project_id, 0)
    assert (closed.status, closed.result_sha256) == (RoundStatus.INVALID, None)
    assert await model_of(world, round_.project_id, 1) == INITIAL


# --- ticks ---


async def test_a_busy_project_is_left_alone(training: Training) -> None:
    world, round_, _ = training
    store = world.services.store
    name = project_lease(round_.project_id)
    assert await store.leases.acquire(name, "another server", 30)
    world.clock.pass_(minutes=90)
    done = await world.services.rounds.advance(round_.project_id)
    assert (done.busy, done.failed, done.done) == (True, False, ())
    assert "Project 1" in str(done)
    assert (await world.round(round_.project_id, 0)).status is RoundStatus.TRAINING
    await store.leases.release(name, "another server")
    assert not (await world.services.rounds.advance(round_.project_id)).busy
    assert (await world.round(round_.project_id, 0)).status is RoundStatus.INVALID


async def test_ticks_at_once_start_a_round_once(world: World) -> None:
    await world.put_model()
    project = await world.create_project()
    await world.devices(4, project.id)

    async def tick() -> list[bool]:
        return [one.busy async for one in world.services.rounds.tick()]

    busy = await asyncio.gather(*(tick() for _ in range(5)))
    assert [False] in busy
    store = world.services.store
    assert len(await store.rounds.all(project.id)) == 1
    assert await store.outbox.claim(world.clock()) is not None
    assert await store.outbox.claim(world.clock()) is None


async def test_a_project_that_fails_does_not_stop_the_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.put_model()
    for title in ("A", "B", "C"):
        await world.create_project(title=title)
    ids = await world.services.store.projects.in_progress()
    await world.services.store.projects.update(ids[1], {"model": "gone"})
    found = [one async for one in world.services.rounds.tick()]
    assert [one.project_id for one in found] == ids
    assert [one.failed for one in found] == [False, True, False]
    assert "gone" in caplog.text
    rounds = [await world.services.store.rounds.open_round(one) for one in ids]
    assert [one is not None for one in rounds] == [True, False, True]


async def test_a_tick_without_projects_finds_none(world: World) -> None:
    await world.put_model()
    await world.create_project(status="Stopped")
    assert [one async for one in world.services.rounds.tick()] == []


async def test_what_the_scheduler_did_is_recorded(training: Training, app: Any) -> None:
    world, round_, _ = training
    from pymongo import MongoClient

    with MongoClient(app.settings.mongodb_uri.reveal()) as client:
        recorded = list(client.get_default_database()["events"].find({"who": "scheduler"}))
    assert [one["what"] for one in recorded] == [
        "round 0 opened",
        "round 0 asks 4/4 devices to train",
        "round 0: train requests queued",
    ]
    assert {one["project_id"] for one in recorded} == {round_.project_id}
    assert world.clock().year == recorded[0]["at"].year


# --- interruptions ---


class Killed(Exception):
    """The process ended here."""


class Fault:
    """Ends the process at the `number`th call, before it or after it."""

    def __init__(self, number: int, when: str) -> None:
        self.hit = False
        self._left = number
        self._when = when

    def before(self, name: str) -> None:
        if self._left == 0 and self._when == "before":
            self.hit = True
            raise Killed
        self._left -= 1

    def after(self, name: str) -> None:
        if self._left == -1 and self._when == "after":
            self.hit = True
            raise Killed


class FaultAfter(Fault):
    """Ends the process after the first call of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(-1, "never")
        self._name = name

    def after(self, name: str) -> None:
        if name == self._name:
            raise Killed


class Faulty:
    """A port whose calls may be a process's last. Leases are left out: they run out by time."""

    def __init__(self, real: Any, fault: Fault) -> None:
        self._real = real
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        member, fault = getattr(self._real, name), self._fault
        if name == "leases" or inspect.isasyncgenfunction(member):
            return member
        if not callable(member):
            return Faulty(member, fault)
        if name == "create":
            return self._create

        async def call(*args: Any, **kwargs: Any) -> Any:
            fault.before(name)
            result = await member(*args, **kwargs)
            fault.after(name)
            return result

        return call

    @asynccontextmanager
    async def _create(self, key: str) -> AsyncIterator[FileWriter]:
        async with self._real.create(key) as out:
            yield Faulty(out, self._fault)  # type: ignore[misc]


def with_ports(world: World, wrap: Callable[[Any], Any]) -> Rounds:
    store: Store = wrap(world.services.store)
    files: Files = wrap(world.services.files)
    runner = Runner(1)
    return Rounds(
        store, Transitions(store, files, Aggregation(files, runner, memory=1 << 20)), world.clock
    )


async def stage(world: World, number: int, answers: int, rounds: int) -> int:
    """A new project, up to where the stage begins; its id."""
    project = await world.create_project(
        title=f"Stage {number}", number_of_rounds=rounds, max_training_time=30, seed=1
    )
    users = await world.devices(3, project.id, first=number * 10 + 10)
    if answers >= 0:
        await advance(world, project.id)
        round_ = await world.round(project.id, 0)
        for value, device in enumerate(users[:answers]):
            await world.answer(device, round_, [value, 2.0, 3.0])
        # The round's time is over, and the devices are not heard of recently enough for another.
        world.clock.pass_(minutes=61)
    return project.id


async def facts(world: World, project_id: int) -> dict[str, Any]:
    """All that a stage leaves, without what differs from project to project."""
    store = world.services.store
    project = await world.project(project_id)
    found: dict[str, Any] = {"project": (project.status, project.current_round)}
    for one in await store.rounds.all(project_id):
        participants = await store.participants.all(one.id)
        found[f"round {one.number}"] = (
            *(one.status, one.phase, one.seed, one.model_sha256, one.result_sha256),
            [(p.requested, p.reported_at is not None, p.counted) for p in participants],
        )
    keys = [info.key async for info in world.services.files.walk(f"projects/{project_id}/")]
    for key in keys:
        if key.count("/") == 3:
            found[key.split("/", 2)[2]] = sha256(await world.read(key))
    pushes = []
    while batch := await store.outbox.claim(world.clock()):
        await store.outbox.sent(batch.id)
        pushes.append((batch.id.partition(":")[2], len(batch.usernames), batch.data["round"]))
    found["pushes"] = sorted(pushes)
    return found


STAGES = {
    "open, train, notify": (-1, 2),
    "close, complete": (3, 2),
    "close, complete, finish": (3, 1),
    "close, invalidate": (1, 2),
}
"""How many devices answered (-1: the project just started), and how many rounds there are."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", STAGES)
async def test_a_tick_that_died_anywhere_is_finished_by_the_next_with_the_same_result(
    world: World, name: str, when: str
) -> None:
    await world.put_model()
    answers, rounds = STAGES[name]
    reference = await stage(world, 0, answers, rounds)
    await advance(world, reference)
    expected = await facts(world, reference)
    calls = 0
    while True:
        project_id = await stage(world, calls + 1, answers, rounds)
        fault = Fault(calls, when)
        dying = with_ports(world, lambda port, fault=fault: Faulty(port, fault))
        with suppress(Killed):
            await dying.advance(project_id)
        await advance(world, project_id)
        assert await facts(world, project_id) == expected, f"{when} call {calls}"
        if not fault.hit:
            break
        calls += 1
    assert calls > 8


async def test_a_tick_that_died_again_and_again_ends_the_same(world: World) -> None:
    await world.put_model()
    reference = await stage(world, 0, 3, 2)
    await advance(world, reference)
    expected = await facts(world, reference)
    project_id = await stage(world, 1, 3, 2)
    for calls in range(60):
        fault = Fault(calls % 16, "after")
        dying = with_ports(world, lambda port, fault=fault: Faulty(port, fault))
        try:
            await dying.advance(project_id)
        except Killed:
            continue
        break
    assert await facts(world, project_id) == expected


async def test_a_round_that_begins_to_close_takes_no_more_answers(training: Training) -> None:
    world, round_, users = training
    for device in users[:3]:
        await world.answer(device, round_, [1.0, 2.0, 3.0])
    await world.submit(users[3], round_, floats([9.0] * PARAMETERS))
    store = world.services.store
    await store.rounds.move_phase(round_.id, None, Phase.CLOSING)
    assert await world.report(users[3], round_) is False
    await advance(world, round_.project_id)
    assert (await world.round(round_.project_id, 0)).status is RoundStatus.COMPLETE
    assert await model_of(world, round_.project_id, 1) == floats([1.0, 2.0, 3.0])
