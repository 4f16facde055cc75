"""Work that one process at a time may do: held, renewed, lost."""

import asyncio
from typing import Any

import pytest

from flaas.app import App
from flaas.domain.errors import Unavailable
from flaas.domain.ports import Leases
from flaas.services import lease as module
from flaas.services.lease import LeaseLost, held


@pytest.fixture
def leases(app: App) -> Leases:
    return app.services.store.leases


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases that last half a second."""
    monkeypatch.setattr(module, "LEASE_SECONDS", 0.5)
    monkeypatch.setattr(module, "_RENEW_EVERY", 0.15)


class Away:
    """Leases whose database goes away once the first was got."""

    def __init__(self, real: Leases) -> None:
        self._real = real
        self.calls = 0

    async def acquire(self, name: str, holder: str, seconds: float) -> bool:
        self.calls += 1
        if self.calls > 1:
            raise Unavailable("away")
        return await self._real.acquire(name, holder, seconds)

    async def release(self, name: str, holder: str) -> None:
        raise Unavailable("away")


async def test_one_holds_it_and_the_other_is_told(leases: Leases) -> None:
    async with held(leases, "a") as one, held(leases, "a") as other, held(leases, "b") as third:
        assert one is not None
        one.check()
        assert other is None
        assert third is not None
    async with held(leases, "a") as again:
        assert again is not None


async def test_of_many_at_once_one_holds_it(leases: Leases) -> None:
    async def try_(_: int) -> bool:
        async with held(leases, "a") as lease:
            await asyncio.sleep(0.3)
            return lease is not None

    assert (await asyncio.gather(*map(try_, range(10)))).count(True) == 1


async def test_it_is_released_when_the_work_fails(leases: Leases) -> None:
    with pytest.raises(ZeroDivisionError):
        async with held(leases, "a"):
            raise ZeroDivisionError
    async with held(leases, "a") as again:
        assert again is not None


async def test_it_is_released_when_the_work_is_cancelled(leases: Leases) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with held(leases, "a"):
            begun.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with held(leases, "a") as again:
        assert again is not None


async def test_it_is_renewed_while_the_work_lasts(leases: Leases, quick: None) -> None:
    async with held(leases, "a") as lease:
        assert lease is not None
        for _ in range(4):
            await asyncio.sleep(0.3)
            lease.check()
            async with held(leases, "a") as other:
                assert other is None


async def test_who_lost_it_is_told_before_the_next_write(leases: Leases, quick: None) -> None:
    async with held(leases, "a") as lease:
        assert lease is not None
        # As if this process had slept so long that another took over.
        await leases.release("a", lease._holder)
        assert await leases.acquire("a", "another", 30)
        await asyncio.sleep(0.3)
        with pytest.raises(LeaseLost):
            lease.check()
    assert not await leases.acquire("a", "third", 30)


async def test_a_database_that_is_away_ends_the_lease_in_its_time(
    leases: Leases, quick: None
) -> None:
    away = Away(leases)
    async with held(away, "a") as lease:
        assert lease is not None
        await asyncio.sleep(0.2)
        lease.check()
        await asyncio.sleep(0.4)
        with pytest.raises(LeaseLost):
            lease.check()
    assert away.calls > 2
    assert await leases.acquire("a", "another", 30)


async def test_a_lease_that_was_never_got_is_no_permission(leases: Leases) -> None:
    lease: Any = module.Lease(leases, "a")
    with pytest.raises(LeaseLost):
        lease.check()
    assert await lease.acquire()
    lease.check()
    await lease.release()
    with pytest.raises(LeaseLost):
        lease.check()
