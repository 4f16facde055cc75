"""The time, which all replicas have to agree on."""

import logging
import time
from datetime import datetime, timedelta
from typing import Final

from flaas.domain.ports import Clock, Store

log = logging.getLogger(__name__)

_SLOWEST_SECONDS: Final = 1.0
"""An answer that took longer does not say what time it is."""

_WORTH_SAYING: Final = timedelta(seconds=5)


class SharedClock:
    """This machine's clock, set right by the database's.

    How long a round lasts, and when a report is too old, is then the same whoever looks.
    """

    def __init__(self, store: Store, machine: Clock) -> None:
        self._store = store
        self._machine = machine
        self._behind = timedelta()

    def __call__(self) -> datetime:
        return self._machine() + self._behind

    async def set_right(self) -> None:
        """Ask the database what time it is. Raises `Unavailable`."""
        began, before = time.monotonic(), self._machine()
        there = await self._store.time()
        took = time.monotonic() - began
        if took > _SLOWEST_SECONDS:
            return
        behind = there - before - timedelta(seconds=took / 2)
        # In whole milliseconds, as all times are.
        behind = timedelta(milliseconds=round(behind / timedelta(milliseconds=1)))
        if abs(behind - self._behind) > _WORTH_SAYING:
            log.warning(
                "this machine's clock is %+.0f s off from the database's, whose time is used",
                -behind.total_seconds(),
            )
        self._behind = behind
