"""What bounds the memory and the time that transfers of files take."""

import asyncio
from collections.abc import Callable
from typing import Final

from flaas.domain.errors import Unavailable

_WAIT_SECONDS: Final = 20.0
"""A wave of phones that a push woke is over sooner, and a phone waits two minutes."""

_PORTION_BYTES: Final = 64 << 10
_PORTION_SECONDS: Final = 30.0
"""The slowest pace that is taken: some 2 KiB a second, the pace of the slowest phones."""


class Turns:
    """So many transfers at a time; others wait a while for their turn.

    Whoever waits costs a connection: its body is not read yet, so its phone waits in `send`.
    """

    def __init__(self, at_a_time: int) -> None:
        self._free = asyncio.Semaphore(at_a_time)

    async def take(self) -> None:
        """Raises `Unavailable` where no turn came. Whoever got one gives it back."""
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable(
                "Too many files are being transferred; try again in a moment.", code="busy"
            ) from None

    def give_back(self) -> None:
        self._free.release()


class Pace:
    """Calls `on_slow` where the bytes come too slowly. Only the time between `wait` and `stop`
    counts: a client is not slow while it waits for us."""

    def __init__(self, on_slow: Callable[[], None]) -> None:
        self._on_slow = on_slow
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._seconds = _PORTION_SECONDS
        self._bytes = 0

    def wait(self) -> None:
        """The next bytes are the client's to send."""
        self._timer = self._loop.call_later(self._seconds, self._on_slow)

    def stop(self) -> None:
        if self._timer is not None:
            self._seconds = max(self._timer.when() - self._loop.time(), 0)
            self._timer.cancel()
            self._timer = None

    def came(self, size: int) -> None:
        """So many bytes came, while stopped."""
        self._bytes += size
        if self._bytes >= _PORTION_BYTES:
            self._bytes, self._seconds = 0, _PORTION_SECONDS
