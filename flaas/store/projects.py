"""Projects."""

from collections.abc import Mapping
from typing import Any

import msgspec
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from flaas.domain.ports import AlreadyExists
from flaas.domain.project import Project, ProjectStatus
from flaas.store.documents import Repository, dump, lasting, load, load_optional


class MongoProjects(Repository):
    collection_name = "projects"

    async def get(self, project_id: int) -> Project | None:
        return load_optional(Project, await self._collection.find_one({"_id": project_id}))

    @lasting
    async def all(self) -> list[Project]:
        return [load(Project, document) async for document in self._collection.find().sort("_id")]

    async def in_progress(self) -> list[int]:
        query = {"status": ProjectStatus.IN_PROGRESS.value}
        found = self._collection.find(query, {"_id": 1}).sort("_id")
        return [document["_id"] async for document in found]

    async def insert(self, project: Project) -> None:
        try:
            await self._collection.insert_one(dump(project))
        except DuplicateKeyError as error:
            raise AlreadyExists from error

    async def update(self, project_id: int, values: Mapping[str, Any]) -> Project | None:
        if not values:
            return await self.get(project_id)
        try:
            document = await self._collection.find_one_and_update(
                {"_id": project_id},
                {"$set": msgspec.to_builtins(values)},
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError as error:
            raise AlreadyExists from error
        return load_optional(Project, document)

    async def advance(self, project_id: int, number: int) -> None:
        await self._collection.update_one({"_id": project_id}, {"$max": {"current_round": number}})

    async def finish(self, project_id: int) -> None:
        query = {"_id": project_id, "status": ProjectStatus.IN_PROGRESS.value}
        completed = {"$set": {"status": ProjectStatus.COMPLETED.value}}
        await self._collection.update_one(query, completed)

    async def using_model(self, model: str) -> bool:
        return await self._collection.find_one({"model": model}, {"_id": 1}) is not None

    async def delete(self, project_id: int) -> None:
        await self._collection.delete_one({"_id": project_id})
