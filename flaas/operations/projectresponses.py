"""Newest responses of a project's devices."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from msgspec import Struct

from flaas.operations.common import (
    PROJECT,
    STATUS_FILTERS,
    describe,
    passes,
    project_of,
    stamp,
    with_reports,
)
from flaas.operations.operation import Arguments, Desk, Kind, Lines, Operation, Parameter


class Row(Struct, frozen=True):
    username: str
    last_response: datetime
    version_code: int
    bucket: int
    power_plugged: bool
    battery: float


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    async for row, _ in _newest(desk, arguments):
        yield row


async def text(desk: Desk, arguments: Arguments) -> Lines:
    registered = await desk.store.users.registered(arguments["project"])
    responded = 0
    async for _ in _newest(desk, arguments):
        responded += 1
    ratio = responded / registered if registered else 0.0
    yield f"Project responses: {responded}/{registered} (ratio: {ratio:.2f})"
    if arguments["show_details"]:
        # Read again in place of being held: a project may have a great many devices.
        async for _, line in _newest(desk, arguments):
            yield line


async def _newest(desk: Desk, arguments: Arguments) -> AsyncIterator[tuple[Row, str]]:
    project = await project_of(desk, arguments)
    members = desk.store.users.members(project.id)
    async for user, reports in with_reports(desk, arguments, members):
        if not reports or not passes(report := reports[0], arguments):
            continue
        row = Row(
            username=user.username,
            last_response=report.at,
            version_code=report.version_code,
            bucket=report.bucket,
            power_plugged=report.power_plugged,
            battery=report.level,
        )
        said = f"last_reponse: {stamp(desk, report.at)} - {describe(report)}"
        yield row, f"    {user.username} - {said}"


OPERATION: Final = Operation(
    name="projectresponses",
    short="Report a project's newest responses.",
    help="Query and report device responses for users registered to a project.",
    row=Row,
    rows=rows,
    parameters=(
        PROJECT,
        *STATUS_FILTERS,
        Parameter(
            "show-details", "Show details for each user's last response", Kind.FLAG, default=False
        ),
    ),
    text=text,
)
