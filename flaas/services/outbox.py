"""Delivers train requests: at least once, until their time has passed."""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final

from flaas.domain.errors import Unavailable
from flaas.domain.outbox import PushBatch, retry_delay
from flaas.domain.ports import Clock, Push, PushFailed, Store

log = logging.getLogger(__name__)

_PACE_SECONDS: Final = 0.1
"""Between two requests: the push service takes 600 a minute."""

_LONGEST_SLEEP_SECONDS: Final = 60.0
"""Another process may have queued a batch, so look now and then without being woken."""


@dataclass(slots=True)
class OutboxSender:
    store: Store
    push: Push
    clock: Clock
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """There may be something to send."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._woken.clear()
            seconds = _LONGEST_SLEEP_SECONDS
            try:
                await self.deliver_due()
                seconds = await self._seconds_to_next()
            except Unavailable as error:
                log.warning("pushes wait: %s", error)
            except Exception:
                log.exception("pushes wait for the next try")
            try:
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def deliver_due(self) -> int:
        """Send what is due now; how many batches were settled, one way or the other."""
        settled = 0
        while batch := await self.store.outbox.claim(self.clock()):
            settled += await self._deliver(batch)
        return settled

    async def _deliver(self, batch: PushBatch) -> bool:
        now = self.clock()
        if now >= batch.valid_until:
            log.error("push %s to %d devices dropped: too late", batch.id, len(batch.usernames))
            await self.store.outbox.dropped(batch.id, "its task's time had passed")
            return True
        try:
            await self.push.send(batch)
        except PushFailed as error:
            later = now + retry_delay(batch.attempts)
            log.warning("push %s failed, next try at %s: %s", batch.id, later, error)
            await self.store.outbox.retry_at(batch.id, later, str(error))
            return False
        log.info("push %s sent to %d devices", batch.id, len(batch.usernames))
        await self.store.outbox.sent(batch.id)
        await asyncio.sleep(_PACE_SECONDS)
        return True

    async def _seconds_to_next(self) -> float:
        due = await self.store.outbox.next_due()
        if due is None:
            return _LONGEST_SLEEP_SECONDS
        seconds = (due - self.clock()).total_seconds()
        return min(max(seconds, 0.05), _LONGEST_SLEEP_SECONDS)
