"""The store as a whole: the connection, the collections, the indexes, the counters."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError

from flaas.store.documents import Database, Repository
from flaas.store.gate import Gate
from flaas.store.leases import MongoLeases
from flaas.store.outbox import MongoOutbox
from flaas.store.participants import MongoParticipants
from flaas.store.projects import MongoProjects
from flaas.store.records import MongoEvents, MongoModels, MongoStatuses
from flaas.store.rounds import MongoRounds
from flaas.store.signins import MongoSignIns
from flaas.store.tokens import MongoRefreshTokens
from flaas.store.users import MongoUsers

# At its loudest the driver logs whole documents: the hashes of passwords, and where phones are.
logging.getLogger("pymongo.command").setLevel(logging.INFO)

DEFAULT_DATABASE: Final = "flaas"

_AWAY_AFTER_MS: Final = 5_000
"""How long a call looks for the database before it gives up.

There is no `socketTimeoutMS`, which would cut long reports too: `documents.CALL_SECONDS` bounds
the calls that requests wait for, and the driver's monitor (every ten seconds, with a time-out)
breaks the connections to a server that hangs. No call waits for a connection either: Motor's
threads are fewer than the pool's connections.
"""

_INDEX_OPTIONS_CONFLICT: Final = 85


class StoreUnavailable(Exception):
    """One sentence that says why; without the URI, which holds a password."""


def _indexes(keep_statuses: timedelta) -> dict[str, list[IndexModel]]:
    """Every index there is. Each serves the queries of its collection's module."""
    return {
        "users": [
            IndexModel("username", unique=True),
            IndexModel("device_id", unique=True),
            IndexModel([("project_id", ASCENDING), ("last_status.at", ASCENDING)]),
        ],
        "refresh_tokens": [
            IndexModel("predecessor"),
            IndexModel("expires", expireAfterSeconds=0),
        ],
        "sign_ins": [IndexModel("expires", expireAfterSeconds=0)],
        "projects": [
            IndexModel("title", unique=True),
            IndexModel("status"),
            IndexModel("model"),
        ],
        "rounds": [
            IndexModel([("project_id", ASCENDING), ("number", ASCENDING)], unique=True),
            IndexModel("request_id", unique=True),
        ],
        "participants": [
            IndexModel([("round_id", ASCENDING), ("device_id", ASCENDING)], unique=True),
            IndexModel(
                [("round_id", ASCENDING), ("requested", ASCENDING), ("reported_at", ASCENDING)]
            ),
            IndexModel(
                [("round_id", ASCENDING), ("joined_at", ASCENDING), ("device_id", ASCENDING)]
            ),
        ],
        "device_statuses": [
            IndexModel([("user_id", ASCENDING), ("at", DESCENDING)]),
            IndexModel("at", expireAfterSeconds=int(keep_statuses.total_seconds())),
        ],
        "outbox": [IndexModel([("state", ASCENDING), ("due", ASCENDING)]), IndexModel("round_id")],
        "events": [
            IndexModel([("at", ASCENDING), ("_id", ASCENDING)]),
            IndexModel([("project_id", ASCENDING), ("at", ASCENDING), ("_id", ASCENDING)]),
        ],
    }


class _Counters(Repository):
    collection_name = "counters"

    async def next_ids(self, kind: str, count: int) -> int:
        document = await self._collection.find_one_and_update(
            {"_id": kind},
            {"$inc": {"last": count}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return int(document["last"]) - count + 1

    async def time(self) -> datetime:
        database = self._collection.database
        # A command's answer has times without a zone, unless it is asked for as documents are.
        answer = await database.command("hello", codec_options=database.codec_options)
        told: datetime = answer["localTime"]
        return told

    async def ping(self) -> None:
        await self._collection.database.command("ping")


class MongoStore:
    """Implements `domain.ports.Store`."""

    def __init__(self, database: Database) -> None:
        self._gate = Gate(database)
        self.users = MongoUsers(database, self._gate)
        self.refresh_tokens = MongoRefreshTokens(database, self._gate)
        self.sign_ins = MongoSignIns(database, self._gate)
        self.projects = MongoProjects(database, self._gate)
        self.rounds = MongoRounds(database, self._gate)
        self.participants = MongoParticipants(database, self._gate)
        self.statuses = MongoStatuses(database, self._gate)
        self.outbox = MongoOutbox(database, self._gate)
        self.models = MongoModels(database, self._gate)
        self.events = MongoEvents(database, self._gate)
        self.leases = MongoLeases(database, self._gate)
        self._counters = _Counters(database, self._gate)

    async def close(self) -> None:
        """Stop looking for a database that is away."""
        await self._gate.close()

    async def next_ids(self, kind: str, count: int = 1) -> int:
        return await self._counters.next_ids(kind, count)

    async def time(self) -> datetime:
        return await self._counters.time()

    async def ping(self) -> None:
        await self._counters.ping()


async def _make_indexes(database: Database, keep_statuses: timedelta) -> None:
    for name, indexes in _indexes(keep_statuses).items():
        try:
            await database[name].create_indexes(indexes)
        except OperationFailure as error:
            if error.code != _INDEX_OPTIONS_CONFLICT:
                raise
            # The one option that a setting changes is how long documents are kept.
            for index in (index.document for index in indexes):
                if "expireAfterSeconds" in index:
                    lifetime = {
                        "name": index["name"],
                        "expireAfterSeconds": index["expireAfterSeconds"],
                    }
                    await database.command("collMod", name, index=lifetime)
            await database[name].create_indexes(indexes)


@asynccontextmanager
async def open_store(uri: str, keep_statuses: timedelta) -> AsyncIterator[MongoStore]:
    """Connect, make the indexes, close at the end. Raises `StoreUnavailable`."""
    try:
        client: Any = AsyncIOMotorClient(
            uri,
            appname="flaas",
            tz_aware=True,
            # What was acknowledged survives a killed mongod.
            w="majority",
            # Whatever the URI says: a no to a phone is never said from an old copy.
            readPreference="primary",
            journal=True,
            serverSelectionTimeoutMS=_AWAY_AFTER_MS,
            connectTimeoutMS=_AWAY_AFTER_MS,
        )
    except (InvalidURI, ConfigurationError, ValueError):
        raise StoreUnavailable("MONGODB_URI is not a MongoDB URI") from None
    try:
        database = client.get_default_database(DEFAULT_DATABASE)
        try:
            await _make_indexes(database, keep_statuses)
        except OperationFailure as error:
            raise StoreUnavailable(
                f"MongoDB refuses to work with database {database.name!r} ({error.code})"
            ) from error
        except PyMongoError:
            raise StoreUnavailable("there is no MongoDB where MONGODB_URI points to") from None
        store = MongoStore(database)
        try:
            yield store
        finally:
            await store.close()
    finally:
        client.close()
