"""Device status responses per user."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from msgspec import Struct

from flaas.domain.device import StatusLine, User
from flaas.operations.common import (
    STATUS_FILTERS,
    USERNAMES,
    describe,
    named_devices,
    passes,
    stamp,
    with_reports,
)
from flaas.operations.operation import Arguments, Desk, Lines, Operation


class Row(Struct, frozen=True):
    username: str
    response: datetime
    version_code: int
    bucket: int
    power_plugged: bool
    battery: float


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    async for user, reports in _filtered(desk, arguments):
        for report in reports:
            yield Row(
                username=user.username,
                response=report.at,
                version_code=report.version_code,
                bucket=report.bucket,
                power_plugged=report.power_plugged,
                battery=report.level,
            )


async def text(desk: Desk, arguments: Arguments) -> Lines:
    first = True
    async for user, reports in _filtered(desk, arguments):
        if not first:
            yield ""
        first = False
        yield f"Filtered Device Status Responses of user '{user.username}':"
        for report in reports:
            yield f"    {stamp(desk, report.at)} - {describe(report)}"


async def _filtered(
    desk: Desk, arguments: Arguments
) -> AsyncIterator[tuple[User, list[StatusLine]]]:
    """Users without a report that passes are left out."""
    users = named_devices(desk, arguments)
    async for user, reports in with_reports(desk, arguments, users):
        passing = [report for report in reports if passes(report, arguments)]
        if passing:
            yield user, passing


OPERATION: Final = Operation(
    name="responses-per-user",
    short="Report device responses per user.",
    help="Report device status responses per user.",
    row=Row,
    rows=rows,
    parameters=(USERNAMES, *STATUS_FILTERS),
    text=text,
)
