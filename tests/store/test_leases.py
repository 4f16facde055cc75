"""One holder at a time, by the database's clock."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from flaas.store.mongo import MongoStore, open_store


@pytest.fixture
async def replica(mongodb_uri: str) -> AsyncIterator[MongoStore]:
    """Another process on the same database."""
    async with open_store(mongodb_uri, timedelta(days=90)) as opened:
        yield opened


async def test_exactly_one_of_twenty_gets_a_lease(store: MongoStore, replica: MongoStore) -> None:
    for attempt in range(10):
        name = f"project:{attempt}"
        got = await asyncio.gather(
            *((store, replica)[n % 2].leases.acquire(name, f"h{n}", 30) for n in range(20))
        )
        assert got.count(True) == 1


async def test_exactly_one_of_twenty_gets_a_lease_that_ran_out(
    store: MongoStore, replica: MongoStore
) -> None:
    assert await store.leases.acquire("a", "dead", 0.05)
    await asyncio.sleep(0.1)
    got = await asyncio.gather(
        *((store, replica)[n % 2].leases.acquire("a", f"h{n}", 30) for n in range(20))
    )
    assert got.count(True) == 1


async def test_a_holder_renews_its_lease(store: MongoStore) -> None:
    assert await store.leases.acquire("a", "one", 0.3)
    assert await store.leases.acquire("a", "one", 30)
    await asyncio.sleep(0.35)
    assert not await store.leases.acquire("a", "two", 30)


async def test_a_lease_that_ran_out_is_another_s(store: MongoStore) -> None:
    assert await store.leases.acquire("a", "one", 0.05)
    await asyncio.sleep(0.1)
    assert await store.leases.acquire("a", "two", 30)
    assert not await store.leases.acquire("a", "one", 30)


async def test_leases_of_other_names_are_other_leases(store: MongoStore) -> None:
    assert await store.leases.acquire("a", "one", 30)
    assert await store.leases.acquire("b", "two", 30)


async def test_only_its_holder_releases_a_lease(store: MongoStore) -> None:
    assert await store.leases.acquire("a", "one", 30)
    await store.leases.release("a", "two")
    assert not await store.leases.acquire("a", "two", 30)
    await store.leases.release("a", "one")
    await store.leases.release("a", "one")
    assert await store.leases.acquire("a", "two", 30)


async def test_work_under_a_lease_never_overlaps(store: MongoStore, replica: MongoStore) -> None:
    inside = most = runs = 0

    async def work(holder: str, leases: MongoStore) -> None:
        nonlocal inside, most, runs
        while not await leases.leases.acquire("a", holder, 30):
            await asyncio.sleep(0.005)
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.002)
        inside -= 1
        runs += 1
        await leases.leases.release("a", holder)

    async with asyncio.timeout(20):
        await asyncio.gather(*(work(f"h{n}", (store, replica)[n % 2]) for n in range(20)))
    assert (most, runs) == (1, 20)
