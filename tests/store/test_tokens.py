"""Refresh tokens: an old one stays good until a successor of it was used."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from flaas.store.mongo import MongoStore

from .records import START

SOON, LATER = START + timedelta(days=59), START + timedelta(days=60)


async def retired(store: MongoStore, *names: str) -> list[str]:
    return [name for name in names if await store.refresh_tokens.is_retired(name)]


async def test_a_token_that_nobody_knows_is_good(store: MongoStore) -> None:
    await store.refresh_tokens.used("a")
    assert await retired(store, "a") == []


async def test_a_token_stays_good_until_its_successor_was_used(store: MongoStore) -> None:
    await store.refresh_tokens.succeed("a", SOON, "b", LATER)
    assert await retired(store, "a", "b") == []
    await store.refresh_tokens.used("a")
    assert await retired(store, "a", "b") == []
    await store.refresh_tokens.used("b")
    assert await retired(store, "a", "b") == ["a"]


async def test_the_siblings_of_a_used_token_are_retired(store: MongoStore) -> None:
    for successor in ("b", "c", "d"):
        await store.refresh_tokens.succeed("a", SOON, successor, LATER)
    await store.refresh_tokens.used("c")
    assert await retired(store, "a", "b", "c", "d") == ["a", "b", "d"]


async def test_every_link_of_a_chain_retires_the_one_before(store: MongoStore) -> None:
    for old, new in ("ab", "bc", "cd"):
        await store.refresh_tokens.succeed(old, SOON, new, LATER)
        await store.refresh_tokens.used(old)
    assert await retired(store, "a", "b", "c", "d") == ["a", "b"]
    await store.refresh_tokens.used("d")
    await store.refresh_tokens.used("d")
    assert await retired(store, "a", "b", "c", "d") == ["a", "b", "c"]


@pytest.mark.parametrize("count", [20])
async def test_a_token_used_many_times_at_once(store: MongoStore, count: int) -> None:
    await store.refresh_tokens.succeed("a", SOON, "b", LATER)
    await asyncio.gather(*(store.refresh_tokens.used("b") for _ in range(count)))
    assert await retired(store, "a", "b") == ["a"]


async def test_tokens_of_others_are_left_alone(store: MongoStore) -> None:
    await store.refresh_tokens.succeed("a", SOON, "b", LATER)
    await store.refresh_tokens.succeed("x", SOON, "y", LATER)
    await store.refresh_tokens.used("b")
    assert await retired(store, "x", "y") == []


@pytest.mark.parametrize(("until", "successor_until"), [(SOON, LATER), (LATER, SOON)])
async def test_each_token_is_remembered_until_it_expires(
    store: MongoStore, database: Any, until: datetime, successor_until: datetime
) -> None:
    """However long another token of its chain is good for: what is retired must stay known."""
    await store.refresh_tokens.succeed("a", until, "b", successor_until)
    await store.refresh_tokens.succeed("a", until, "c", successor_until)
    await store.refresh_tokens.used("b")
    kept = {one["_id"]: one["expires"] for one in database["refresh_tokens"].find()}
    assert kept == {"a": until, "b": successor_until, "c": successor_until}


async def test_rotating_a_token_again_leaves_it_as_retired_as_it_was(store: MongoStore) -> None:
    await store.refresh_tokens.succeed("a", SOON, "b", LATER)
    await store.refresh_tokens.used("b")
    await store.refresh_tokens.succeed("a", SOON, "c", LATER)
    assert await retired(store, "a", "b") == ["a"]


async def test_successors_of_one_token_at_once_are_all_known(store: MongoStore) -> None:
    names = [f"s{number}" for number in range(20)]
    await asyncio.gather(*(store.refresh_tokens.succeed("a", SOON, name, LATER) for name in names))
    await store.refresh_tokens.used("s7")
    assert await retired(store, "a", *names) == ["a", *names[:7], *names[8:]]
