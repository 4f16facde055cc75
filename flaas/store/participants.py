"""Devices' parts in rounds: one document a (round, device), so that a repeat finds the first."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from pymongo import UpdateOne

from flaas.domain.device import User
from flaas.domain.round import JoinStatus, Member, Part, Participant, Results, Submission
from flaas.store.documents import Document, Repository, dump, lasting, load, load_optional, streamed

_BULK: Final = 1000

_CLAIM_LASTS: Final = timedelta(minutes=5)
"""A claim whose upload was never heard of again. The same bytes take it over at once."""

_ANSWERED: Final[Document] = {
    "requested": True,
    "reported_at": {"$ne": None},
    "counted": {"$ne": False},
}

_TOOK_PART: Final[dict[Part, Document]] = {
    Part.AVAILABLE: {"requested": True},
    Part.JOINED: {"joined_at": {"$ne": None}},
    Part.REPLIED: {"reported_at": {"$ne": None}},
}


class MongoParticipants(Repository):
    collection_name = "participants"

    async def get(self, round_id: int, device_id: int) -> Participant | None:
        document = await self._collection.find_one(_key(round_id, device_id))
        return load_optional(Participant, document)

    async def of_devices(self, round_id: int, device_ids: Sequence[int]) -> list[Participant]:
        query = {"round_id": round_id, "device_id": {"$in": list(device_ids)}}
        return [load(Participant, document) async for document in self._collection.find(query)]

    @lasting
    async def all(self, round_id: int) -> list[Participant]:
        found = self._collection.find({"round_id": round_id}).sort("device_id")
        participants = [load(Participant, document) async for document in found]
        joined = [one for one in participants if one.joined_at is not None]
        joined.sort(key=lambda one: (one.joined_at, one.device_id))
        return joined + [one for one in participants if one.joined_at is None]

    @lasting
    async def fix_cohort(self, round_id: int, cohort: Sequence[Member]) -> None:
        # An earlier try may have asked others. Nobody was told yet, so it is as if it never was.
        await self._collection.update_many({"round_id": round_id}, {"$set": {"requested": False}})
        for start in range(0, len(cohort), _BULK):
            await self._collection.bulk_write(
                [
                    UpdateOne(
                        _key(round_id, member.device_id),
                        {"$set": {"requested": True, "username": member.username}},
                        upsert=True,
                    )
                    for member in cohort[start : start + _BULK]
                ],
                ordered=False,
            )
        nobody = {"round_id": round_id, "requested": False, "joined_at": None}
        await self._collection.delete_many(nobody)

    async def cohort(self, round_id: int) -> AsyncIterator[Member]:
        query = {"round_id": round_id, "requested": True}
        fields = {"device_id": 1, "username": 1}
        async for document in streamed(self._collection.find(query, fields).sort("device_id")):
            yield Member(document["device_id"], document["username"])

    async def join(self, round_id: int, user: User, status: JoinStatus, now: datetime) -> None:
        # A pipeline, because the first join's time stays and only the status moves.
        await self._collection.update_one(
            _key(round_id, user.device_id),
            [
                {
                    "$set": {
                        "username": {"$literal": user.username},
                        "requested": {"$ifNull": ["$requested", False]},
                        "joined_at": {"$ifNull": ["$joined_at", now]},
                        "join_status": status.value,
                    }
                }
            ],
            upsert=True,
        )

    async def reserve(
        self, round_id: int, device_id: int, claim: str, sha256: str, now: datetime
    ) -> bool:
        free = [
            {"claim": None},
            {"claim.sha256": sha256},
            {"claim.at": {"$lt": now - _CLAIM_LASTS}},
        ]
        result = await self._collection.update_one(
            {
                **_key(round_id, device_id),
                "requested": True,
                "reported_at": None,
                "counted": None,
                "$or": free,
            },
            {"$set": {"claim": {"id": claim, "sha256": sha256, "at": now}}},
        )
        return bool(result.matched_count)

    async def submit(
        self, round_id: int, device_id: int, claim: str, submission: Submission
    ) -> bool:
        key, stored = _key(round_id, device_id), {"$set": {"submission": dump(submission)}}
        ours = {**key, "claim.id": claim}
        result = await self._collection.update_one(ours, {**stored, "$unset": {"claim": ""}})
        if result.matched_count:
            return True
        # Taken over by an upload of the same bytes: it holds the claim until it has written them
        # too, so no other bytes come in between.
        same = {**key, "claim.sha256": submission.sha256}
        result = await self._collection.update_one(same, stored)
        if result.matched_count:
            return True
        done = {**key, "submission.sha256": submission.sha256}
        return await self._collection.find_one(done, {"_id": 1}) is not None

    async def release(self, round_id: int, device_id: int, claim: str) -> None:
        claimed = {**_key(round_id, device_id), "claim.id": claim}
        await self._collection.update_one(claimed, {"$unset": {"claim": ""}})

    async def report(self, round_id: int, device_id: int, now: datetime) -> Participant | None:
        await self._collection.update_one(
            {
                **_key(round_id, device_id),
                "submission": {"$ne": None},
                "claim": None,
                "reported_at": None,
                "counted": None,
            },
            {"$set": {"reported_at": now}},
        )
        return await self.get(round_id, device_id)

    @lasting
    async def freeze(self, round_id: int) -> None:
        # One update a document, atomic there: whoever reports at this moment either counts or
        # is told that the round is over, never both.
        reported = {"$ne": [{"$ifNull": ["$reported_at", None]}, None]}
        undecided = {"round_id": round_id, "counted": None}
        await self._collection.update_many(undecided, [{"$set": {"counted": reported}}])

    async def reject(self, round_id: int, device_id: int, reason: str) -> None:
        values = {"counted": False, "rejected": reason}
        await self._collection.update_one(_key(round_id, device_id), {"$set": values})

    @lasting
    async def tally(self, round_id: int) -> tuple[int, int]:
        query = {"round_id": round_id, "requested": True}
        asked = await self._collection.count_documents(query)
        answered = await self._collection.count_documents({"round_id": round_id, **_ANSWERED})
        return int(asked), int(answered)

    async def all_answered(self, round_id: int) -> bool:
        silent = {"round_id": round_id, "requested": True, "reported_at": None}
        return await self._collection.find_one(silent, {"_id": 1}) is None

    @lasting
    async def counted(self, round_id: int) -> list[Participant]:
        query = {"round_id": round_id, **_ANSWERED}
        found = self._collection.find(query).sort("device_id")
        return [load(Participant, document) async for document in found]

    async def joins(self, round_ids: Sequence[int]) -> AsyncIterator[tuple[int, str]]:
        query = {"round_id": {"$in": list(round_ids)}, "joined_at": {"$ne": None}}
        order = [("round_id", 1), ("joined_at", 1), ("device_id", 1)]
        fields = {"round_id": 1, "username": 1}
        async for document in streamed(self._collection.find(query, fields).sort(order)):
            yield document["round_id"], document["username"]

    async def join_counts(self, round_ids: Sequence[int]) -> AsyncIterator[tuple[str, int]]:
        pipeline = [
            {"$match": {"round_id": {"$in": list(round_ids)}, "joined_at": {"$ne": None}}},
            {"$group": {"_id": "$device_id", "rounds": {"$sum": 1}}},
            {
                "$lookup": {
                    "from": "users",
                    "localField": "_id",
                    "foreignField": "device_id",
                    "as": "user",
                }
            },
            {"$unwind": "$user"},
            {"$project": {"username": "$user.username", "user_id": "$user._id", "rounds": 1}},
            {"$sort": {"user_id": 1}},
        ]
        async for document in streamed(self._collection.aggregate(pipeline, allowDiskUse=True)):
            yield document["username"], document["rounds"]

    async def chosen(self, round_ids: Sequence[int], part: Part) -> AsyncIterator[tuple[int, User]]:
        pipeline = [
            {"$match": {"round_id": {"$in": list(round_ids)}, **_TOOK_PART[part]}},
            {
                "$lookup": {
                    "from": "users",
                    "localField": "device_id",
                    "foreignField": "device_id",
                    "as": "user",
                }
            },
            {"$unwind": "$user"},
            {"$project": {"round_id": 1, "user": 1}},
            {"$sort": {"round_id": 1, "user._id": 1}},
        ]
        async for document in streamed(self._collection.aggregate(pipeline, allowDiskUse=True)):
            yield document["round_id"], load(User, document["user"])

    async def results(self, round_ids: Sequence[int]) -> AsyncIterator[tuple[int, Results]]:
        query = {"round_id": {"$in": list(round_ids)}, "results": {"$ne": None}}
        fields = {"round_id": 1, "results": 1}
        async for document in streamed(self._collection.find(query, fields).sort("round_id")):
            yield document["round_id"], load(Results, document["results"])

    async def record_results(self, round_id: int, device_id: int, results: Results) -> None:
        values = {"results": dump(results)}
        await self._collection.update_one(_key(round_id, device_id), {"$set": values})

    @lasting
    async def delete_all(self, round_ids: Sequence[int]) -> None:
        await self._collection.delete_many({"round_id": {"$in": list(round_ids)}})


def _key(round_id: int, device_id: int) -> Document:
    return {"round_id": round_id, "device_id": device_id}
