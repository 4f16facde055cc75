"""The life of rounds: look, decide, carry out, until there is nothing to do."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from flaas.domain.decision import STATUS_FRESH_FOR, Rest, Snapshot, decide, is_eligible
from flaas.domain.errors import NotFound
from flaas.domain.ports import Clock, Store
from flaas.domain.project import Project
from flaas.domain.round import Member, RoundStatus
from flaas.domain.story import describe, left_out
from flaas.services.aggregation import UpdatesDamaged
from flaas.services.lease import held
from flaas.services.transitions import Transitions

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Advance:
    """What a look at one project found and did.

    `busy`: another process was at it, so this one did nothing. `failed`: the log says why.
    """

    project_id: int
    title: str
    done: tuple[str, ...]
    now: str
    busy: bool = False
    failed: bool = False

    def __str__(self) -> str:
        return f"Project {self.project_id} ({self.title}): {'; '.join([*self.done, self.now])}"


def project_lease(project_id: int) -> str:
    """The name of the lease under which a project's rounds change."""
    return f"project:{project_id}"


@dataclass(frozen=True, slots=True)
class Rounds:
    store: Store
    transitions: Transitions
    clock: Clock

    async def in_progress(self) -> list[int]:
        """Ids of the projects that have rounds to move."""
        return await self.store.projects.in_progress()

    async def tick(self) -> AsyncIterator[Advance]:
        """Advance every project that is in progress; one that fails does not stop the others."""
        for project_id in await self.in_progress():
            try:
                yield await self.advance(project_id)
            except NotFound:
                continue  # deleted since
            except Exception:
                log.exception("project %d could not be advanced", project_id)
                yield Advance(
                    project_id,
                    "?",
                    (),
                    "failed, see the log; the next tick tries again",
                    failed=True,
                )

    async def advance(self, project_id: int) -> Advance:
        """Carry out decisions until the next one is to rest.

        Raises `NotFound` for no such project, `LeaseLost` when somebody else may be at work.
        """
        async with held(self.store.leases, project_lease(project_id)) as lease:
            if lease is None:
                project = await self._project(project_id)
                return Advance(project_id, project.title, (), "another tick is at work", busy=True)
            done: list[str] = []
            before: Snapshot | None = None
            while True:
                now = self.clock()
                snapshot = await self._look(project_id, now)
                instruction = decide(snapshot, now)
                if isinstance(instruction, Rest):
                    return Advance(
                        project_id,
                        snapshot.project.title,
                        tuple(done),
                        _where(snapshot, instruction),
                    )
                if snapshot == before:
                    raise RuntimeError(f"{instruction} of project {project_id} changes nothing")
                said = describe(snapshot, instruction)
                log.info("project %d: %s", project_id, said)
                try:
                    await self.transitions.carry_out(instruction, snapshot, now, lease)
                except UpdatesDamaged as error:
                    said = await self._reject(snapshot, error.damage, now)
                done.append(said)
                before = snapshot

    async def _reject(self, snapshot: Snapshot, damage: dict[int, str], now: datetime) -> str:
        """Leave damaged updates out; the next decision is on those that remain."""
        if snapshot.round is None or not damage:
            raise RuntimeError("an aggregate failed although its updates are as submitted")
        for device_id, reason in damage.items():
            log.error("the update of device %d is left out: %s", device_id, reason)
            await self.store.events.record(left_out(snapshot.round, device_id, reason, now))
            await self.store.participants.reject(snapshot.round.id, device_id, reason)
        return f"round {snapshot.round.number}: {len(damage)} damaged updates left out"

    async def _look(self, project_id: int, now: datetime) -> Snapshot:
        project = await self._project(project_id)
        round_ = await self.store.rounds.open_round(project_id)
        completed, next_number = await self.store.rounds.count(project_id)
        asked = answered = 0
        registered = await self.store.users.registered(project_id)
        eligible: tuple[Member, ...] = ()
        if round_ is not None and round_.status is RoundStatus.WAIT:
            eligible = await self._eligible(project, now)
        elif round_ is not None:
            asked, answered = await self.store.participants.tally(round_.id)
            # Once counted, what is decided does not change with the project's members.
            registered = registered if round_.registered is None else round_.registered
        return Snapshot(
            project=project,
            round=round_,
            completed_rounds=completed,
            next_number=next_number,
            registered=registered,
            eligible=eligible,
            asked=asked,
            answered=answered,
        )

    async def _eligible(self, project: Project, now: datetime) -> tuple[Member, ...]:
        reporting = self.store.users.reporting_since(project.id, now - STATUS_FRESH_FOR)
        return tuple(
            [
                Member(user.device_id, user.username)
                async for user in reporting
                if is_eligible(project, user.last_status, now)
            ]
        )

    async def _project(self, project_id: int) -> Project:
        project = await self.store.projects.get(project_id)
        if project is None:
            raise NotFound(f"There is no project {project_id}.")
        return project


def _where(snapshot: Snapshot, rest: Rest) -> str:
    if snapshot.round is None:
        return rest.reason
    return f"round {snapshot.round.number}: {rest.reason}"
