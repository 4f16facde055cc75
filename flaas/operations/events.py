"""What operators and the scheduler did."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from flaas.operations.common import stamp
from flaas.operations.operation import Arguments, Desk, Kind, Lines, Operation, Parameter


class Row(Struct, frozen=True):
    at: datetime
    who: str
    what: str
    project: int | None
    round: int | None
    before: dict[str, Any]
    after: dict[str, Any]


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    since: datetime | None = arguments["since"]
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=desk.time_zone)
    async for event in desk.store.events.find(arguments["project"], since):
        yield Row(
            event.at,
            event.who,
            event.what,
            event.project_id,
            event.round,
            event.before,
            event.after,
        )


async def text(desk: Desk, arguments: Arguments) -> Lines:
    """A line an event: when, who, what, and what changed."""
    async for row in rows(desk, arguments):
        project = "" if row.project is None else f"Project {row.project}: "
        yield f"{stamp(desk, row.at)} {row.who} - {project}{row.what}{_changed(row)}"


def _changed(row: Row) -> str:
    changed = [
        f"{name}: {_value(row.before[name])} -> {_value(row.after[name])}"
        if name in row.before and name in row.after
        else f"{name}: {_value(row.after.get(name, row.before.get(name)))}"
        for name in dict.fromkeys([*row.before, *row.after])
    ]
    return f" ({', '.join(changed)})" if changed else ""


def _value(value: Any) -> str:
    """As JSON has it: what somebody put into a title cannot pass for another line."""
    return msgspec.json.encode(value).decode()


OPERATION: Final = Operation(
    name="events",
    short="Show what was done, by whom.",
    help="Show what operators and the scheduler did, the oldest first.",
    row=Row,
    rows=rows,
    parameters=(
        Parameter("project", "Only what concerns this project", Kind.NUMBER, None),
        Parameter("since", "Only from this time on, e.g. 2021-11-05T14:30", Kind.MOMENT, None),
    ),
    text=text,
)
