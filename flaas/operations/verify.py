"""Whether the stored models are what the stored updates make."""

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from flaas.domain.errors import Conflict
from flaas.operations.common import PROJECT
from flaas.operations.operation import Arguments, Desk, Kind, Lines, Operation, Parameter


class Row(Struct, frozen=True):
    round: int
    status: str
    updates: int
    sha256: str
    identical: bool
    wrong: list[str]


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    verification = desk.services.verification
    async for one in verification.rounds(arguments["project"], arguments["round"]):
        yield Row(
            one.number,
            one.status.name.lower(),
            one.updates,
            one.sha256,
            not one.wrong,
            one.wrong,
        )


async def text(desk: Desk, arguments: Arguments) -> Lines:
    found, different = 0, list[str]()
    async for row in rows(desk, arguments):
        found += 1
        if not row.identical:
            different.append(str(row.round))
        said = "bit-identical" if row.identical else f"DIFFERENT: {'; '.join(row.wrong)}"
        yield f"Round {row.round} ({row.status}, {row.updates} updates): {said}"
    if different:
        raise Conflict(f"Not what the stored updates make: round(s) {', '.join(different)}.")
    yield f"{found} round(s) verified."


OPERATION: Final = Operation(
    name="verify",
    short="Verify the stored models.",
    help="Aggregate the stored updates of every closed round again, and say whether the stored "
    "models are bit-identical. The files are also held against the recorded SHA-256 sums.",
    row=Row,
    rows=rows,
    parameters=(PROJECT, Parameter("round", "Only this round", Kind.NUMBER, None, least=0)),
    text=text,
)
