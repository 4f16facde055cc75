"""Accounts: all or none, passwords, staff, and the members of a project."""

import asyncio
import re
import statistics
import time

import argon2
import pytest

from flaas.app import App
from flaas.domain.errors import Conflict, Invalid, NotAuthenticated, NotFound
from flaas.services import accounts as module
from flaas.services.accounts import Accounts

from ..conftest import TestClock
from ..store.records import project, user


@pytest.fixture
def accounts(app: App) -> Accounts:
    return app.services.accounts


# --- creating ---


async def test_accounts_are_numbered_and_take_consecutive_samples(accounts: Accounts) -> None:
    created = await accounts.create_users(3, prefix="dev", samples_index_start=7)
    assert [one.username for one in created] == ["dev1", "dev2", "dev3"]
    assert [one.samples_index for one in created] == [7, 8, 9]
    stored = [await accounts.store.users.by_username(one.username) for one in created]
    assert [one and one.samples_index for one in stored] == [7, 8, 9]
    assert [one and one.device_id == one.id for one in stored] == [True] * 3
    assert not any(one and (one.is_staff or one.project_id) for one in stored)


async def test_passwords_are_random_letters_and_digits_of_the_wanted_length(
    accounts: Accounts,
) -> None:
    created = await accounts.create_users(20, prefix="dev", length=12)
    passwords = {one.password for one in created}
    assert len(passwords) == 20
    assert all(re.fullmatch(r"[A-Za-z0-9]{12}", password) for password in passwords)
    for one in created[:2]:
        assert (await accounts.authenticate(one.username, one.password)).username == one.username


async def test_a_password_is_stored_as_argon2id_with_owasp_s_parameters(accounts: Accounts) -> None:
    (created,) = await accounts.create_users(1, prefix="dev")
    stored = await accounts.store.users.by_username("dev1")
    assert stored is not None
    parameters = argon2.extract_parameters(stored.password_hash)
    assert parameters.type is argon2.Type.ID
    assert (parameters.time_cost, parameters.memory_cost, parameters.parallelism) == (2, 19456, 1)
    assert created.password not in repr(stored)
    assert stored.password_hash not in repr(stored)


async def test_a_name_that_is_taken_creates_nobody(accounts: Accounts) -> None:
    await accounts.store.users.insert([user(500, username="dev3")])
    hashed = 0

    def count() -> None:
        nonlocal hashed
        hashed += 1

    with pytest.raises(Conflict, match="dev3"):
        await accounts.create_users(5, prefix="dev", progress=count)
    assert hashed == 0
    names = [f"dev{number}" for number in range(1, 6)]
    assert await accounts.store.users.names_taken(names) == ["dev3"]


async def test_a_name_that_is_taken_while_passwords_are_hashed_creates_nobody(
    accounts: Accounts,
) -> None:
    hashing = asyncio.Event()
    creating = asyncio.create_task(accounts.create_users(4, prefix="dev", progress=hashing.set))
    await hashing.wait()
    await accounts.store.users.insert([user(500, username="dev3")])
    with pytest.raises(Conflict):
        await creating
    assert await accounts.store.users.names_taken(["dev1", "dev2", "dev3", "dev4"]) == ["dev3"]


async def test_two_who_create_the_same_names_at_once_do_not_mix(accounts: Accounts) -> None:
    outcomes = await asyncio.gather(
        *(accounts.create_users(3, prefix="dev") for _ in range(2)), return_exceptions=True
    )
    created = [one for one in outcomes if isinstance(one, list)]
    assert all(isinstance(one, list | Conflict) for one in outcomes)
    assert len(created) <= 1
    names = await accounts.store.users.names_taken(["dev1", "dev2", "dev3"])
    assert len(names) == 3 * len(created)
    for one in created[0] if created else []:
        await accounts.authenticate(one.username, one.password)


async def test_progress_is_told_once_a_password(accounts: Accounts) -> None:
    told: list[None] = []
    await accounts.create_users(4, prefix="dev", progress=lambda: told.append(None))
    assert len(told) == 4


@pytest.mark.parametrize(
    ("count", "prefix", "length", "start", "field"),
    [
        (0, "dev", 10, 0, "accounts"),
        (-1, "dev", 10, 0, "accounts"),
        (1, "dev", 10, 2**31 - 1, "accounts"),
        (1, "dev ", 10, 0, "username"),
        (1, "dev\n", 10, 0, "username"),
        (1, "d" * 150, 10, 0, "username"),
        (1, "dev", 3, 0, "length"),
        (1, "dev", 129, 0, "length"),
    ],
)
async def test_what_cannot_be_created_is_refused_by_name(
    accounts: Accounts, count: int, prefix: str, length: int, start: int, field: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await accounts.create_users(count, prefix=prefix, length=length, samples_index_start=start)
    assert list(caught.value.fields) == [field]
    assert await accounts.store.users.names_taken([f"{prefix}1"]) == []


# --- signing in ---


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("dev1", "wrong"),
        ("dev1", ""),
        ("DEV1", "right"),
        ("nobody", "right"),
        ("", "right"),
        ("dev\0", "right"),
        ("dev1", "right" * 300),
        ("off", "right"),
        ("imported", "right"),
    ],
)
async def test_who_does_not_sign_in_is_told_no_more_than_that(
    accounts: Accounts, username: str, password: str
) -> None:
    right = argon2.PasswordHasher(2, 19456, 1).hash("right")
    await accounts.store.users.insert(
        [
            user(1, username="dev1", password_hash=right),
            user(2, username="off", password_hash=right, is_active=False),
            user(3, username="imported", password_hash="pbkdf2_sha256$unknown"),
        ]
    )
    with pytest.raises(NotAuthenticated) as caught:
        await accounts.authenticate(username, password)
    assert caught.value.detail == "No active account found with the given credentials"
    assert caught.value.error_code == "no_active_account"


async def test_an_unknown_name_takes_as_long_as_a_wrong_password(accounts: Accounts) -> None:
    await accounts.create_users(1, prefix="dev")

    async def median(username: str) -> float:
        times = []
        for _ in range(7):
            begun = time.perf_counter()
            with pytest.raises(NotAuthenticated):
                await accounts.authenticate(username, "wrong")
            times.append(time.perf_counter() - begun)
        return statistics.median(times)

    known, unknown = await median("dev1"), await median("nobody")
    assert 0.4 < unknown / known < 2.5


async def test_hashing_does_not_stop_the_event_loop(accounts: Accounts) -> None:
    await accounts.create_users(1, prefix="dev")
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    before = turns
    with pytest.raises(NotAuthenticated):
        await accounts.authenticate("dev1", "wrong")
    turning.cancel()
    assert turns - before > 20


@pytest.mark.parametrize("old", [(1, 8192, 1), (3, 65536, 4)])
async def test_a_hash_of_other_parameters_is_renewed_by_signing_in(
    accounts: Accounts, old: tuple[int, int, int]
) -> None:
    older = argon2.PasswordHasher(*old).hash("right")
    await accounts.store.users.insert([user(1, password_hash=older)])
    with pytest.raises(NotAuthenticated):
        await accounts.authenticate("user1", "wrong")
    assert (await accounts.store.users.get(1)) == user(1, password_hash=older)
    await accounts.authenticate("user1", "right")
    renewed = await accounts.store.users.get(1)
    assert renewed is not None
    parameters = argon2.extract_parameters(renewed.password_hash)
    assert (parameters.time_cost, parameters.memory_cost, parameters.parallelism) == (2, 19456, 1)
    await accounts.authenticate("user1", "right")
    assert (await accounts.store.users.get(1)) == renewed


# --- staff ---


async def test_staff_are_made_once(accounts: Accounts) -> None:
    assert await accounts.ensure_staff("boss", "one")
    before = await accounts.store.users.by_username("boss")
    assert not await accounts.ensure_staff("boss", "one")
    assert await accounts.store.users.by_username("boss") == before
    assert (await accounts.authenticate("boss", "one")).is_staff


async def test_a_new_password_replaces_the_old_one_and_ends_its_sessions(
    accounts: Accounts, clock: TestClock
) -> None:
    await accounts.ensure_staff("boss", "one")
    assert not await accounts.ensure_staff("boss", "two")
    with pytest.raises(NotAuthenticated):
        await accounts.authenticate("boss", "one")
    changed = await accounts.authenticate("boss", "two")
    # Another server's clock may be two minutes ahead.
    assert 60 < changed.tokens_valid_from - clock().timestamp() <= 121


@pytest.mark.parametrize("lost", [{"is_staff": False}, {"is_active": False}])
async def test_staff_that_lost_their_rights_get_them_back(
    accounts: Accounts, lost: dict[str, bool]
) -> None:
    await accounts.ensure_staff("boss", "one")
    before = await accounts.store.users.by_username("boss")
    assert before is not None
    await accounts.store.users.change_access(before.id, lost, 0)
    assert not await accounts.ensure_staff("boss", "one")
    after = await accounts.authenticate("boss", "one")
    assert after.is_staff


async def test_replicas_that_start_at_once_make_one_staff_account(accounts: Accounts) -> None:
    made = await asyncio.gather(*(accounts.ensure_staff("boss", "one") for _ in range(4)))
    assert made.count(True) == 1
    await accounts.authenticate("boss", "one")


@pytest.mark.parametrize(
    ("username", "password"), [("", "one"), ("a b", "one"), ("boss", ""), ("boss", "x" * 1025)]
)
async def test_staff_without_a_usable_name_or_password_are_refused(
    accounts: Accounts, username: str, password: str
) -> None:
    with pytest.raises(Invalid):
        await accounts.ensure_staff(username, password)
    assert await accounts.store.users.by_username(username) is None


# --- members ---


async def test_assigning_says_how_many_and_to_what(accounts: Accounts) -> None:
    await accounts.store.projects.insert(project())
    await accounts.create_users(2, prefix="dev")
    count, assigned = await accounts.assign(1, "dev")
    assert (count, assigned.title) == (2, "Project 1")
    assert await accounts.store.users.registered(1) == 2


@pytest.mark.parametrize(
    ("project_id", "prefix", "said"), [(2, "dev", "no project 2"), (1, "nobody", "nobody")]
)
async def test_assigning_nobody_or_to_nothing_changes_nothing(
    accounts: Accounts, project_id: int, prefix: str, said: str
) -> None:
    await accounts.store.projects.insert(project())
    await accounts.create_users(1, prefix="dev")
    await accounts.assign(1, "dev")
    with pytest.raises(NotFound, match=said):
        await accounts.assign(project_id, prefix)
    assert await accounts.store.users.registered(1) == 1
    assert await accounts.store.users.registered(2) == 0


def test_the_hash_of_nobody_costs_what_everybody_s_does() -> None:
    assert argon2.extract_parameters(module._NOBODYS_HASH).memory_cost == 19456
