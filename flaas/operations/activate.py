"""An account that may sign in again."""

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from flaas.operations.common import USERNAME
from flaas.operations.operation import Arguments, Desk, Lines, Operation


class Row(Struct, frozen=True):
    username: str
    active: bool


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    await desk.services.accounts.set_active(arguments["username"], True)
    yield Row(arguments["username"], True)


async def text(desk: Desk, arguments: Arguments) -> Lines:
    async for row in rows(desk, arguments):
        yield f"User '{row.username}' activated"


OPERATION: Final = Operation(
    name="activate",
    short="Let a deactivated account sign in again.",
    help="Let a deactivated account sign in again.",
    row=Row,
    rows=rows,
    parameters=(USERNAME,),
    changes=True,
    text=text,
)
