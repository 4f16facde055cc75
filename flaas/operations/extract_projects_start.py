"""When projects began and ended."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from flaas.operations.common import stamp
from flaas.operations.operation import Arguments, Desk, Lines, Operation


class Row(Struct, frozen=True):
    project: int
    title: str
    begin: datetime
    end: datetime
    """The last round's creation, and the time that it may take."""


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    spans = await desk.store.rounds.spans()
    for project in await desk.store.projects.all():
        if project.id in spans:
            first, last = spans[project.id]
            end = last + timedelta(minutes=project.max_training_time)
            yield Row(project.id, project.title, first, end)


async def text(desk: Desk, arguments: Arguments) -> Lines:
    async for row in rows(desk, arguments):
        begin, end = stamp(desk, row.begin), stamp(desk, row.end)
        yield f"Project {row.project} ({row.title}) \t Begin: {begin} \t End: {end}"


OPERATION: Final = Operation(
    name="extract-projects-start",
    short="Extract when projects began and ended.",
    help="Extract when each project that has rounds began and ended.",
    row=Row,
    rows=rows,
    text=text,
)
