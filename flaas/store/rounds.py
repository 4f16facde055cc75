"""Rounds. Every change of state is a compare-and-set on the one document."""

from datetime import datetime

from pymongo.errors import DuplicateKeyError

from flaas.domain.round import Phase, Round, RoundStatus
from flaas.store.documents import Repository, dump, lasting, load, load_optional

_OPEN = [RoundStatus.WAIT.value, RoundStatus.TRAINING.value]


class MongoRounds(Repository):
    collection_name = "rounds"

    async def by_number(self, project_id: int, number: int) -> Round | None:
        query = {"project_id": project_id, "number": number}
        return load_optional(Round, await self._collection.find_one(query))

    async def by_request(self, request_id: int) -> Round | None:
        query = {"request_id": request_id}
        return load_optional(Round, await self._collection.find_one(query))

    async def open_round(self, project_id: int) -> Round | None:
        # While one is sealed, the next exists already: the lower number is the open one.
        query = {"project_id": project_id, "status": {"$in": _OPEN}}
        return load_optional(Round, await self._collection.find_one(query, sort=[("number", 1)]))

    @lasting
    async def all(self, project_id: int) -> list[Round]:
        found = self._collection.find({"project_id": project_id}).sort("number")
        return [load(Round, document) async for document in found]

    @lasting
    async def spans(self) -> dict[int, tuple[datetime, datetime]]:
        pipeline = [
            {
                "$group": {
                    "_id": "$project_id",
                    "first": {"$min": "$create_date"},
                    "last": {"$max": "$create_date"},
                }
            }
        ]
        return {
            document["_id"]: (document["first"], document["last"])
            async for document in self._collection.aggregate(pipeline)
        }

    @lasting
    async def count(self, project_id: int) -> tuple[int, int]:
        query = {"project_id": project_id}
        complete = await self._collection.count_documents(
            {**query, "status": RoundStatus.COMPLETE.value}
        )
        newest = await self._collection.find_one(query, {"number": 1}, sort=[("number", -1)])
        return complete, newest["number"] + 1 if newest else 0

    async def insert(self, round_: Round) -> None:
        # A repeated step finds its round here; the id that it drew stays unused.
        existing = {"project_id": round_.project_id, "number": round_.number}
        if await self._collection.find_one(existing, {"_id": 1}) is None:
            try:
                await self._collection.insert_one(dump(round_))
            except DuplicateKeyError:
                if await self._collection.find_one(existing, {"_id": 1}) is None:
                    raise
            else:
                return
        waiting = {**existing, "status": RoundStatus.WAIT.value}
        renewed = {"$set": {"model_sha256": round_.model_sha256}}
        await self._collection.update_one(waiting, renewed)

    async def begin_training(self, round_id: int, now: datetime) -> None:
        await self._collection.update_one(
            {"_id": round_id, "status": RoundStatus.WAIT.value},
            {
                "$set": {
                    "status": RoundStatus.TRAINING.value,
                    "phase": Phase.NOTIFY.value,
                    "start_training_date": now,
                }
            },
        )

    async def move_phase(self, round_id: int, old: Phase | None, new: Phase | None) -> None:
        query = {"_id": round_id, "status": RoundStatus.TRAINING.value, "phase": old}
        await self._collection.update_one(query, {"$set": {"phase": new}})

    async def end_closing(self, round_id: int, registered: int) -> None:
        await self._collection.update_one(
            {"_id": round_id, "status": RoundStatus.TRAINING.value, "phase": Phase.CLOSING.value},
            {"$set": {"phase": Phase.COUNTED.value, "registered": registered}},
        )

    async def seal(
        self, round_id: int, status: RoundStatus, result_sha256: str | None, now: datetime
    ) -> None:
        await self._collection.update_one(
            {"_id": round_id, "status": RoundStatus.TRAINING.value, "phase": Phase.COUNTED.value},
            {
                "$set": {
                    "status": status.value,
                    "phase": None,
                    "stop_training_date": now,
                    "result_sha256": result_sha256,
                }
            },
        )

    @lasting
    async def delete_all(self, project_id: int) -> None:
        await self._collection.delete_many({"project_id": project_id})
