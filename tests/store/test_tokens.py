"""Refresh tokens: an old one stays good until a successor of it was used."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from flaas.store.mongo import MongoStore

from .records import START

LATER = START + timedelta(days=60)


async def retired(store: MongoStore, *names: str) -> list[str]:
    return [name for name in names if await store.refresh_tokens.is_retired(name)]


async def test_a_token_that_nobody_knows_is_good(store: MongoStore) -> None:
    await store.refresh_tokens.used("a")
    assert await retired(store, "a") == []


async def test_a_token_stays_good_until_its_successor_was_used(store: MongoStore) -> None:
    await store.refresh_tokens.succeed("a", "b", 1, LATER)
    assert await retired(store, "a", "b") == []
    await store.refresh_tokens.used("a")
    assert await retired(store, "a", "b") == []
    await store.refresh_tokens.used("b")
    assert await retired(store, "a", "b") == ["a"]


async def test_the_siblings_of_a_used_token_are_retired(store: MongoStore) -> None:
    for successor in ("b", "c", "d"):
        await store.refresh_tokens.succeed("a", successor, 1, LATER)
    await store.refresh_tokens.used("c")
    assert await retired(store, "a", "b", "c", "d") == ["a", "b", "d"]


async def test_every_link_of_a_chain_retires_the_one_before(store: MongoStore) -> None:
    for old, new in ("ab", "bc", "cd"):
        await store.refresh_tokens.succeed(old, new, 1, LATER)
        await store.refresh_tokens.used(old)
    assert await retired(store, "a", "b", "c", "d") == ["a", "b"]
    await store.refresh_tokens.used("d")
    await store.refresh_tokens.used("d")
    assert await retired(store, "a", "b", "c", "d") == ["a", "b", "c"]


@pytest.mark.parametrize("count", [20])
async def test_a_token_used_many_times_at_once(store: MongoStore, count: int) -> None:
    await store.refresh_tokens.succeed("a", "b", 1, LATER)
    await asyncio.gather(*(store.refresh_tokens.used("b") for _ in range(count)))
    assert await retired(store, "a", "b") == ["a"]


async def test_tokens_of_others_are_left_alone(store: MongoStore) -> None:
    await store.refresh_tokens.succeed("a", "b", 1, LATER)
    await store.refresh_tokens.succeed("x", "y", 2, LATER)
    await store.refresh_tokens.used("b")
    assert await retired(store, "x", "y") == []


async def test_what_is_known_of_a_token_is_kept_until_it_expires(
    store: MongoStore, database: Any
) -> None:
    await store.refresh_tokens.succeed("a", "b", 1, LATER)
    await store.refresh_tokens.used("b")
    kept = {one["_id"]: one["expires"] for one in database["refresh_tokens"].find()}
    assert kept["b"] == LATER
    assert kept["a"] >= LATER
