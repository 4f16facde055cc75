"""Between the records of `domain` and MongoDB's documents."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from flaas.domain.errors import Unavailable
from flaas.store.gate import Gate, is_away

T = TypeVar("T")
Document = dict[str, Any]

# Motor builds its classes at run time, so a type checker sees nothing in them.
Collection = Any
Database = Any

CALL_SECONDS: Final = 10.0
"""What a call takes longer for is not coming: the database is away."""


def dump(record: msgspec.Struct) -> Document:
    """A document whose `_id` is the record's `id`, if it has one."""
    document: Document = msgspec.to_builtins(record, builtin_types=(datetime,))
    if "id" in document:
        document["_id"] = document.pop("id")
    return document


def load(kind: type[T], document: Document) -> T:
    """The record in `document`. Fields of the document that the record has not are left out."""
    return msgspec.convert({**document, "id": document.get("_id")}, kind)


def load_optional(kind: type[T], document: Document | None) -> T | None:
    return None if document is None else load(kind, document)


def streamed(cursor: Any) -> Any:
    """A cursor over what may be a great many documents: a small batch of them is held at a time,
    where the driver's default is 16 MB, and ten times that once it is decoded."""
    return cursor.batch_size(1_000)


def lasting(method: Callable[..., T]) -> Callable[..., T]:
    """Marks a method whose work grows with the number of phones: it may last as long as the
    database works at it. The others are cut after `CALL_SECONDS`."""
    _LASTING.add(method)
    return method


_LASTING: Final[set[Callable[..., Any]]] = set()


class Repository:
    """The queries on one collection.

    A database that is away raises `Unavailable` out of every public method: callers know
    nothing of the driver, nor of its exceptions. What a generator reads, a report's rows, may
    take as long as it takes.
    """

    collection_name: ClassVar[str]

    def __init__(self, database: Database, gate: Gate) -> None:
        self._collection: Collection = database[self.collection_name]
        self._gate = gate

    def __init_subclass__(cls) -> None:
        for name, member in list(vars(cls).items()):
            if name.startswith("_"):
                continue
            if inspect.iscoroutinefunction(member):
                setattr(cls, name, _translated(member))
            elif inspect.isasyncgenfunction(member):
                setattr(cls, name, _translated_iterator(member))


def _translated(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def call(self: Repository, *args: Any, **kwargs: Any) -> Any:
        self._gate.check()
        try:
            if method in _LASTING:
                return await method(self, *args, **kwargs)
            async with self._gate.limited(CALL_SECONDS):
                return await method(self, *args, **kwargs)
        except Exception as error:
            if not is_away(error):
                raise
            self._gate.shut()
            raise _unavailable() from error

    return call


def _translated_iterator(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def iterate(self: Repository, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        self._gate.check()
        try:
            async for item in method(self, *args, **kwargs):
                yield item
        except Exception as error:
            if not is_away(error):
                raise
            self._gate.shut()
            raise _unavailable() from error

    return iterate


def _unavailable() -> Unavailable:
    return Unavailable("The database is away; try again in a moment.")
