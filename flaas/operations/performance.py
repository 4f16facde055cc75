"""Performance of one round."""

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from flaas.domain.errors import NotFound
from flaas.domain.performance import spread
from flaas.domain.round import Round, RoundStatus
from flaas.operations.common import PROJECT, last_completed, project_of
from flaas.operations.operation import Arguments, Desk, Kind, Lines, Operation, Parameter


class Row(Struct, frozen=True):
    project: str
    rounds_completed: int
    number_of_rounds: int
    rounds_invalid: int
    round: int
    accuracy_mean: float | None
    accuracy_std: float | None
    loss_mean: float | None
    loss_std: float | None


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    project = await project_of(desk, arguments)
    rounds = await desk.store.rounds.all(project.id)
    round_ = _chosen(rounds, arguments)
    found = [one async for _, one in desk.store.participants.results([round_.id])]
    accuracy, loss = spread(one.accuracy for one in found), spread(one.loss for one in found)
    yield Row(
        project=project.title,
        rounds_completed=sum(one.status is RoundStatus.COMPLETE for one in rounds),
        number_of_rounds=project.number_of_rounds,
        rounds_invalid=sum(one.status is RoundStatus.INVALID for one in rounds),
        round=round_.number,
        accuracy_mean=accuracy.mean if accuracy else None,
        accuracy_std=accuracy.deviation if accuracy else None,
        loss_mean=loss.mean if loss else None,
        loss_std=loss.deviation if loss else None,
    )


async def text(desk: Desk, arguments: Arguments) -> Lines:
    async for row in rows(desk, arguments):
        yield f"Project: {row.project}"
        if arguments["round"] is None:
            yield f"Exact round was not specified, using last completed round '{row.round}'"
        yield (
            f"Rounds completed: {row.rounds_completed}/{row.number_of_rounds} "
            f"(plus {row.rounds_invalid} invalid)"
        )
        yield f"Round {row.round} Test Accuracy: {_said(row.accuracy_mean, row.accuracy_std)}"
        yield f"Round {row.round} Loss: {_said(row.loss_mean, row.loss_std)}"


def _chosen(rounds: list[Round], arguments: Arguments) -> Round:
    number = arguments["round"]
    if number is None:
        last = last_completed(rounds)
        if last is None:
            raise NotFound(f"Project {arguments['project']} has no completed round.")
        return last
    for round_ in rounds:
        if round_.number == number:
            return round_
    raise NotFound(f"Project {arguments['project']} has no round {number}.")


def _said(mean: float | None, deviation: float | None) -> str:
    return "TBD" if mean is None else f"{mean:.2f} ({deviation:.2f})"


OPERATION: Final = Operation(
    name="performance",
    short="Report the performance of a round.",
    help=(
        "Report round performance of a project. "
        "If a round is not specified, the last one will be used."
    ),
    row=Row,
    rows=rows,
    parameters=(
        PROJECT,
        Parameter(
            "round",
            "Round to be evaluated. If not defined, last completed round will be used.",
            Kind.NUMBER,
            None,
            least=0,
        ),
    ),
    text=text,
)
