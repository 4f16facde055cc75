"""Pushes for a deployment without a push service."""

import logging

from flaas.domain.outbox import PushBatch

log = logging.getLogger(__name__)


class LogPush:
    """Logs what it would send."""

    async def send(self, batch: PushBatch) -> None:
        # A warning, since it is the only trace of a push that no phone gets.
        log.warning(
            "no Pushwoosh keys are set; would send to %d devices: %s",
            len(batch.usernames),
            batch.data,
        )
