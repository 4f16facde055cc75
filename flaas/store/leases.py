"""Who may do what only one at a time may do.

Only the database's clock is asked, so replicas whose clocks differ agree on who holds a lease.
"""

from datetime import UTC, datetime
from typing import Final

from pymongo.errors import DuplicateKeyError

from flaas.store.documents import Repository

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class MongoLeases(Repository):
    collection_name = "leases"

    async def acquire(self, name: str, holder: str, seconds: float) -> bool:
        until = {"$add": ["$$NOW", int(seconds * 1000)]}
        free = {"$or": [{"$eq": ["$holder", holder]}, {"$lte": ["$until", "$$NOW"]}]}
        taken = [{"$set": {"holder": holder, "until": until}}]
        result = await self._collection.update_one({"_id": name, "$expr": free}, taken)
        if result.matched_count:
            return True
        # Held by another, or there is none of that name yet: an insert tells which.
        try:
            await self._collection.insert_one({"_id": name, "holder": holder, "until": _LONG_AGO})
        except DuplicateKeyError:
            return False
        result = await self._collection.update_one({"_id": name, "$expr": free}, taken)
        return bool(result.matched_count)

    async def release(self, name: str, holder: str) -> None:
        await self._collection.delete_one({"_id": name, "holder": holder})
