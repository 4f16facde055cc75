"""Pushes that are to be sent."""

import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from flaas.domain.outbox import PushBatch
from flaas.store.documents import Repository, dump, lasting, load_optional

_CLAIM_LASTS: Final = timedelta(minutes=2)
"""Longer than a push may take, by more than the minute that replicas' clocks may differ; after
it, a batch of a sender that died is due again."""


class MongoOutbox(Repository):
    collection_name = "outbox"

    async def put(self, batch: PushBatch, now: datetime) -> None:
        with contextlib.suppress(DuplicateKeyError):
            await self._collection.insert_one({**dump(batch), "state": "pending", "due": now})

    async def claim(self, now: datetime) -> PushBatch | None:
        document = await self._collection.find_one_and_update(
            {"state": "pending", "due": {"$lte": now}},
            {"$set": {"due": now + _CLAIM_LASTS}, "$inc": {"attempts": 1}},
            sort=[("due", 1), ("_id", 1)],
            return_document=ReturnDocument.AFTER,
        )
        return load_optional(PushBatch, document)

    async def sent(self, batch_id: str) -> None:
        await self._settle(batch_id, "sent", None)

    async def dropped(self, batch_id: str, reason: str) -> None:
        await self._settle(batch_id, "dropped", reason)

    async def retry_at(self, batch_id: str, at: datetime, reason: str) -> None:
        values = {"due": at, "reason": reason}
        pending = {"_id": batch_id, "state": "pending"}
        await self._collection.update_one(pending, {"$set": values})

    async def next_due(self) -> datetime | None:
        query = {"state": "pending"}
        document = await self._collection.find_one(query, {"due": 1}, sort=[("due", 1)])
        return document["due"] if document else None

    @lasting
    async def delete_all(self, round_ids: Sequence[int]) -> None:
        await self._collection.delete_many({"round_id": {"$in": list(round_ids)}})

    async def _settle(self, batch_id: str, state: str, reason: str | None) -> None:
        values = {"state": state, "reason": reason}
        pending = {"_id": batch_id, "state": "pending"}
        await self._collection.update_one(pending, {"$set": values})
