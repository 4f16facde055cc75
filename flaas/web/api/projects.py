"""Projects."""

from flaas.web.access import Access, allow
from flaas.web.api.views import project_view
from flaas.web.base import Handler


class ProjectList(Handler):
    @allow(Access.SIGNED_IN)
    async def get(self) -> None:
        projects = await self.services.projects.visible_to(self.user)
        self.write_json([project_view(project) for project in projects])

    @allow(Access.STAFF)
    async def post(self) -> None:
        project = await self.services.projects.create(self.user, self.json())
        self.write_json(project_view(project), 201)


class ProjectDetail(Handler):
    @allow(Access.SIGNED_IN)
    async def get(self, project_id: str) -> None:
        project = await self.services.projects.get(self.user, self.number(project_id))
        self.write_json(project_view(project))

    @allow(Access.STAFF)
    async def put(self, project_id: str) -> None:
        await self._change(project_id, partial=False)

    @allow(Access.STAFF)
    async def patch(self, project_id: str) -> None:
        await self._change(project_id, partial=True)

    @allow(Access.STAFF)
    async def delete(self, project_id: str) -> None:
        await self.services.projects.delete(self.user, self.number(project_id))
        self.set_status(204)

    async def _change(self, project_id: str, *, partial: bool) -> None:
        project = await self.services.projects.change(
            self.user, self.number(project_id), self.json(), partial=partial
        )
        self.write_json(project_view(project))
