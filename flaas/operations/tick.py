"""One tick of the scheduler."""

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from flaas.domain.errors import Conflict
from flaas.operations.operation import Arguments, Desk, Kind, Lines, Operation, Parameter
from flaas.services.audit import record


class Row(Struct, frozen=True):
    project: int
    title: str
    done: list[str]
    now: str
    failed: bool


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    moved = 0
    async for one in desk.services.rounds.tick():
        moved += bool(one.done)
        yield Row(one.project_id, one.title, list(one.done), one.now, one.failed)
    await desk.services.outbox.deliver_due()
    # One that found nothing to do changed nothing, and a cron ticks 144 times a day.
    if moved:
        await record(desk.store, desk.now, "tick", after={"projects moved": moved})


async def text(desk: Desk, arguments: Arguments) -> Lines:
    found, failed = 0, 0
    async for row in rows(desk, arguments):
        found, failed = found + 1, failed + row.failed
        yield f"Project {row.project} ({row.title}): {'; '.join([*row.done, row.now])}"
    if not found:
        yield "No project is in progress."
    if failed:
        raise Conflict(f"{failed} project(s) could not be advanced; the log says why.")


OPERATION: Final = Operation(
    name="tick",
    short="Advance every project once.",
    help="Advance every project once, as the server's scheduler does.",
    row=Row,
    rows=rows,
    parameters=(
        Parameter(
            "once", "Tick once and end, which is what it does anyway.", Kind.FLAG, default=False
        ),
    ),
    changes=True,
    text=text,
)
