"""Joined rounds per user."""

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from flaas.operations.common import PROJECT, project_of
from flaas.operations.operation import Arguments, Desk, Operation


class Row(Struct, frozen=True):
    username: str
    joined_rounds: int


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    project = await project_of(desk, arguments)
    round_ids = [one.id for one in await desk.store.rounds.all(project.id)]
    async for username, count in desk.store.participants.join_counts(round_ids):
        yield Row(username, count)


OPERATION: Final = Operation(
    name="joinedrounds",
    short="Report joined rounds per user.",
    help="Report number of joined rounds per user.",
    row=Row,
    rows=rows,
    parameters=(PROJECT,),
    line=lambda row: f"{row.username}, {row.joined_rounds}",
)
