"""Members of a project."""

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from flaas.operations.common import PROJECT
from flaas.operations.operation import Arguments, Desk, Lines, Operation, Parameter


class Row(Struct, frozen=True):
    users: int
    project: str


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    count, project = await desk.services.accounts.assign(arguments["project"], arguments["prefix"])
    yield Row(count, project.title)


async def text(desk: Desk, arguments: Arguments) -> Lines:
    async for row in rows(desk, arguments):
        yield f"{row.users} user(s) assigned succesfully to project '{row.project}'"


OPERATION: Final = Operation(
    name="assign",
    short="Assign the users of a prefix to a project.",
    help="Query users using a prefix and assign them to a particular project.",
    row=Row,
    rows=rows,
    parameters=(
        PROJECT,
        Parameter("prefix", "Prefix of users to be assigned to the given project.", default="user"),
    ),
    changes=True,
    text=text,
)
