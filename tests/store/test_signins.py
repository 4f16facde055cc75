"""The counts of failed passwords: together for all servers, and forgotten in time."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from flaas.domain.signin import Bound
from flaas.store.mongo import MongoStore

FIRST_WAIT = 100.0
BOUND = Bound(free=2, longest=3600, first=FIRST_WAIT)
LATE = Bound(free=2, longest=3600, first=FIRST_WAIT, ahead=False)


def later(database: Any, key: str, field: str = "until") -> None:
    """The time that was to pass has passed."""
    past = datetime.now(UTC) - timedelta(seconds=1)
    database["sign_ins"].update_one({"_id": key}, {"$set": {field: past}})


async def fail(store: MongoStore, bound: Bound = BOUND, key: str = "k") -> float:
    wait = await store.sign_ins.admit(key, bound)
    if not wait:
        await store.sign_ins.failed(key, bound)
    return wait


async def test_the_failure_after_the_free_ones_makes_the_next_wait(
    store: MongoStore, database: Any
) -> None:
    for bound, key in ((BOUND, "k"), (LATE, "l")):
        assert [await fail(store, bound, key) for _ in range(3)] == [0, 0, 0]
        assert 0 < await fail(store, bound, key) <= FIRST_WAIT
        later(database, key)
        assert await fail(store, bound, key) == 0
        assert FIRST_WAIT < await fail(store, bound, key) <= 2 * FIRST_WAIT


async def test_who_is_told_to_wait_costs_nothing(store: MongoStore, database: Any) -> None:
    for _ in range(3):
        await fail(store)
    before = database["sign_ins"].find_one({"_id": "k"})
    waits = [await fail(store) for _ in range(5)]
    after = database["sign_ins"].find_one({"_id": "k"})
    assert all(waits)
    assert (before["failures"], before["until"]) == (after["failures"], after["until"])


async def test_a_try_that_did_not_fail_is_as_none(store: MongoStore) -> None:
    for bound, key in ((BOUND, "k"), (LATE, "l")):
        for _ in range(10):
            assert await store.sign_ins.admit(key, bound) == 0
            await store.sign_ins.withdraw(key, bound)
        for _ in range(2):
            assert await fail(store, bound, key) == 0
        # The third one would cost a wait, and did not fail.
        assert await store.sign_ins.admit(key, bound) == 0
        await store.sign_ins.withdraw(key, bound)
        assert await store.sign_ins.admit(key, bound) == 0


async def test_guesses_at_once_count_like_guesses_in_a_row(store: MongoStore) -> None:
    waits = await asyncio.gather(*(store.sign_ins.admit("k", BOUND) for _ in range(50)))
    assert waits.count(0) == 3


async def test_right_passwords_at_once_are_not_in_each_other_s_way(store: MongoStore) -> None:
    waits = await asyncio.gather(*(store.sign_ins.admit("k", LATE) for _ in range(50)))
    assert waits == [0] * 50


async def test_an_address_over_its_bound_is_tried_one_at_a_time(
    store: MongoStore, database: Any
) -> None:
    for _ in range(3):
        await fail(store, LATE)
    later(database, "k")
    waits = await asyncio.gather(*(store.sign_ins.admit("k", LATE) for _ in range(20)))
    assert waits.count(0) == 1


async def test_a_count_begins_anew_when_its_hour_is_over(store: MongoStore, database: Any) -> None:
    for _ in range(3):
        await fail(store)
    later(database, "k")
    later(database, "k", "expires")
    assert [await fail(store) for _ in range(3)] == [0, 0, 0]
    assert 0 < await fail(store) <= FIRST_WAIT


async def test_counts_are_deleted_when_they_mean_nothing_more(
    store: MongoStore, database: Any
) -> None:
    await fail(store)
    await store.sign_ins.know("k")
    indexes = database["sign_ins"].index_information()
    assert indexes["expires_1"]["expireAfterSeconds"] == 0
    kept = {one["_id"]: one["expires"] for one in database["sign_ins"].find()}
    now = datetime.now(UTC)
    assert timedelta(minutes=55) < kept["k"] - now <= timedelta(hours=1)
    assert timedelta(days=89) < kept["known k"] - now <= timedelta(days=90)


async def test_who_is_known_is_known_for_a_time(store: MongoStore, database: Any) -> None:
    assert not await store.sign_ins.is_known("k")
    await store.sign_ins.know("k")
    await store.sign_ins.know("k")
    assert await store.sign_ins.is_known("k")
    assert not await store.sign_ins.is_known("l")
    later(database, "known k", "expires")
    assert not await store.sign_ins.is_known("k")
