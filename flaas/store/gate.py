"""Whether the database is there.

A call that found it away shuts the gate: further calls are refused at once instead of waiting
each for itself, and one ping after the other finds out when it is back.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from pymongo.errors import (
    ConnectionFailure,
    CursorNotFound,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
)

from flaas.domain.errors import Unavailable

log = logging.getLogger(__name__)

_PING_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.5

# What a server says that is starting, stopping, or handing over to another one.
_PASSING: Final = frozenset(
    {6, 7, 64, 89, 91, 100, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436}
)


def is_away(error: BaseException) -> bool:
    """Whether it says that the database is away, and nothing of what was asked of it."""
    if isinstance(error, TimeoutError | ConnectionFailure | ExecutionTimeout | CursorNotFound):
        # A cursor is forgotten by a server that was started anew.
        return True
    return isinstance(error, OperationFailure) and error.code in _PASSING


class Gate:
    """Open, until a call finds the database away."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._watching: asyncio.Task[None] | None = None
        self._waiting: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def limited(self, seconds: float) -> AsyncIterator[None]:
        """Raise TimeoutError where the block takes longer, and once the database is found away."""
        async with asyncio.timeout(seconds) as limit:
            self._waiting.add(limit)
            try:
                yield
            finally:
                self._waiting.discard(limit)

    def check(self) -> None:
        """Raises `Unavailable` while the database is away."""
        if self._watching is not None:
            raise Unavailable("The database is away; try again in a moment.")

    def shut(self) -> None:
        """A call found it away. It may be that call alone: the first ping tells."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        try:
            if await self._answers():
                return
            log.warning("the database is away: calls are refused until it answers")
            self._give_up_waiting()
            back = False
            while not back:
                await asyncio.sleep(_PAUSE_SECONDS)
                back = await self._answers()
            log.warning("the database is back")
        finally:
            self._watching = None

    def _give_up_waiting(self) -> None:
        now = asyncio.get_running_loop().time()
        for limit in self._waiting:
            if not limit.expired():
                limit.reschedule(now)

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await self._database.command("ping")
        except (TimeoutError, PyMongoError):
            return False
        return True
