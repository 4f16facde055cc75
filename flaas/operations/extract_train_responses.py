"""Which devices took part in each round, with the samples that they hold."""

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from flaas.domain.round import Part, RoundStatus
from flaas.operations.common import FILE_NAME, PROJECT, json_lines, kept, project_of
from flaas.operations.operation import Arguments, Desk, Lines, Operation, Parameter


class Row(Struct, frozen=True):
    round: int
    username: str
    samples_index: int | None


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    async for number, devices in _by_round(desk, arguments):
        for device in devices:
            yield Row(number, **device)


async def text(desk: Desk, arguments: Arguments) -> Lines:
    """An array a round, each of an object a device."""
    rounds = (msgspec.json.encode(devices) async for _, devices in _by_round(desk, arguments))
    async for line in kept(desk, "distributions", arguments, json_lines(rounds)):
        yield line


async def _by_round(
    desk: Desk, arguments: Arguments
) -> AsyncIterator[tuple[int, list[dict[str, Any]]]]:
    project = await project_of(desk, arguments)
    rounds = sorted(
        (
            one
            for one in await desk.store.rounds.all(project.id)
            if one.status in (RoundStatus.COMPLETE, RoundStatus.TRAINING)
        ),
        key=lambda one: one.id,
    )
    chosen = desk.store.participants.chosen([one.id for one in rounds], Part(arguments["type"]))
    ahead = await anext(chosen, None)
    for round_ in rounds:
        devices = []
        while ahead is not None and ahead[0] == round_.id:
            user = ahead[1]
            devices.append({"username": user.username, "samples_index": user.samples_index})
            ahead = await anext(chosen, None)
        yield round_.number, devices


OPERATION: Final = Operation(
    name="extract-train-responses",
    short="Extract the devices of each round.",
    help="Extract the devices of each round of a project, to a file and here.",
    row=Row,
    rows=rows,
    parameters=(
        PROJECT,
        FILE_NAME,
        Parameter(
            "type",
            "Devices that were available, that joined, or that replied",
            default=Part.REPLIED.value,
            choices=tuple(part.value for part in Part),
        ),
    ),
    text=text,
    prints_json=True,
)
