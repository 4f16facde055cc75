"""Performance of many rounds."""

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from flaas.domain.performance import spread
from flaas.domain.round import Results
from flaas.operations.common import PROJECT, project_of, status_word
from flaas.operations.operation import Arguments, Desk, Kind, Operation, Parameter


class Row(Struct, frozen=True):
    round: int
    status: str
    devices: int
    """Who reported results."""
    loss_mean: float | None
    loss_std: float | None
    accuracy_mean: float | None
    accuracy_std: float | None


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    project = await project_of(desk, arguments)
    first, last = arguments["from"] or 0, arguments["to"]
    rounds = sorted(
        (
            one
            for one in await desk.store.rounds.all(project.id)
            if first <= one.number and (last is None or one.number <= last)
        ),
        key=lambda one: one.id,
    )
    measured = desk.store.participants.results([one.id for one in rounds])
    ahead = await anext(measured, None)
    for round_ in rounds:
        own: list[Results] = []
        while ahead is not None and ahead[0] == round_.id:
            own.append(ahead[1])
            ahead = await anext(measured, None)
        loss = spread(one.loss for one in own)
        accuracy = spread(one.accuracy for one in own)
        yield Row(
            round=round_.number,
            status=status_word(round_),
            devices=len(own),
            loss_mean=loss and loss.mean,
            loss_std=loss and loss.deviation,
            accuracy_mean=accuracy and accuracy.mean,
            accuracy_std=accuracy and accuracy.deviation,
        )


def line(row: Row) -> str:
    figures = (row.loss_mean, row.loss_std, row.accuracy_mean, row.accuracy_std)
    shown = ["" if figure is None else f"{figure:.2f}" for figure in figures]
    return ", ".join([str(row.round), row.status, str(row.devices), *shown])


OPERATION: Final = Operation(
    name="performance_multirounds",
    short="Report the performance of many rounds.",
    help="Report the performance of many rounds of a project.",
    row=Row,
    rows=rows,
    parameters=(
        PROJECT,
        Parameter("from", "First round to report.", Kind.NUMBER, None, least=0),
        Parameter("to", "Last round to report.", Kind.NUMBER, None, least=0),
    ),
    line=line,
)
