"""What was done, by whom: the audit trail."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, field


class Event(Struct, frozen=True, kw_only=True):
    id: str
    """A step that is repeated after a crash records the same id: in place of the first, not beside
    it."""
    at: datetime
    who: str
    """A username, the scheduler, the server itself, or `shell:` with a login name."""
    what: str
    project_id: int | None = None
    round: int | None = None
    """The round's number."""
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    """What changed: field → value. Never a secret."""


def changes(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values that differ, before and after; what is in `old` alone did not change."""
    names = [name for name, value in new.items() if name not in old or old[name] != value]
    before = {name: old[name] for name in names if name in old}
    return before, {name: new[name] for name in names}
