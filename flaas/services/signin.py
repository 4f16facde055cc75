"""Signing in with a password: the one way to try one, and how often that may be done."""

import asyncio
import math
from dataclasses import dataclass

from flaas.domain.device import User
from flaas.domain.errors import NotAuthenticated, TooManyAttempts
from flaas.domain.ports import Store
from flaas.domain.signin import ADDRESS, NAME, PAIR, Bound, keys
from flaas.services.accounts import Accounts


@dataclass(frozen=True, slots=True)
class SignIn:
    store: Store
    accounts: Accounts

    async def authenticate(self, username: str, password: str, address: str) -> User:
        """The active user of that name and password, tried from that address.

        Raises `TooManyAttempts`, before the password is looked at, and `NotAuthenticated`.
        """
        counted, tries = keys(username, address), self.store.sign_ins
        bounds: dict[str, Bound] = {counted.pair: PAIR}
        if not await tries.is_known(counted.pair):
            bounds |= {counted.name: NAME, counted.address: ADDRESS}
        await self._admit(bounds)
        try:
            user = await self.accounts.authenticate(username, password)
        except NotAuthenticated:
            await asyncio.gather(*(tries.failed(key, bound) for key, bound in bounds.items()))
            raise
        await asyncio.gather(
            tries.know(counted.pair),
            *(tries.withdraw(key, bound) for key, bound in bounds.items()),
        )
        return user

    async def _admit(self, bounds: dict[str, Bound]) -> None:
        tries = self.store.sign_ins
        # One after the other: whoever waits at the first is not in the way of others at the next.
        for number, (key, bound) in enumerate(bounds.items()):
            if wait := await tries.admit(key, bound):
                for passed in list(bounds)[:number]:
                    await tries.withdraw(passed, bounds[passed])
                raise TooManyAttempts(math.ceil(wait))
