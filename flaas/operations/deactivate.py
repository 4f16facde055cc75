"""An account that may do nothing any more."""

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from flaas.operations.common import USERNAME
from flaas.operations.operation import Arguments, Desk, Lines, Operation


class Row(Struct, frozen=True):
    username: str
    active: bool


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    await desk.services.accounts.set_active(arguments["username"], False)
    yield Row(arguments["username"], False)


async def text(desk: Desk, arguments: Arguments) -> Lines:
    async for row in rows(desk, arguments):
        yield f"User '{row.username}' deactivated"


OPERATION: Final = Operation(
    name="deactivate",
    short="Stop an account: its sessions end.",
    help="Stop an account: its sessions end at once, and it cannot sign in until it is activated.",
    row=Row,
    rows=rows,
    parameters=(USERNAME,),
    changes=True,
    text=text,
)
