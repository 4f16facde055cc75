"""When rounds move: every ten minutes, and at once when a project has something to do.

Tornado's `PeriodicCallback` never overlaps itself, so one tick that hangs would be the last: each
has a time-out, and so has the work on each project. It is started once and stopped once, never
restarted.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, Final

from tornado.ioloop import PeriodicCallback

from flaas.domain.errors import NoRoom, NotFound, Unavailable
from flaas.services.lease import LeaseLost
from flaas.services.outbox import OutboxSender
from flaas.services.rounds import Rounds

log = logging.getLogger(__name__)

_BUSY_PAUSE_SECONDS: Final = 1.0

_AT_WORK: Final = 4
"""Projects that are looked at, or aggregated, at a time."""


class Scheduler:
    def __init__(
        self,
        rounds: Rounds,
        outbox: OutboxSender,
        every: timedelta,
        timeout: timedelta,
        before_tick: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._before_tick = before_tick
        self._rounds = rounds
        self._outbox = outbox
        self._timeout = timeout.total_seconds()
        self._timer = PeriodicCallback(self._on_timer, every)
        self._nudged: dict[int, bool] = {}
        self._sender: asyncio.Task[None] | None = None
        self._working: set[asyncio.Task[None]] = set()
        self._at_work = asyncio.Semaphore(_AT_WORK)
        self._closed = False

    def start(self) -> None:
        """Tick now, and then every period; deliver pushes all the while."""
        self._sender = asyncio.create_task(self._outbox.run())
        self._spawn(self._tick())
        self._timer.start()

    async def close(self, seconds: float) -> None:
        """No more ticks. One that runs has that long to finish, then it is cancelled: whatever
        it leaves half done, the next tick finishes."""
        self._closed = True
        self._timer.stop()
        if self._working:
            await asyncio.wait(self._working, timeout=seconds)
        tasks = [*self._working, *([self._sender] if self._sender else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def nudge(self, project_id: int) -> None:
        """Look at this project now. Nudges that come while it is looked at make one more look."""
        if self._closed:
            return
        running = project_id in self._nudged
        self._nudged[project_id] = True
        if not running:
            self._spawn(self._follow(project_id))

    async def _on_timer(self) -> None:
        await self._spawn(self._tick())

    async def _tick(self) -> None:
        """Look at every project that is in progress, each on its own: one that hangs or takes
        long holds up no other."""
        try:
            async with asyncio.timeout(self._timeout):
                if self._before_tick is not None:
                    await self._before_tick()
                for project_id in await self._rounds.in_progress():
                    self.nudge(project_id)
        except (TimeoutError, Unavailable) as error:
            log.warning("no tick: %s", error)
        except Exception:
            log.exception("the tick failed; the next one tries again")

    async def _follow(self, project_id: int) -> None:
        """Advance a project as long as it is nudged, and past another process that is at it."""
        try:
            async with asyncio.timeout(self._timeout):
                while self._nudged.get(project_id):
                    self._nudged[project_id] = False
                    async with self._at_work:
                        advance = await self._rounds.advance(project_id)
                    self._outbox.wake()
                    if advance.busy:
                        self._nudged[project_id] = True
                        await asyncio.sleep(_BUSY_PAUSE_SECONDS)
                    else:
                        log.info("%s", advance)
        except NotFound:
            log.info("project %d was deleted", project_id)
        except (TimeoutError, Unavailable, NoRoom, LeaseLost) as error:
            log.warning("project %d waits for the next tick: %r", project_id, error)
        except Exception:
            log.exception("project %d waits for the next tick", project_id)
        finally:
            del self._nudged[project_id]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return task
