"""Train requests from the outbox to the push service, over HTTP."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from flaas.app import App, open_app
from flaas.domain.errors import Unavailable
from flaas.fleet.pushwoosh import Failure, PushwooshStandIn
from flaas.services import outbox as module
from flaas.services.outbox import OutboxSender
from flaas.settings import Settings

from ..conftest import TestClock
from ..store.records import batch
from .conftest import World

TOKEN, APPLICATION = "test-token", "TEST-APP"


@dataclass
class Post:
    world: World
    push: PushwooshStandIn
    sender: OutboxSender
    clock: TestClock

    async def put(self, count: int = 1, **values: Any) -> None:
        """Batches that phones would take for the next hour."""
        now = self.clock()
        data = {
            "type": "train",
            "validDate": round((now + timedelta(hours=1)).timestamp() * 1000),
            "request": 1,
            "project": 1,
            "round": 0,
            "trainingMode": "BASELINE",
        }
        for index in range(count):
            given = {"data": data, "valid_until": now + timedelta(hours=1)} | values
            given.setdefault("usernames", [f"user{index}"])
            await self.world.services.store.outbox.put(batch(index, **given), now)

    @property
    def transactions(self) -> list[str]:
        return [one["notifications"][0]["transactionId"] for one in self.push.requests]

    @property
    def users(self) -> Counter[str]:
        return Counter(user for user, _ in self.push.delivered)


@pytest.fixture
async def post(
    make_settings: Callable[..., Settings], clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Post]:
    monkeypatch.setattr(module, "_PACE_SECONDS", 0.001)
    async with PushwooshStandIn(TOKEN, APPLICATION) as push:
        settings = make_settings(
            PUSHWOOSH_API_TOKEN=TOKEN,
            PUSHWOOSH_APPLICATION_CODE=APPLICATION,
            PUSHWOOSH_URL=push.url,
        )
        async with open_app(settings, clock) as app:
            yield Post(World(app.services, clock), push, app.services.outbox, clock)
        assert push.refusals == []


async def test_many_devices_are_asked_in_batches_of_a_thousand(
    app: App, post: Post, world: World
) -> None:
    await world.put_model()
    project = await world.create_project(max_training_time=45)
    await world.devices(2_500, project.id)
    await world.services.rounds.advance(project.id)

    assert await post.sender.deliver_due() == 3

    notifications = [one["notifications"] for one in post.push.requests]
    assert [len(one) for one in notifications] == [1, 1, 1]
    assert [len(one[0]["users"]) for one in notifications] == [1000, 1000, 500]
    assert post.users == Counter(f"user{number}" for number in range(1, 2_501))
    assert len(set(post.transactions)) == 3
    assert {one[0]["android_gcm_ttl"] for one in notifications} == {45 * 60}
    assert {one[0]["ios_ttl"] for one in notifications} == {45 * 60}
    assert await post.sender.deliver_due() == 0


@pytest.mark.parametrize("failure", Failure)
async def test_a_failed_push_is_sent_again_and_reaches_a_phone_once(
    post: Post, failure: Failure
) -> None:
    await post.put()
    post.push.fail_next(1, failure)
    assert await post.sender.deliver_due() == 0
    post.clock.pass_(seconds=10)
    assert await post.sender.deliver_due() == 1
    assert post.users == {"user0": 1}
    assert set(post.transactions) == {"flaas-1-0"}
    post.clock.pass_(minutes=5)
    assert await post.sender.deliver_due() == 0


async def test_the_pauses_between_retries_double_up_to_five_minutes(post: Post) -> None:
    await post.put(valid_until=post.clock() + timedelta(hours=10))
    post.push.fail_next(100, Failure.STATUS_500)
    pauses = []
    for _ in range(11):
        now = post.clock()
        assert await post.sender.deliver_due() == 0
        due = await post.world.services.store.outbox.next_due()
        assert due is not None
        pauses.append(round((due - now).total_seconds()))
        post.clock.pass_(seconds=pauses[-1] + 0.01)
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


async def test_one_that_fails_does_not_hold_up_the_others(post: Post) -> None:
    await post.put(3)
    post.push.fail_next(1, Failure.HTTP_500)
    assert await post.sender.deliver_due() == 2
    assert post.users == {"user1": 1, "user2": 1}
    post.clock.pass_(seconds=5)
    assert await post.sender.deliver_due() == 1
    assert post.users == {"user0": 1, "user1": 1, "user2": 1}


async def test_a_push_whose_time_has_passed_is_dropped(post: Post) -> None:
    await post.put()
    post.clock.pass_(minutes=59)
    post.push.fail_next(1, Failure.DROP)
    assert await post.sender.deliver_due() == 0
    post.clock.pass_(minutes=1)
    assert await post.sender.deliver_due() == 1
    post.clock.pass_(minutes=10)
    assert await post.sender.deliver_due() == 0
    assert post.push.delivered == []
    assert post.push.requests == []


async def an_hour_down(post: Post) -> int:
    """How often a push was tried while the service was down for an hour."""
    down = post.clock() + timedelta(hours=1)
    tries = 0
    while (now := post.clock()) < down:
        if await post.world.services.store.outbox.next_due():
            post.push.fail_next(1, Failure.HTTP_500)
        await post.sender.deliver_due()
        tries += 1
        due = await post.world.services.store.outbox.next_due()
        post.clock.pass_(seconds=(due - now).total_seconds() + 0.01 if due else 60)
    return tries


async def test_after_an_hour_s_outage_a_push_is_delivered_once(post: Post) -> None:
    await post.put(valid_until=post.clock() + timedelta(hours=2))
    # Some ten minutes of doubling pauses, then every five.
    assert 15 <= await an_hour_down(post) <= 25
    assert await post.sender.deliver_due() == 1
    assert post.users == {"user0": 1}


async def test_after_an_hour_s_outage_a_push_that_is_too_late_is_dropped_and_that_is_said(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    await post.put(valid_until=post.clock() + timedelta(minutes=59))
    await an_hour_down(post)
    assert await post.sender.deliver_due() == 1
    assert post.push.delivered == []
    assert "push 1:0 to 1 devices dropped: too late" in caplog.messages
    assert await post.sender.deliver_due() == 0


async def test_two_senders_send_nothing_twice(post: Post) -> None:
    await post.put(20)
    other = replace(post.sender)
    settled = await asyncio.gather(*(one.deliver_due() for one in (post.sender, other) * 2))
    assert sum(settled) == 20
    assert len(post.transactions) == len(set(post.transactions)) == 20
    assert set(post.users.values()) == {1}


class Forgetful:
    """A store whose outbox cannot be told that a batch was sent."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    @property
    def outbox(self) -> "Forgetful":
        return Forgetful(self._real.outbox)

    async def sent(self, batch_id: str) -> None:
        raise Unavailable("away")


async def test_a_sender_that_died_after_sending_is_repeated_without_a_second_push(
    post: Post,
) -> None:
    await post.put()
    dying = replace(post.sender, store=Forgetful(post.sender.store))
    with pytest.raises(Unavailable):
        await dying.deliver_due()
    assert await post.sender.deliver_due() == 0
    post.clock.pass_(seconds=121)
    assert await post.sender.deliver_due() == 1
    assert post.transactions == ["flaas-1-0"] * 2
    assert post.users == {"user0": 1}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_running_sender_sends_what_it_is_woken_for_and_retries_by_itself(
    post: Post,
) -> None:
    running = asyncio.create_task(post.sender.run())
    try:
        await asyncio.sleep(0.05)
        post.push.fail_next(1, Failure.HTTP_500)
        await post.put()
        assert post.push.delivered == []
        post.sender.wake()
        await until(lambda: post.users == {"user0": 1})
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_running_sender_outlives_a_database_that_is_away(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LONGEST_SLEEP_SECONDS", 0.05)
    real, tries = post.sender.store, 0

    class Away:
        def __getattr__(self, name: str) -> Any:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise Unavailable("away")
            if tries == 2:
                raise RuntimeError("a fault of ours")
            return getattr(real, name)

    sender = replace(post.sender, store=Away())
    await post.put()
    running = asyncio.create_task(sender.run())
    try:
        await until(lambda: post.users == {"user0": 1})
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
