"""What handlers share."""

import asyncio
from dataclasses import dataclass, field

from flaas.services.all import Services


@dataclass(slots=True)
class Context:
    """What handlers share."""

    services: Services
    upload_seconds: float
    """How long a model or samples file may take to arrive."""
    in_flight: int = 0
    """Requests that are being handled."""
    draining: bool = False
    """New requests are told to come back later."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the server drains and no request is in flight."""

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
