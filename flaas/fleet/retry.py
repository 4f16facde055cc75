"""A step of a phone, and how it is tried again."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

Outcome = TypeVar("Outcome")


class StepFailed(Exception):
    """What the app answers by doing the whole step again, whatever went wrong."""

    retry_after: float = 0.0
    """Seconds to wait at least before that."""


@dataclass(frozen=True)
class Backoff:
    """How often a step is tried, and how long to wait in between."""

    tries: int = 3
    base: float = 1.0
    """Seconds after the first failure; doubles after each."""
    jitter: float = 0.5
    """The wait is longer by up to this share of it, so that phones spread out."""

    def delay(self, attempt: int, retry_after: float, random: Random) -> float:
        """Seconds to wait after failed `attempt` (from 1): never less than the server asked."""
        own = self.base * 2.0 ** (attempt - 1)
        return max(own, retry_after) * (1 + self.jitter * random.random())

    async def run(self, step: Callable[[int], Awaitable[Outcome]], random: Random) -> Outcome:
        """Call `step(attempt)`, attempts from 1. The last try's `StepFailed` gets through."""
        for attempt in range(1, self.tries):
            try:
                return await step(attempt)
            except StepFailed as failure:
                await asyncio.sleep(self.delay(attempt, failure.retry_after, random))
        return await step(self.tries)
