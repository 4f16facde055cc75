"""The small collections: registered models, status reports, and what was done by whom."""

from collections.abc import AsyncIterator
from datetime import datetime

from flaas.domain.device import StatusLine, StatusReport, read_line
from flaas.domain.event import Event
from flaas.domain.ports import Model
from flaas.store.documents import Document, Repository, dump, load, load_optional, streamed


class MongoModels(Repository):
    collection_name = "models"

    async def get(self, name: str) -> Model | None:
        document = await self._collection.find_one({"_id": name})
        return load_optional(Model, document)

    async def put(self, model: Model) -> None:
        values = dump(model)
        await self._collection.replace_one({"_id": model.name}, values, upsert=True)


class MongoStatuses(Repository):
    collection_name = "device_statuses"

    async def insert(self, report: StatusReport) -> None:
        await self._collection.insert_one(dump(report))

    async def since(self, moment: datetime) -> AsyncIterator[StatusLine]:
        # Not the whole of a report: it has some 3 KB.
        fields = {
            "user_id": 1,
            "at": 1,
            "device_info.app_details.version_code": 1,
            "device_info.battery_status": 1,
            "device_info.usage_stats_details.app_standby_bucket": 1,
        }
        found = self._collection.find({"at": {"$gte": moment}}, fields)
        async for document in streamed(found.sort([("user_id", 1), ("at", -1)])):
            yield read_line(document["user_id"], document["at"], document["device_info"])

    async def pings(self, start: datetime, end: datetime) -> AsyncIterator[tuple[datetime, str]]:
        pipeline = [
            {"$match": {"at": {"$gte": start, "$lt": end}, "request_id": None}},
            {"$project": {"at": 1, "user_id": 1}},
            {"$sort": {"at": -1, "_id": -1}},
            {
                "$lookup": {
                    "from": "users",
                    "localField": "user_id",
                    "foreignField": "_id",
                    "as": "user",
                }
            },
            {"$unwind": "$user"},
            {"$project": {"at": 1, "username": "$user.username"}},
        ]
        async for document in streamed(self._collection.aggregate(pipeline, allowDiskUse=True)):
            yield document["at"], document["username"]


class MongoEvents(Repository):
    collection_name = "events"

    async def record(self, event: Event) -> None:
        await self._collection.replace_one({"_id": event.id}, dump(event), upsert=True)

    async def find(self, project_id: int | None, since: datetime | None) -> AsyncIterator[Event]:
        query: Document = {} if project_id is None else {"project_id": project_id}
        if since is not None:
            query["at"] = {"$gte": since}
        found = self._collection.find(query).sort([("at", 1), ("_id", 1)])
        async for document in streamed(found):
            yield load(Event, document)
