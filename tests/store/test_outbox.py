"""Pushes that are to be sent: each is claimed by one sender and settled once."""

import asyncio
from datetime import datetime, timedelta

import msgspec
import pytest

from flaas.store.mongo import MongoStore

from .records import START, batch

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


async def claimed(store: MongoStore, now: datetime) -> str | None:
    found = await store.outbox.claim(now)
    return found and found.id


async def test_a_claimed_batch_is_as_it_was_put_and_counts_its_attempts(store: MongoStore) -> None:
    await store.outbox.put(batch(), START)
    assert await store.outbox.claim(START) == batch(attempts=1)
    later = START + 2 * MINUTE
    assert await store.outbox.claim(later) == batch(attempts=2)


async def test_a_batch_is_put_once(store: MongoStore) -> None:
    await store.outbox.put(batch(), START)
    await store.outbox.put(msgspec.structs.replace(batch(), usernames=["other"]), START)
    assert await store.outbox.claim(START) == batch(attempts=1)
    await store.outbox.sent("1:0")
    await store.outbox.put(batch(), START)
    assert await store.outbox.next_due() is None


async def test_the_batch_that_is_due_longest_comes_first(store: MongoStore) -> None:
    for index, due in enumerate((2, 0, 1)):
        await store.outbox.put(batch(index), START + due * SECOND)
    now = START + 2 * SECOND
    assert [await claimed(store, now) for _ in range(4)] == ["1:1", "1:2", "1:0", None]


async def test_a_batch_is_nobody_else_s_for_two_minutes(store: MongoStore) -> None:
    await store.outbox.put(batch(), START)
    assert await claimed(store, START) == "1:0"
    assert await claimed(store, START + 119 * SECOND) is None
    assert await claimed(store, START + 120 * SECOND) == "1:0"


async def test_a_batch_is_claimed_by_one_of_many(store: MongoStore) -> None:
    for index in range(5):
        await store.outbox.put(batch(index), START)
    got = await asyncio.gather(*(claimed(store, START) for _ in range(20)))
    assert sorted(one for one in got if one) == [f"1:{index}" for index in range(5)]


async def test_a_batch_is_not_claimed_before_it_is_due(store: MongoStore) -> None:
    await store.outbox.put(batch(), START + SECOND)
    assert await claimed(store, START) is None
    assert await store.outbox.next_due() == START + SECOND


@pytest.mark.parametrize("outcome", ["sent", "dropped"])
async def test_a_settled_batch_stays_so(store: MongoStore, outcome: str) -> None:
    await store.outbox.put(batch(), START)
    await store.outbox.claim(START)
    await (store.outbox.sent("1:0") if outcome == "sent" else store.outbox.dropped("1:0", "late"))
    await store.outbox.retry_at("1:0", START, "a late failure of another sender")
    assert await claimed(store, START + 5 * MINUTE) is None
    assert await store.outbox.next_due() is None


async def test_a_failed_batch_is_due_when_it_is_told(store: MongoStore) -> None:
    await store.outbox.put(batch(), START)
    await store.outbox.claim(START)
    await store.outbox.retry_at("1:0", START + 4 * SECOND, "HTTP status 500")
    assert await store.outbox.next_due() == START + 4 * SECOND
    assert await claimed(store, START + 3 * SECOND) is None
    assert await claimed(store, START + 4 * SECOND) == "1:0"


async def test_deleting_takes_the_named_rounds_only(store: MongoStore) -> None:
    for round_id in (1, 2):
        await store.outbox.put(batch(round_id=round_id), START)
    await store.outbox.delete_all([1])
    assert await claimed(store, START) == "2:0"
    assert await claimed(store, START) is None
