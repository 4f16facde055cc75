"""Pings of all devices in a range of days."""

from collections.abc import AsyncIterator
from datetime import date, datetime, time, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from flaas.operations.common import FILE_NAME, json_lines, kept
from flaas.operations.operation import Arguments, Desk, Kind, Lines, Operation, Parameter

_FIRST: Final = date(1970, 1, 1)
_LAST: Final = date(9000, 1, 1)
"""All reports lie between. At the calendar's very ends there is no next day, and no other zone."""


class Row(Struct, frozen=True):
    timestamp: datetime
    username: str


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    """The newest first. Days are those of the configured zone, the last one included."""
    start = datetime.combine(max(arguments["start"], _FIRST), time(), desk.time_zone)
    last = min(arguments["end"], _LAST)
    end = datetime.combine(last + timedelta(days=1), time(), desk.time_zone)
    async for at, username in desk.store.statuses.pings(start, end):
        yield Row(at, username)


async def text(desk: Desk, arguments: Arguments) -> Lines:
    document = json_lines(msgspec.json.encode(row) async for row in rows(desk, arguments))
    async for line in kept(desk, "responses", arguments, document):
        yield line


OPERATION: Final = Operation(
    name="extract-device-status-responses",
    short="Extract the pings of a range of days.",
    help="Extract the device status responses of a range of days, to a file and here.",
    row=Row,
    rows=rows,
    parameters=(
        Parameter("start", "First day, YYYY-MM-DD", Kind.DATE, positional=True),
        Parameter("end", "Last day, YYYY-MM-DD", Kind.DATE, positional=True),
        FILE_NAME,
    ),
    text=text,
    prints_json=True,
)
