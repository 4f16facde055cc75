"""Accounts, and the devices behind them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pymongo.errors import BulkWriteError

from flaas.domain.device import DeviceDetails, DeviceStatus, User
from flaas.domain.ports import AlreadyExists
from flaas.store.documents import Document, Repository, dump, lasting, load, load_optional, streamed

_AFTER_ALL: Final = "\U0010ffff"
"""The last character there is; no username has it."""


class MongoUsers(Repository):
    collection_name = "users"

    async def get(self, user_id: int) -> User | None:
        return load_optional(User, await self._collection.find_one({"_id": user_id}))

    async def by_username(self, username: str) -> User | None:
        return load_optional(User, await self._collection.find_one({"username": username}))

    @lasting
    async def names_taken(self, usernames: Sequence[str]) -> list[str]:
        query = {"username": {"$in": list(usernames)}}
        found = self._collection.find(query, {"username": 1}).sort("_id")
        return [document["username"] async for document in found]

    @lasting
    async def insert(self, users: Sequence[User]) -> None:
        documents = [dump(user) for user in users]
        try:
            await self._collection.insert_many(documents)
        except BulkWriteError as error:
            # Inserted in order up to the taken one: those are taken back.
            ids = [document["_id"] for document in documents[: error.details["nInserted"]]]
            await self._collection.delete_many({"_id": {"$in": ids}})
            raise AlreadyExists from error

    async def change_access(self, user_id: int, values: Mapping[str, Any], valid_from: int) -> None:
        later = {"$max": [valid_from, {"$add": ["$tokens_valid_from", 1]}]}
        # In a pipeline a value that begins with $ would be a field's name, as hashes do.
        literal = {name: {"$literal": value} for name, value in values.items()}
        change = [{"$set": {**literal, "tokens_valid_from": later}}]
        await self._collection.update_one({"_id": user_id}, change)

    async def upgrade_hash(self, user_id: int, old: str, new: str) -> None:
        query = {"_id": user_id, "password_hash": old}
        await self._collection.update_one(query, {"$set": {"password_hash": new}})

    @lasting
    async def assign(self, prefix: str, project_id: int) -> int:
        members = _prefixed(prefix)
        result = await self._collection.update_many(members, {"$set": {"project_id": project_id}})
        if not result.matched_count:
            return 0
        others = {"project_id": project_id, "username": {"$not": members["username"]}}
        await self._collection.update_many(others, {"$set": {"project_id": None}})
        return int(result.matched_count)

    @lasting
    async def unassign(self, project_id: int) -> None:
        query = {"project_id": project_id}
        await self._collection.update_many(query, {"$set": {"project_id": None}})

    @lasting
    async def registered(self, project_id: int) -> int:
        query = {"project_id": project_id, "is_active": True}
        return int(await self._collection.count_documents(query))

    async def reporting_since(self, project_id: int, since: datetime) -> AsyncIterator[User]:
        query = {
            "project_id": project_id,
            "last_status.at": {"$gte": since},
            "is_active": True,
        }
        async for document in streamed(self._collection.find(query).sort("device_id")):
            yield load(User, document)

    async def members(self, project_id: int) -> AsyncIterator[User]:
        query = {"project_id": project_id, "is_active": True}
        async for document in streamed(self._collection.find(query).sort("_id")):
            yield load(User, document)

    async def devices(self, usernames: Sequence[str]) -> AsyncIterator[User]:
        query: Document = {"is_staff": False}
        if usernames:
            query["username"] = {"$in": list(usernames)}
        async for document in streamed(self._collection.find(query).sort("_id")):
            yield load(User, document)

    async def record_status(
        self, user_id: int, status: DeviceStatus, details: DeviceDetails | None
    ) -> None:
        values: Document = {"last_status": dump(status)}
        if details is not None:
            values["device"] = dump(details)
        older = {"_id": user_id, "last_status.at": {"$not": {"$gt": status.at}}}
        await self._collection.update_one(older, {"$set": values})


def _prefixed(prefix: str) -> Document:
    """Users that a prefix speaks of. Staff are not devices, whatever they are called."""
    # A regular expression would do too, up to the length that MongoDB takes.
    names = {"$gte": prefix, "$lt": prefix + _AFTER_ALL}
    return {"username": names, "is_staff": False}
