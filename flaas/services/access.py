"""Who may touch which project: asked by every service that a phone can reach."""

from flaas.domain.device import User
from flaas.domain.errors import Forbidden, NotFound
from flaas.domain.ports import Store
from flaas.domain.project import Project
from flaas.domain.round import Round


async def project_of(store: Store, user: User, project_id: int) -> Project:
    """The project, for staff and for its members. Raises `NotFound`, `Forbidden`.

    A user who was loaded a moment ago may have been assigned since, so before a no the user is
    read again.
    """
    project = await store.projects.get(project_id)
    if project is None:
        raise NotFound(f"There is no project {project_id}.")
    if user.is_staff or user.project_id == project_id:
        return project
    current = await store.users.get(user.id)
    if current is None or current.project_id != project_id:
        raise Forbidden("You are not assigned to this project.")
    return project


async def round_of(store: Store, project: Project, number: int) -> Round:
    """Raises `NotFound`."""
    round_ = await store.rounds.by_number(project.id, number)
    if round_ is None:
        raise NotFound(f"Project {project.id} has no round {number}.")
    return round_
