"""Who acts, and the record of what was done.

The actor is set once where a request, a command or the scheduler begins, and read where
something is recorded; so no service passes a name on that it has no other use for.
"""

import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final

import msgspec

from flaas.domain.event import Event
from flaas.domain.ports import Store

_ACTOR: Final[ContextVar[str]] = ContextVar("actor", default="server")


def act_as(who: str) -> None:
    """From here on, in this task and in those that it starts."""
    _ACTOR.set(who)


async def record(
    store: Store,
    at: datetime,
    what: str,
    *,
    who: str | None = None,
    project_id: int | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Something was done by `who`, or by the one who acts. Values are kept as JSON has them."""
    event = Event(
        id=secrets.token_hex(12),
        at=at,
        who=who or _ACTOR.get(),
        what=what,
        project_id=project_id,
        before=_plain(before),
        after=_plain(after),
    )
    await store.events.record(event)


def _plain(values: Mapping[str, Any] | None) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(dict(values or {}))
    return plain
