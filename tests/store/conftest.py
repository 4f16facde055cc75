"""A store on a database of the test's own, one whose database is away, and a look behind."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import MongoClient

from flaas.store.mongo import MongoStore, open_store


@pytest.fixture
async def store(mongodb_uri: str) -> AsyncIterator[MongoStore]:
    async with open_store(mongodb_uri, timedelta(days=90)) as opened:
        yield opened


@pytest.fixture
def database(mongodb_uri: str) -> Iterator[Any]:
    """The same database through PyMongo."""
    with MongoClient(mongodb_uri, tz_aware=True) as client:
        yield client.get_default_database()


@pytest.fixture
async def away() -> AsyncIterator[MongoStore]:
    """A store whose database nobody serves: the discard port takes no connections."""
    client: Any = AsyncIOMotorClient("mongodb://127.0.0.1:9", serverSelectionTimeoutMS=30)
    yield MongoStore(client["flaas"])
    client.close()
