"""Between the records of `domain` and MongoDB's documents."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any, ClassVar, TypeVar

import msgspec
from pymongo.errors import ConnectionFailure, ExecutionTimeout, NotPrimaryError

from flaas.domain.errors import Unavailable

T = TypeVar("T")
Document = dict[str, Any]

# Motor builds its classes at run time, so a type checker sees nothing in them.
Collection = Any
Database = Any

_AWAY = (ConnectionFailure, ExecutionTimeout, NotPrimaryError)


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


class Repository:
    """The queries on one collection.

    A database that is away raises `Unavailable` out of every public method: callers know
    nothing of the driver, nor of its exceptions.
    """

    collection_name: ClassVar[str]

    def __init__(self, database: Database) -> None:
        self._collection: Collection = database[self.collection_name]

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
    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return await method(*args, **kwargs)
        except _AWAY as error:
            raise _unavailable() from error

    return call


def _translated_iterator(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def iterate(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        try:
            async for item in method(*args, **kwargs):
                yield item
        except _AWAY as error:
            raise _unavailable() from error

    return iterate


def _unavailable() -> Unavailable:
    return Unavailable("The database is away; try again in a moment.")
