"""Who may touch which project: asked by every service that a phone can reach."""

from flaas.domain.device import User
from flaas.domain.errors import Forbidden, NotFound
from flaas.domain.ports import Store
from flaas.domain.project import Project
from flaas.domain.round import Round


async def readable_project(store: Store, user: User, project_id: int) -> Project:
    """The project, for staff and for its members. Raises `NotFound`, `Forbidden`."""
    project = await _project(store, project_id)
    if not user.is_staff:
        await _check_member(store, user, project_id)
    return project


async def own_project(store: Store, user: User, project_id: int) -> Project:
    """The project, for its members only: what takes part in a round is a device.

    Raises `NotFound`, `Forbidden`.
    """
    project = await _project(store, project_id)
    await _check_member(store, user, project_id)
    return project


async def _project(store: Store, project_id: int) -> Project:
    project = await store.projects.get(project_id)
    if project is None:
        raise NotFound(f"There is no project {project_id}.")
    return project


async def _check_member(store: Store, user: User, project_id: int) -> None:
    if user.project_id == project_id:
        return
    # The user was loaded a moment ago and may have been assigned since: read again before a no.
    current = await store.users.get(user.id)
    if current is None or current.project_id != project_id:
        raise Forbidden("You are not assigned to this project.")


async def round_of(store: Store, project: Project, number: int) -> Round:
    """Raises `NotFound`."""
    round_ = await store.rounds.by_number(project.id, number)
    if round_ is None:
        raise NotFound(f"Project {project.id} has no round {number}.")
    return round_
