"""How many passwords failed lately, and who signed in from where.

Only the database's clock is asked, so that servers whose clocks differ agree on who has to wait.
Documents that have run out are deleted by MongoDB within a minute or so, and mean nothing before.
"""

from typing import Any, Final

from pymongo import ReturnDocument
from pymongo.write_concern import WriteConcern

from flaas.domain.signin import FORGOTTEN_AFTER, KNOWN_FOR, Bound, waits
from flaas.store.documents import Database, Document, Repository
from flaas.store.gate import Gate

_WINDOW: Final = FORGOTTEN_AFTER.total_seconds()
_KNOWN: Final = KNOWN_FOR.total_seconds()


class MongoSignIns(Repository):
    collection_name = "sign_ins"

    def __init__(self, database: Database, gate: Gate) -> None:
        super().__init__(database, gate)
        # A count that is lost with a killed mongod is worth no wait for its disk.
        quickly = WriteConcern(w=1, j=False)
        self._collection = self._collection.with_options(write_concern=quickly)

    async def admit(self, key: str, bound: Bound) -> float:
        document = await self._collection.find_one_and_update(
            {"_id": key},
            _admission(bound),
            projection={"wait": 1},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return float(document["wait"]) / 1000

    async def failed(self, key: str, bound: Bound) -> None:
        if not bound.ahead:
            await self._collection.update_one({"_id": key}, {"$inc": {"failures": 1}})

    async def withdraw(self, key: str, bound: Bound) -> None:
        left: Document = {"$max": [0, {"$subtract": ["$failures", int(bound.ahead)]}]}
        change = [{"$set": {"failures": left, "until": None}}]
        await self._collection.update_one({"_id": key}, change)

    async def is_known(self, key: str) -> bool:
        query = {"_id": f"known {key}", "$expr": {"$gt": ["$expires", "$$NOW"]}}
        return await self._collection.find_one(query, {"_id": 1}) is not None

    async def know(self, key: str) -> None:
        change = [{"$set": {"expires": _from_now(_KNOWN)}}]
        await self._collection.update_one({"_id": f"known {key}"}, change, upsert=True)


def _admission(bound: Bound) -> list[Document]:
    """Where nobody has to wait: count from none what has run out, and hold the place for as long
    as a failure of this try costs. `wait` becomes the milliseconds that there are to wait."""
    waiting = {"$gt": ["$wait", 0]}
    new = {"$lte": ["$expires", "$$NOW"]}
    steps = waits(bound)
    over = {"$max": [0, {"$subtract": [{"$add": ["$failures", 1]}, bound.free]}]}
    cost = {"$arrayElemAt": [steps, {"$min": [over, len(steps) - 1]}]}
    # No time at all where it costs none: commands at once differ in what they take for now.
    until = {"$cond": [{"$eq": [cost, 0]}, None, _from_now(cost)]}
    counted = {"$add": ["$failures", int(bound.ahead)]}
    return [
        {
            "$set": {
                "failures": {"$cond": [new, 0, "$failures"]},
                "expires": {"$cond": [new, _from_now(_WINDOW), "$expires"]},
                "wait": {"$max": [0, {"$subtract": ["$until", "$$NOW"]}]},
            }
        },
        {"$set": {"until": {"$cond": [waiting, "$until", until]}}},
        {"$set": {"failures": {"$cond": [waiting, "$failures", counted]}}},
    ]


def _from_now(seconds: Any) -> Document:
    return {"$add": ["$$NOW", {"$multiply": [seconds, 1000]}]}
