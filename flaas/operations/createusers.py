"""User accounts with random passwords."""

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from flaas.domain.errors import Invalid
from flaas.operations.operation import Arguments, Desk, Kind, Operation, Parameter


class Row(Struct, frozen=True):
    username: str
    password: str
    samples_index: int | None

    def __repr__(self) -> str:
        return f"Row({self.username!r}, …, {self.samples_index})"


_MOST: Final = 100_000
"""Accounts at a time: all of them are held in memory, and hashing them takes half an hour."""


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    if arguments["accounts"] > _MOST:
        raise Invalid({"accounts": [f"Expected at most {_MOST} accounts at a time."]})
    created = await desk.services.accounts.create_users(
        arguments["accounts"],
        prefix=arguments["prefix"],
        length=arguments["length"],
        samples_index_start=arguments["samples_index_start"],
        progress=desk.progress,
    )
    for one in created:
        yield Row(one.username, one.password, one.samples_index)


LENGTH: Final = Parameter("length", "Password length", Kind.NUMBER, 10, least=1)

OPERATION: Final = Operation(
    name="createusers",
    short="Create accounts with random passwords.",
    help="Create users accounts with random passwords.",
    row=Row,
    rows=rows,
    parameters=(
        Parameter("accounts", "Number of accounts", Kind.NUMBER, positional=True, least=1),
        Parameter("prefix", "Prefix that will be used in the usernames", default="user"),
        LENGTH,
        Parameter(
            "samples-index-start",
            "Sample index start that will increment per user",
            Kind.NUMBER,
            0,
            least=0,
        ),
    ),
    changes=True,
    line=lambda row: f"{row.username}, {row.password}, {row.samples_index}",
    steps="accounts",
)
