"""Files that nobody owns."""

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct

from flaas.operations.operation import Arguments, Desk, Kind, Lines, Operation, Parameter


class Row(Struct, frozen=True):
    file: str
    bytes: int
    reason: str
    deleted: bool


async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Row]:
    clean_up, delete = desk.services.clean_up, arguments["delete"]
    async for found in clean_up.delete() if delete else clean_up.find():
        yield Row(found.file.key, found.file.size, found.reason, deleted=delete)


async def text(desk: Desk, arguments: Arguments) -> Lines:
    count = size = 0
    async for row in rows(desk, arguments):
        count, size = count + 1, size + row.bytes
        yield f"{row.file}: {row.reason}"
    if not count:
        yield "Every file of a project has an owner."
    elif arguments["delete"]:
        yield f"{count} file(s) of {size} bytes deleted."
    else:
        yield f"{count} file(s) of {size} bytes have no owner; --delete deletes them."


OPERATION: Final = Operation(
    name="clean-up",
    short="Delete files without an owner.",
    help="Find files of projects that no round and no device owns: what a killed process, or a "
    "project deleted during an upload, left behind. Nothing is deleted without --delete.",
    row=Row,
    rows=rows,
    parameters=(Parameter("delete", "Delete what is found", Kind.FLAG, default=False),),
    changes=True,
    text=text,
)
