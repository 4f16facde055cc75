"""What handlers share."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from flaas.domain.ports import Clock
from flaas.operations.operation import Desk
from flaas.services.all import Services
from flaas.web.turns import Turns


@dataclass(slots=True)
class Context:
    """What handlers share."""

    services: Services
    upload_seconds: float
    """How long a model or samples file may take to arrive."""
    uploads: Turns
    downloads: Turns
    clock: Clock
    time_zone: ZoneInfo
    """Of the times in reports."""
    proxies: int
    """How many of them stand before the server."""
    in_flight: int = 0
    """Requests that are being handled."""
    draining: bool = False
    """New requests are told to come back later."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the server drains and no request is in flight."""

    cleaning: set[asyncio.Task[None]] = field(default_factory=set)
    """What broken requests left to be closed."""

    def desk(self) -> Desk:
        """For an operation that runs now."""
        return Desk(services=self.services, now=self.clock(), time_zone=self.time_zone)

    def clean_up(self, work: Coroutine[Any, Any, None]) -> None:
        """Run this from where nothing can be awaited; a stopping server waits for it."""
        task = asyncio.create_task(work)
        self.cleaning.add(task)
        task.add_done_callback(self.cleaning.discard)

    def enter(self) -> None:
        self.in_flight += 1

    def leave(self) -> None:
        self.in_flight -= 1
        if self.draining and not self.in_flight:
            self.idle.set()

    def drain(self) -> None:
        self.draining = True
        if not self.in_flight:
            self.idle.set()
