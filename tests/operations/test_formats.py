"""Strict CSV and JSON say the same, whatever is in the rows."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from flaas.domain.device import read_line
from flaas.operations.formats import as_csv, as_json
from flaas.operations.operation import Arguments, Desk, Operation
from flaas.operations.responses_per_user import Row

DESK = Desk(services=None, now=datetime.now(UTC), time_zone=ZoneInfo("UTC"))  # type: ignore[arg-type]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
parts = ("app_details", "battery_status", "usage_stats_details")
names = ("version_code", "power_plugged", "level", "app_standby_bucket")
infos = st.dictionaries(
    st.sampled_from(parts), anything | st.dictionaries(st.sampled_from(names), anything)
)
reports = st.lists(
    st.tuples(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20),
        st.datetimes(timezones=st.just(UTC)),
        infos,
    ),
    max_size=8,
)


class Listed(Struct, frozen=True):
    names: list[str]
    ratio: float | None


def operation(kind: type[Struct], found: list[Struct]) -> Operation:
    async def rows(desk: Desk, arguments: Arguments) -> AsyncIterator[Struct]:
        for row in found:
            yield row

    return Operation(name="n", short="s", help="h", row=kind, rows=rows, line=str)


def read(kind: type[Struct], found: list[Struct]) -> tuple[list[dict[str, str]], list[Any]]:
    async def gathered(pieces: AsyncIterator[str]) -> str:
        return "".join([piece async for piece in pieces])

    async def both() -> tuple[str, str]:
        made = operation(kind, found)
        return await gathered(as_csv(made, DESK, {})), await gathered(as_json(made, DESK, {}))

    as_csv_text, as_json_text = asyncio.run(both())
    parsed = list(csv.DictReader(io.StringIO(as_csv_text, newline=""), strict=True))
    return parsed, json.loads(as_json_text)


def flat(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


@given(reports)
def test_status_reports(found: list[tuple[str, datetime, dict[str, Any]]]) -> None:
    rows: list[Struct] = []
    for username, at, info in found:
        line = read_line(1, at, info)
        rows.append(
            Row(username, at, line.version_code, line.bucket, line.power_plugged, line.level)
        )
    from_csv, from_json = read(Row, rows)
    assert len(from_json) == len(rows)
    for one, other in zip(from_csv, from_json, strict=True):
        assert float(one.pop("battery")) == other.pop("battery")
        assert one == {name: flat(value) for name, value in other.items()}


@given(st.lists(st.lists(st.text('abc,;" \r\n', min_size=1, max_size=4), max_size=4)))
def test_lists_are_joined(lists: list[list[str]]) -> None:
    from_csv, from_json = read(Listed, [Listed(names, None) for names in lists])
    assert [one["names"] for one in from_csv] == [";".join(names) for names in lists]
    assert [one["names"] for one in from_json] == lists
    assert all(one["ratio"] == "" for one in from_csv)
