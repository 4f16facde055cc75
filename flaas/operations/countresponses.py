"""Number of status responses per user."""

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from flaas.operations.common import (
    STATUS_FILTERS,
    USERNAMES,
    named_devices,
    passes,
    with_reports,
)
from flaas.operations.operation import Arguments, Desk, Operation


class Row(Struct, frozen=True):
    username: str
    responses: int


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    users = named_devices(desk, arguments)
    async for user, reports in with_reports(desk, arguments, users):
        yield Row(user.username, sum(passes(report, arguments) for report in reports))


OPERATION: Final = Operation(
    name="countresponses",
    short="Count device status responses per user.",
    help="Count device status responses per user.",
    row=Row,
    rows=rows,
    parameters=(USERNAMES, *STATUS_FILTERS),
    line=lambda row: f"{row.username}, {row.responses}",
)
