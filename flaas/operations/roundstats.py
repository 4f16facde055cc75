"""Joined users per round."""

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from flaas.operations.common import PROJECT, project_of, status_word
from flaas.operations.operation import Arguments, Desk, Operation


class Row(Struct, frozen=True):
    round: int
    status: str
    joined_devices_ratio: float
    usernames: list[str]
    """In the order of first join."""


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    project = await project_of(desk, arguments)
    registered = await desk.store.users.registered(project.id)
    rounds = sorted(await desk.store.rounds.all(project.id), key=lambda one: one.id)
    joins = desk.store.participants.joins([one.id for one in rounds])
    join = await anext(joins, None)
    for round_ in rounds:
        usernames = []
        while join is not None and join[0] == round_.id:
            usernames.append(join[1])
            join = await anext(joins, None)
        ratio = len(usernames) / registered if registered else 0.0
        yield Row(round_.number, status_word(round_), ratio, usernames)


OPERATION: Final = Operation(
    name="roundstats",
    short="Report joined users per round.",
    help="Report joined users per round.",
    row=Row,
    rows=rows,
    parameters=(PROJECT,),
    line=lambda row: (
        f"{row.round}, {row.status}, {row.joined_devices_ratio:.2f}, {row.usernames!r}"
    ),
)
