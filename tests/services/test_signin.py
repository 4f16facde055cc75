"""What guessing at passwords costs, and whom."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from flaas.app import App, open_app
from flaas.domain.device import User
from flaas.domain.errors import NotAuthenticated, TooManyAttempts
from flaas.domain.signin import ADDRESS, NAME, PAIR, keys
from flaas.services.runner import Runner
from flaas.services.signin import SignIn
from flaas.settings import Settings

HOME, CARRIER, ELSEWHERE = "192.0.2.1", "198.51.100.1", "203.0.113.1"


class CountingRunner(Runner):
    """Where passwords are hashed, with a count of how many were."""

    hashed = 0

    async def run(self, *args: Any, **kwargs: Any) -> Any:
        self.hashed += 1
        return await super().run(*args, **kwargs)


@dataclass
class Gate:
    sign_in: SignIn
    runner: CountingRunner
    database: Any
    passwords: dict[str, str] = field(default_factory=dict)

    async def right(self, name: str, address: str) -> User:
        return await self.sign_in.authenticate(name, self.passwords[name], address)

    async def wrong(self, name: str, address: str) -> None:
        with pytest.raises(NotAuthenticated):
            await self.sign_in.authenticate(name, "wrong", address)

    async def told_to_wait(self, name: str, address: str, password: str = "wrong") -> int:
        before = self.runner.hashed
        with pytest.raises(TooManyAttempts) as caught:
            await self.sign_in.authenticate(name, password, address)
        assert self.runner.hashed == before
        return caught.value.seconds

    def failed(self, key: str, failures: int) -> None:
        """So many have failed, and there is no wait just now."""
        now = datetime.now(UTC)
        counted = {"failures": failures, "until": None, "expires": now + timedelta(minutes=30)}
        self.database["sign_ins"].update_one({"_id": key}, {"$set": counted}, upsert=True)

    async def fail_for_long(self, name: str, address: str) -> None:
        """So often that the wait outlasts whatever a slow machine does meanwhile."""
        self.failed(keys(name, address).pair, PAIR.free + 6)
        await self.wrong(name, address)

    def wait_is_over(self, key: str) -> None:
        self.database["sign_ins"].update_one({"_id": key}, {"$set": {"until": None}})


@pytest.fixture
async def gate(app: App) -> AsyncIterator[Gate]:
    runner = CountingRunner()
    accounts = replace(app.services.accounts, runner=runner)
    created = await accounts.create_users(3, prefix="phone")
    passwords = {one.username: one.password for one in created}
    assert app.settings.mongodb_uri
    with MongoClient(app.settings.mongodb_uri.reveal()) as client:
        database = client.get_default_database()
        yield Gate(SignIn(app.services.store, accounts), runner, database, passwords)
    runner.close()


@pytest.mark.parametrize("name", ["phone1", "nobody"])
async def test_waits_grow_for_known_and_unknown_names_alike(gate: Gate, name: str) -> None:
    pair = keys(name, HOME).pair
    for _ in range(PAIR.free):
        await gate.wrong(name, HOME)
    # The first waits are over before a slow machine can see them.
    for expected in (1, 2, 4, 8, 16, 32, 60, 60):
        gate.wait_is_over(pair)
        await gate.wrong(name, HOME)
        if expected >= 8:
            assert expected / 2 < await gate.told_to_wait(name, HOME) <= expected


async def test_the_right_password_waits_as_the_wrong_ones_do(gate: Gate) -> None:
    await gate.fail_for_long("phone1", HOME)
    await gate.told_to_wait("phone1", HOME, gate.passwords["phone1"])
    gate.wait_is_over(keys("phone1", HOME).pair)
    assert (await gate.right("phone1", HOME)).username == "phone1"


async def test_right_passwords_are_never_counted(gate: Gate) -> None:
    for _ in range(PAIR.free + 3):
        await gate.right("phone1", HOME)
    for _ in range(PAIR.free + 1):
        await gate.wrong("phone1", HOME)


async def test_guessing_at_a_phone_does_not_lock_it_out_elsewhere(gate: Gate) -> None:
    await gate.fail_for_long("phone1", HOME)
    await gate.told_to_wait("phone1", HOME)
    await gate.right("phone1", ELSEWHERE)
    await gate.right("phone2", HOME)


async def test_guesses_from_everywhere_at_one_name_wait(gate: Gate) -> None:
    gate.failed(keys("phone1", "").name, NAME.free - 1)
    await gate.wrong("phone1", "192.0.2.49")
    gate.failed(keys("phone1", "").name, NAME.free + 6)
    await gate.wrong("phone1", "192.0.2.50")
    assert 30 < await gate.told_to_wait("phone1", "192.0.2.51") <= 60
    await gate.right("phone2", "192.0.2.51")


async def test_strangers_cannot_lock_out_who_signed_in_from_there_before(gate: Gate) -> None:
    await gate.right("phone1", HOME)
    gate.failed(keys("phone1", "").name, NAME.free + 100)
    gate.failed(keys("", HOME).address, ADDRESS.free + 100)
    await gate.wrong("phone1", ELSEWHERE)
    assert 30 < await gate.told_to_wait("phone1", CARRIER) <= 60
    await gate.right("phone1", HOME)
    # It may not guess more often than others either.
    await gate.fail_for_long("phone1", HOME)
    await gate.told_to_wait("phone1", HOME)


async def test_one_guess_at_each_of_many_names_waits(gate: Gate) -> None:
    carrier = keys("", CARRIER).address
    gate.failed(carrier, ADDRESS.free - 1)
    for name in ("one", "another"):
        await gate.wrong(name, CARRIER)
    # The longest wait is short: whoever is new there comes through in between.
    gate.failed(carrier, ADDRESS.free * 100)
    await gate.wrong("someone", CARRIER)
    assert await gate.told_to_wait("phone1", CARRIER) <= 5
    gate.wait_is_over(carrier)
    await gate.right("phone1", CARRIER)
    await gate.right("phone2", CARRIER)


async def test_phones_that_share_an_address_sign_in_at_once(gate: Gate) -> None:
    gate.failed(keys("", CARRIER).address, ADDRESS.free - 1)
    names = list(gate.passwords) * 4
    await asyncio.gather(*(gate.right(name, CARRIER) for name in names))


async def test_guesses_at_once_are_not_all_tried(gate: Gate) -> None:
    async def guess(number: int) -> type[Exception]:
        try:
            await gate.sign_in.authenticate("phone1", str(number), HOME)
        except (NotAuthenticated, TooManyAttempts) as error:
            return type(error)
        raise AssertionError

    before = gate.runner.hashed
    answers = await asyncio.gather(*(guess(number) for number in range(40)))
    assert answers.count(NotAuthenticated) == gate.runner.hashed - before
    # One more for each wait that ends while a slow machine is at it.
    assert PAIR.free + 1 <= answers.count(NotAuthenticated) <= PAIR.free + 4


async def test_servers_count_together(gate: Gate, make_settings: Callable[..., Settings]) -> None:
    async with open_app(make_settings()) as other:
        await gate.fail_for_long("phone1", HOME)
        with pytest.raises(TooManyAttempts):
            await other.services.sign_in.authenticate("phone1", "wrong", HOME)
        with pytest.raises(NotAuthenticated):
            await other.services.sign_in.authenticate("phone2", "wrong", HOME)
        (counted,) = gate.database["sign_ins"].find({"_id": keys("phone2", HOME).pair})
        assert counted["failures"] == 1


async def test_neither_names_nor_addresses_are_kept(gate: Gate) -> None:
    await gate.wrong("hunter2", HOME)
    await gate.right("phone1", HOME)
    kept = str(list(gate.database["sign_ins"].find()))
    assert not any(text in kept for text in ("hunter2", "phone1", HOME))
