"""One user account with a random password."""

from collections.abc import AsyncIterator
from typing import Final

from flaas.operations.common import USERNAME
from flaas.operations.createusers import LENGTH, Row
from flaas.operations.operation import Arguments, Desk, Kind, Lines, Operation, Parameter


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    created = await desk.services.accounts.create_user(
        arguments["username"],
        samples_index=arguments["samples_index"],
        length=arguments["length"],
    )
    yield Row(created.username, created.password, created.samples_index)


async def text(desk: Desk, arguments: Arguments) -> Lines:
    async for row in rows(desk, arguments):
        yield "Created account with the following details:"
        yield f"Username: {row.username}"
        yield f"Password: {row.password}"
        yield f"Samples Index: {row.samples_index}"


OPERATION: Final = Operation(
    name="create-single-user",
    short="Create one account.",
    help="Create a single user account with a random password.",
    row=Row,
    rows=rows,
    parameters=(
        USERNAME,
        Parameter(
            "samples-index", "Samples index of the account", Kind.NUMBER, positional=True, least=0
        ),
        LENGTH,
    ),
    changes=True,
    text=text,
)
