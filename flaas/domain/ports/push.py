"""Pushes: what wakes phones."""

from typing import Protocol

from flaas.domain.outbox import PushBatch


class PushFailed(Exception):
    """The push service did not take a batch. The text is for the log."""


class Push(Protocol):
    async def send(self, batch: PushBatch) -> None:
        """Hand one batch over. Raises `PushFailed`; the batch may then be sent again."""
