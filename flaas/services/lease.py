"""Work that only one process at a time may do."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from flaas.domain.errors import Unavailable
from flaas.domain.ports import Leases

log = logging.getLogger(__name__)

LEASE_SECONDS: Final = 30.0
"""How long a holder that died keeps others out."""

_RENEW_EVERY: Final = LEASE_SECONDS / 3


class LeaseLost(Exception):
    """Somebody else may be at the same work: stop before the next write."""


class Lease:
    """A lease that is held. Whoever works under it asks `check` before each write."""

    def __init__(self, leases: Leases, name: str) -> None:
        self._leases = leases
        self._name = name
        self._holder = secrets.token_hex(8)
        self._good_until = 0.0

    async def acquire(self) -> bool:
        # Counted from before the call: the database's thirty seconds end no earlier than ours.
        asked = time.monotonic()
        if not await self._leases.acquire(self._name, self._holder, LEASE_SECONDS):
            return False
        self._good_until = asked + LEASE_SECONDS
        return True

    def check(self) -> None:
        """Raises `LeaseLost` when the lease may have run out."""
        if time.monotonic() >= self._good_until:
            raise LeaseLost(self._name)

    async def release(self) -> None:
        self._good_until = 0.0
        await self._leases.release(self._name, self._holder)

    async def keep(self) -> None:
        """Renew until cancelled, or until somebody else has it."""
        while True:
            await asyncio.sleep(_RENEW_EVERY)
            with contextlib.suppress(Unavailable):
                if not await self.acquire():
                    log.warning("the lease %s was lost", self._name)
                    self._good_until = 0.0
                    return


@asynccontextmanager
async def held(leases: Leases, name: str) -> AsyncIterator[Lease | None]:
    """The lease of that name, renewed while the block runs; None when another holds it."""
    lease = Lease(leases, name)
    if not await lease.acquire():
        yield None
        return
    keeper = asyncio.create_task(lease.keep())
    try:
        yield lease
    finally:
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper
        # A database that is away takes no release; the lease then runs out by itself.
        with contextlib.suppress(Unavailable):
            await lease.release()
