"""The small collections: registered models, status reports, and what was done by whom."""

from datetime import datetime
from typing import Any

from flaas.domain.device import StatusReport
from flaas.domain.ports import Model
from flaas.store.documents import Repository, dump, load_optional


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


class MongoEvents(Repository):
    collection_name = "events"

    async def record(self, at: datetime, who: str, what: str, **facts: Any) -> None:
        await self._collection.insert_one({"at": at, "who": who, "what": what, **facts})
