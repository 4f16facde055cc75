"""Which refresh tokens were replaced by which.

Only tokens that took part in a rotation are known here: one that was issued elsewhere with the
same secret is as good as ours until it is used.
"""

from datetime import datetime

from flaas.store.documents import Repository


class MongoRefreshTokens(Repository):
    collection_name = "refresh_tokens"

    async def is_retired(self, jti: str) -> bool:
        document = await self._collection.find_one({"_id": jti}, {"retired": 1})
        return document is not None and document["retired"]

    async def succeed(
        self, jti: str, until: datetime, successor: str, successor_until: datetime
    ) -> bool:
        first = {"predecessor": None, "retired": False, "expires": until}
        await self._collection.update_one({"_id": jti}, {"$setOnInsert": first}, upsert=True)
        next_one = {"predecessor": jti, "retired": False, "expires": successor_until}
        await self._collection.insert_one({"_id": successor, **next_one})
        # Asked after the insert: whoever retires `jti` retires what it then finds handed out for
        # it, so either they see this successor, or this sees what they did.
        if not await self.is_retired(jti):
            return True
        await self._collection.update_one({"_id": successor}, {"$set": {"retired": True}})
        return False

    async def used(self, jti: str) -> None:
        document = await self._collection.find_one({"_id": jti}, {"predecessor": 1})
        if document is None or document["predecessor"] is None:
            return
        predecessor = document["predecessor"]
        retired = {"$set": {"retired": True}}
        await self._collection.update_one({"_id": predecessor}, retired)
        siblings = {"predecessor": predecessor, "_id": {"$ne": jti}}
        await self._collection.update_many(siblings, retired)
