"""Projects: what operators do with them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from flaas.domain.device import User
from flaas.domain.errors import Conflict, Invalid, NotFound
from flaas.domain.event import changes
from flaas.domain.ports import AlreadyExists, Clock, Files, Store
from flaas.domain.project import Project, ProjectStatus, read_settings
from flaas.services.access import readable_project
from flaas.services.audit import record
from flaas.services.catalogue import Catalogue
from flaas.services.lease import held
from flaas.services.rounds import project_lease

_DELETE_TRIES: Final = 20
_DELETE_PAUSE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Projects:
    store: Store
    files: Files
    catalogue: Catalogue
    clock: Clock
    on_change: Callable[[int], None]
    """Called with the id of a project that may have become in progress."""

    async def visible_to(self, user: User) -> list[Project]:
        """All of them for staff, the assigned one for a phone."""
        if user.is_staff:
            return await self.store.projects.all()
        if user.project_id is None:
            return []
        project = await self.store.projects.get(user.project_id)
        return [project] if project else []

    async def get(self, user: User, project_id: int) -> Project:
        return await readable_project(self.store, user, project_id)

    async def create(self, user: User, payload: Any) -> Project:
        """Raises `Invalid`."""
        values = read_settings(payload, None, partial=False)
        await self._check_model(values, None)
        project = Project(
            **values, id=await self.store.next_ids("projects"), create_date=self.clock()
        )
        try:
            await self.store.projects.insert(project)
        except AlreadyExists:
            raise _title_taken() from None
        await record(
            self.store, self.clock(), "project created", project_id=project.id, after=values
        )
        self.on_change(project.id)
        return project

    async def change(self, user: User, project_id: int, payload: Any, *, partial: bool) -> Project:
        """Raises `Invalid`, `NotFound`."""
        current = await readable_project(self.store, user, project_id)
        values = read_settings(payload, current, partial=partial)
        await self._check_model(values, current)
        try:
            project = await self.store.projects.update(project_id, values)
        except AlreadyExists:
            raise _title_taken() from None
        if project is None:
            raise NotFound(f"There is no project {project_id}.")
        before, after = changes(msgspec.structs.asdict(current), values)
        await record(
            self.store,
            self.clock(),
            "project changed",
            project_id=project.id,
            before=before,
            after=after,
        )
        self.on_change(project.id)
        return project

    async def delete(self, user: User, project_id: int) -> None:
        """The project with all of its rounds and files.

        The project's own document goes last: a delete that was interrupted can be repeated.
        Raises `Conflict` when its rounds are being worked on for too long.
        """
        project = await readable_project(self.store, user, project_id)
        stopped = {"status": ProjectStatus.STOPPED}
        await self.store.projects.update(project_id, stopped)
        for _ in range(_DELETE_TRIES):
            async with held(self.store.leases, project_lease(project_id)) as lease:
                if lease is not None:
                    await self._delete_parts(project_id)
                    await record(
                        self.store,
                        self.clock(),
                        "project deleted",
                        project_id=project_id,
                        before={"title": project.title, "status": project.status},
                    )
                    return
            await asyncio.sleep(_DELETE_PAUSE_SECONDS)
        raise Conflict("A round of this project is being closed; try again in a moment.")

    async def _delete_parts(self, project_id: int) -> None:
        round_ids = [one.id for one in await self.store.rounds.all(project_id)]
        await self.store.users.unassign(project_id)
        await self.store.outbox.delete_all(round_ids)
        await self.store.participants.delete_all(round_ids)
        await self.store.rounds.delete_all(project_id)
        await self.files.delete_all(f"projects/{project_id}/")
        await self.store.projects.delete(project_id)

    async def _check_model(self, values: dict[str, Any], current: Project | None) -> None:
        name = values.get("model")
        if name is None:
            return
        if await self.catalogue.model(name) is None:
            raise Invalid({"model": [f"There is no model {name}; upload it first."]})
        if current is not None and name != current.model:
            _, next_number = await self.store.rounds.count(current.id)
            if next_number:
                raise Invalid({"model": ["The project has rounds; its model cannot change."]})


def _title_taken() -> Invalid:
    return Invalid({"title": ["A project with this title already exists."]})
