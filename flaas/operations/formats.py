"""Rows as strict CSV and as JSON: the same values, in the same order."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from flaas.operations.operation import Arguments, Desk, Operation


async def as_csv(operation: Operation, desk: Desk, arguments: Arguments) -> AsyncIterator[str]:
    """RFC 4180, with a header; lists are joined by `;`, what is not there is empty."""
    yield _csv_line(list(operation.columns))
    async for row in operation.rows(desk, arguments):
        values = msgspec.to_builtins(row)
        yield _csv_line([_cell(values[column]) for column in operation.columns])


async def as_json(operation: Operation, desk: Desk, arguments: Arguments) -> AsyncIterator[str]:
    """An array of objects, a row a line."""
    before = "[\n"
    async for row in operation.rows(desk, arguments):
        yield before + msgspec.json.encode(row).decode()
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


async def as_text(operation: Operation, desk: Desk, arguments: Arguments) -> AsyncIterator[str]:
    """What the command prints."""
    async for line in operation.lines(desk, arguments):
        yield line + "\n"


def _csv_line(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def _cell(value: Any) -> str:
    """As JSON writes it, without the quotes of a string."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ";".join(map(_cell, value))
    return msgspec.json.encode(value).decode()
