"""A new password for an account that exists."""

from collections.abc import AsyncIterator
from typing import Final

from flaas.operations.common import USERNAME
from flaas.operations.createusers import LENGTH, Row
from flaas.operations.operation import Arguments, Desk, Lines, Operation


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    changed = await desk.services.accounts.set_password(
        arguments["username"], length=arguments["length"]
    )
    yield Row(changed.username, changed.password, changed.samples_index)


async def text(desk: Desk, arguments: Arguments) -> Lines:
    async for row in rows(desk, arguments):
        yield f"Username: {row.username}"
        yield f"Password: {row.password}"


OPERATION: Final = Operation(
    name="set-password",
    short="Give an account a new random password.",
    help="Give an account a new random password, which is shown once, and end its sessions.",
    row=Row,
    rows=rows,
    parameters=(USERNAME, LENGTH),
    changes=True,
    text=text,
)
