"""What an operation is."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import fields

from flaas.domain.ports import Store
from flaas.services.all import Services


class Kind(Enum):
    """Of a parameter's value."""

    TEXT = auto()
    NUMBER = auto()
    DECIMAL = auto()
    FLAG = auto()
    DATE = auto()
    """YYYY-MM-DD."""
    MOMENT = auto()
    """A date, or a date and a time: ISO 8601; without a zone it is in the configured one."""


REQUIRED: Final = object()
"""The default of a parameter that has none."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument or option, named as on the command line."""

    name: str
    help: str
    kind: Kind = Kind.TEXT
    default: Any = REQUIRED
    positional: bool = False
    many: bool = False
    """A positional one that may be repeated, or be absent."""
    least: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its name in `Arguments`."""
        return self.name.replace("-", "_")


Arguments: TypeAlias = Mapping[str, Any]
Row: TypeAlias = Struct
Rows: TypeAlias = AsyncIterator[Row]
Lines: TypeAlias = AsyncIterator[str]


@dataclass(frozen=True, slots=True)
class Desk:
    """What operations work with."""

    services: Services
    now: datetime
    time_zone: ZoneInfo
    progress: Callable[[], None] = lambda: None
    """Called once a step of long work."""

    @property
    def store(self) -> Store:
        return self.services.store


@dataclass(frozen=True, slots=True)
class Operation:
    """A report, or a command that changes something.

    `rows` gives typed rows, as they come; their fields are the columns. `text` gives the lines
    that the command prints; for a table they are made from the rows by `line`.
    """

    name: str
    short: str
    """One line, for lists."""
    help: str
    row: type[Row]
    rows: Callable[[Desk, Arguments], Rows]
    parameters: tuple[Parameter, ...] = ()
    changes: bool = False
    line: Callable[[Any], str] | None = None
    text: Callable[[Desk, Arguments], Lines] | None = None
    prints_json: bool = False
    """The text is a JSON document."""
    steps: str | None = None
    """The argument that says how many steps of `Desk.progress` there are."""

    @property
    def is_table(self) -> bool:
        return self.line is not None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(one.encode_name for one in fields(self.row))

    async def lines(self, desk: Desk, arguments: Arguments) -> Lines:
        """What the command prints, line by line, without line ends."""
        if self.text is not None:
            async for line in self.text(desk, arguments):
                yield line
            return
        if self.line is None:
            raise TypeError(f"{self.name} has neither lines nor a text")
        rows = self.rows(desk, arguments)
        # The first row is asked for before the header goes out: what is wrong with the arguments
        # is said in place of a header, not after it.
        first = await anext(rows, None)
        yield ", ".join(self.columns)
        if first is not None:
            yield self.line(first)
        async for row in rows:
            yield self.line(row)
