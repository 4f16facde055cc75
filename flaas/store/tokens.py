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

    async def succeed(self, jti: str, successor: str, user_id: int, expires: datetime) -> None:
        document = {
            "_id": successor,
            "predecessor": jti,
            "user_id": user_id,
            "retired": False,
            "expires": expires,
        }
        await self._collection.insert_one(document)

    async def used(self, jti: str) -> None:
        document = await self._collection.find_one({"_id": jti})
        if document is None:
            return
        predecessor = document["predecessor"]
        await self._collection.update_one(
            {"_id": predecessor},
            {
                "$set": {"retired": True},
                "$setOnInsert": {
                    "predecessor": None,
                    "user_id": document["user_id"],
                    "expires": document["expires"],
                },
            },
            upsert=True,
        )
        siblings = {"predecessor": predecessor, "_id": {"$ne": jti}}
        await self._collection.update_many(siblings, {"$set": {"retired": True}})
