"""Reports at once with each other and with the close. The rest is tested over HTTP."""

import asyncio
from dataclasses import replace

import pytest

from flaas.domain.device import User
from flaas.domain.errors import Conflict, Gone
from flaas.domain.round import Round, RoundStatus

from ..support import floats
from .conftest import World

Training = tuple[World, Round, list[User]]
WEIGHTS = floats([1.0, 2.0, 3.0])


async def test_the_last_answer_asks_for_a_look_at_the_project(training: Training) -> None:
    world, round_, users = training
    looked: list[int] = []
    services = world.services
    devices = replace(services.devices, on_answer=looked.append)
    world = World(replace(services, devices=devices), world.clock)
    for device in users:
        assert looked == []
        await world.submit(device, round_, WEIGHTS)
        assert await world.report(device, round_)
    assert looked == [round_.project_id]


@pytest.mark.parametrize("repeats", [20])
async def test_a_report_that_is_repeated_at_once_counts_once(
    training: Training, repeats: int
) -> None:
    world, round_, (device, *_) = training
    await world.submit(device, round_, WEIGHTS)
    told = await asyncio.gather(*(world.report(device, round_) for _ in range(repeats)))
    assert told == [True] * repeats
    assert await world.services.store.participants.tally(round_.id) == (4, 1)


async def test_reports_at_once_with_the_close_count_exactly_when_they_are_told_so(
    training: Training,
) -> None:
    world, round_, users = training
    for device in users:
        await world.submit(device, round_, WEIGHTS)
    for device in users[:3]:
        await world.report(device, round_)
    world.clock.pass_(minutes=60)
    told, _ = await asyncio.gather(
        world.report(users[3], round_), world.services.rounds.advance(round_.project_id)
    )
    closed = await world.round(round_.project_id, 0)
    counted = await world.services.store.participants.counted(round_.id)
    assert closed.status is RoundStatus.COMPLETE
    assert (users[3].device_id in [one.device_id for one in counted]) is told


async def test_a_report_after_the_close_says_whether_it_was_in_time(training: Training) -> None:
    world, round_, users = training
    for device in users[:3]:
        await world.submit(device, round_, WEIGHTS)
    for device in users[:2]:
        await world.report(device, round_)
    world.clock.pass_(minutes=60)
    await world.services.rounds.advance(round_.project_id)
    assert await world.report(users[0], round_) is True
    assert await world.report(users[2], round_) is False
    with pytest.raises(Gone):
        await world.report(users[3], round_)


async def test_a_report_that_is_refused_is_not_kept_as_an_answer(training: Training) -> None:
    world, round_, users = training
    with pytest.raises(Conflict, match="Submit the model first"):
        await world.report(users[0], round_)
    assert await world.services.store.participants.tally(round_.id) == (4, 0)
