"""Accounts: all or none, prefixes, and the newest status."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from flaas.domain.device import DeviceDetails
from flaas.domain.ports import AlreadyExists
from flaas.store.mongo import MongoStore

from .records import START, seen, user

MINUTE = timedelta(minutes=1)


async def members_of(store: MongoStore, project_id: int, numbers: range) -> list[int]:
    found = [await store.users.get(number) for number in numbers]
    return [one.id for one in found if one and one.project_id == project_id]


async def test_an_account_is_found_by_its_id_and_by_its_name(store: MongoStore) -> None:
    await store.users.insert([user(1), user(2)])
    assert await store.users.get(2) == user(2)
    assert await store.users.by_username("user1") == user(1)
    assert await store.users.get(3) is None
    assert await store.users.by_username("USER1") is None


async def test_taken_names_are_those_that_are_asked_for_and_exist(store: MongoStore) -> None:
    await store.users.insert([user(1), user(2), user(3)])
    assert await store.users.names_taken(["user3", "user1", "user9"]) == ["user1", "user3"]
    assert await store.users.names_taken([]) == []


@pytest.mark.parametrize("taken", [1, 3, 5])
async def test_accounts_are_inserted_all_or_none(store: MongoStore, taken: int) -> None:
    known = user(90, username=f"user{taken}")
    await store.users.insert([known])
    with pytest.raises(AlreadyExists):
        await store.users.insert([user(number) for number in range(1, 6)])
    assert [await store.users.get(number) for number in range(1, 6)] == [None] * 5
    assert await store.users.get(90) == known


@pytest.mark.parametrize("taken", [{"id": 1}, {"device_id": 1}, {"username": "user1"}])
async def test_an_account_that_was_there_stays_as_it_was(
    store: MongoStore, taken: dict[str, Any]
) -> None:
    await store.users.insert([user(1)])
    with pytest.raises(AlreadyExists):
        await store.users.insert([user(2), user(3, **taken)])
    assert await store.users.get(1) == user(1)
    assert await store.users.get(2) is None


async def test_of_two_that_insert_the_same_names_at_once_at_most_one_succeeds(
    store: MongoStore,
) -> None:
    groups = [[user(base + n, username=f"user{n}") for n in range(20)] for base in (100, 200, 300)]
    outcomes = await asyncio.gather(
        *(store.users.insert(group) for group in groups), return_exceptions=True
    )
    wrong = [one for one in outcomes if one is not None and not isinstance(one, AlreadyExists)]
    assert wrong == []
    stored = {group[0].id: [await store.users.get(one.id) for one in group] for group in groups}
    for group, outcome in zip(groups, outcomes, strict=True):
        assert stored[group[0].id] == (group if outcome is None else [None] * 20)
    assert outcomes.count(None) <= 1


async def test_new_credentials_touch_nothing_else(store: MongoStore) -> None:
    before = user(1, project_id=4, samples_index=2, last_status=seen())
    await store.users.insert([before])
    await store.users.assign("user1", 5)
    values = {"password_hash": "$new$hash", "is_staff": True, "is_active": False}
    await store.users.change_access(1, values, 9)
    found = await store.users.get(1)
    assert found is not None
    assert (found.password_hash, found.is_staff, found.is_active) == ("$new$hash", True, False)
    assert found.tokens_valid_from == 9
    assert (found.project_id, found.samples_index, found.last_status) == (5, 2, seen())


@pytest.mark.parametrize(("first", "then", "found"), [(9, 9, 10), (9, 5, 10), (9, 20, 20)])
async def test_sessions_end_later_with_every_change(
    store: MongoStore, first: int, then: int, found: int
) -> None:
    await store.users.insert([user(1)])
    await store.users.change_access(1, {"is_active": False}, first)
    await store.users.change_access(1, {"is_active": True}, then)
    changed = await store.users.get(1)
    assert changed == user(1, tokens_valid_from=found)


async def test_a_hash_is_upgraded_unless_the_password_changed_meanwhile(store: MongoStore) -> None:
    await store.users.insert([user(1, password_hash="old")])
    await store.users.upgrade_hash(1, "older", "wrong")
    assert (await store.users.get(1)) == user(1, password_hash="old")
    await store.users.upgrade_hash(1, "old", "new")
    assert (await store.users.get(1)) == user(1, password_hash="new")


# --- assigning ---


async def test_a_prefix_names_the_only_members_of_a_project(store: MongoStore) -> None:
    await store.users.insert([user(n, username=f"a{n}") for n in range(1, 4)])
    await store.users.insert([user(n, username=f"b{n}") for n in range(4, 6)])
    assert await store.users.assign("a", 1) == 3
    assert await store.users.assign("a", 1) == 3
    assert await store.users.assign("b", 2) == 2
    assert await members_of(store, 1, range(1, 6)) == [1, 2, 3]
    assert await store.users.assign("b", 1) == 2
    assert await members_of(store, 1, range(1, 6)) == [4, 5]
    assert await members_of(store, 2, range(1, 6)) == []


async def test_a_prefix_without_users_changes_nothing(store: MongoStore) -> None:
    await store.users.insert([user(1, project_id=1), user(2)])
    assert await store.users.assign("nobody", 1) == 0
    assert await store.users.get(1) == user(1, project_id=1)
    assert await store.users.get(2) == user(2)


@pytest.mark.parametrize(
    ("prefix", "name", "other"),
    [
        ("a.c", "a.c1", "abc1"),
        ("a+", "a+1", "aa1"),
        (".*", ".*1", "x1"),
        ("[ab]", "[ab]1", "a1"),
        ("(", "(1", "x1"),
        ("a|b", "a|b1", "b1"),
        ("^u", "^u1", "u1"),
        ("u$", "u$1", "u1"),
        ("\\d", "\\d1", "51"),
        ("a b", "a b1", "ab1"),
        ("a#", "a#1", "a1"),
        ("é", "été", "ete"),
        ("User", "User1", "user1"),
        ("user", "user1", "my_user1"),
    ],
)
async def test_a_prefix_is_text_and_no_pattern(
    store: MongoStore, prefix: str, name: str, other: str
) -> None:
    name = prefix + name[len(prefix) :]
    await store.users.insert([user(1, username=name), user(2, username=other)])
    assert await store.users.assign(prefix, 1) == 1
    assert await members_of(store, 1, range(1, 3)) == [1]


async def test_staff_are_never_assigned(store: MongoStore) -> None:
    await store.users.insert([user(1), user(2, is_staff=True)])
    assert await store.users.assign("user", 1) == 1
    assert await store.users.assign("user2", 1) == 0
    assert await store.users.get(2) == user(2, is_staff=True)
    assert await members_of(store, 1, range(1, 3)) == [1]


async def test_unassigning_empties_one_project(store: MongoStore) -> None:
    await store.users.insert([user(1, project_id=1), user(2, project_id=2)])
    await store.users.unassign(1)
    assert await store.users.registered(1) == 0
    assert await store.users.registered(2) == 1


async def test_only_active_devices_are_registered(store: MongoStore) -> None:
    await store.users.insert(
        [user(1, project_id=1), user(2, project_id=1, is_active=False), user(3)]
    )
    assert await store.users.registered(1) == 1


# --- statuses ---


async def test_devices_that_reported_since_come_in_the_order_of_their_ids(
    store: MongoStore,
) -> None:
    ages = {4: 0, 2: 59, 3: 60, 1: 61}
    await store.users.insert(
        [user(n, project_id=1, last_status=seen(START - age * MINUTE)) for n, age in ages.items()]
    )
    await store.users.insert(
        [
            user(5, project_id=1),
            user(6, project_id=2, last_status=seen()),
            user(7, project_id=1, is_active=False, last_status=seen()),
        ]
    )
    since = START - 60 * MINUTE
    found = [one.id async for one in store.users.reporting_since(1, since)]
    assert found == [2, 3, 4]


async def test_the_newest_status_is_kept_whatever_the_order_of_arrival(store: MongoStore) -> None:
    await store.users.insert([user(1)])
    await store.users.record_status(1, seen(START), DeviceDetails(os="Android"))
    await store.users.record_status(1, seen(START - MINUTE, level=0.1), DeviceDetails(os="old"))
    found = await store.users.get(1)
    assert found is not None
    assert found.last_status == seen(START)
    assert found.device == DeviceDetails(os="Android")
    await store.users.record_status(1, seen(START + MINUTE, plugged=False), None)
    found = await store.users.get(1)
    assert found is not None
    assert found.last_status == seen(START + MINUTE, plugged=False)
    assert found.device == DeviceDetails(os="Android")


async def test_of_statuses_that_come_at_once_the_newest_stays(store: MongoStore) -> None:
    await store.users.insert([user(1)])
    statuses = [seen(START + n * MINUTE, level=n / 50) for n in range(50)]
    await asyncio.gather(*(store.users.record_status(1, one, None) for one in statuses))
    found = await store.users.get(1)
    assert found is not None
    assert found.last_status == statuses[-1]
