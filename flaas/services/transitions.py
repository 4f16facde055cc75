"""Carries instructions out, step by step. The lists of steps are `domain.transitions`'."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from flaas.domain.decision import Instruction, Snapshot, Train
from flaas.domain.outbox import USERS_PER_BATCH, train_request
from flaas.domain.ports import Files, Model, Store
from flaas.domain.project import INT_MAX, Project
from flaas.domain.round import Phase, Round, RoundStatus, global_model_key, initial_model_key
from flaas.domain.story import transition_event
from flaas.domain.transitions import Step, steps
from flaas.services.aggregation import Aggregation
from flaas.services.lease import Lease

_IDS: Final = "rounds"


@dataclass(slots=True)
class _Work:
    """One transition on its way. A step may leave something for a later one."""

    instruction: Instruction
    snapshot: Snapshot
    now: datetime
    next_sha256: str = ""

    @property
    def project(self) -> Project:
        return self.snapshot.project

    @property
    def round(self) -> Round:
        if self.snapshot.round is None:
            raise LookupError("this instruction needs a round")
        return self.snapshot.round

    @property
    def next_number(self) -> int:
        if self.snapshot.round is None:
            return self.snapshot.next_number
        return self.snapshot.round.number + 1


class Transitions:
    def __init__(self, store: Store, files: Files, aggregation: Aggregation) -> None:
        self._store = store
        self._files = files
        self._aggregation = aggregation
        self._actions: dict[Step, Callable[[_Work], Awaitable[None]]] = {
            Step.COPY_INITIAL_MODEL: self._copy_initial_model,
            Step.FIND_LAST_RESULT: self._find_last_result,
            Step.OPEN_ROUND: self._open_round,
            Step.FIX_COHORT: self._fix_cohort,
            Step.BEGIN_TRAINING: self._begin_training,
            Step.QUEUE_PUSHES: self._queue_pushes,
            Step.END_NOTIFY: self._end_notify,
            Step.BEGIN_CLOSING: self._begin_closing,
            Step.FREEZE_ANSWERS: self._freeze_answers,
            Step.END_CLOSING: self._end_closing,
            Step.PUBLISH_AGGREGATE: self._publish_aggregate,
            Step.CARRY_MODEL: self._carry_model,
            Step.RECORD_EVENT: self._record_event,
            Step.ADVANCE_PROJECT: self._advance_project,
            Step.SEAL_COMPLETE: self._seal_complete,
            Step.SEAL_INVALID: self._seal_invalid,
            Step.FINISH_PROJECT: self._finish_project,
        }

    async def carry_out(
        self, instruction: Instruction, snapshot: Snapshot, now: datetime, lease: Lease
    ) -> None:
        """Run the steps of `instruction`.

        Raises `LeaseLost` before a step that may no longer be ours, and `UpdatesDamaged` when
        there is no aggregate; what was done until then stays, and a repeat finds it.
        """
        work = _Work(instruction, snapshot, now)
        for step in steps(instruction):
            lease.check()
            await self._actions[step](work)

    # --- opening ---

    async def _copy_initial_model(self, work: _Work) -> None:
        model = await self._model(work.project)
        target = global_model_key(work.project.id, work.next_number)
        await self._files.copy(initial_model_key(model.name), target)
        work.next_sha256 = model.sha256

    async def _find_last_result(self, work: _Work) -> None:
        last = await self._store.rounds.by_number(work.project.id, work.next_number - 1)
        if last is None or last.result_sha256 is None:
            raise LookupError(f"project {work.project.id} has no model to continue from")
        work.next_sha256 = last.result_sha256

    async def _open_round(self, work: _Work) -> None:
        project = work.project
        round_id = await self._store.next_ids(_IDS)
        await self._store.rounds.insert(
            Round(
                id=round_id,
                request_id=round_id,
                project_id=project.id,
                number=work.next_number,
                create_date=work.now,
                number_of_samples=project.number_of_samples,
                number_of_epochs=project.number_of_epochs,
                seed=secrets.randbelow(INT_MAX) if project.seed is None else project.seed,
                model_sha256=work.next_sha256,
            )
        )

    async def _advance_project(self, work: _Work) -> None:
        await self._store.projects.advance(work.project.id, work.next_number)

    async def _record_event(self, work: _Work) -> None:
        event = transition_event(work.snapshot, work.instruction, work.now)
        await self._store.events.record(event)

    async def _finish_project(self, work: _Work) -> None:
        await self._store.projects.finish(work.project.id)

    # --- asking ---

    async def _fix_cohort(self, work: _Work) -> None:
        if isinstance(work.instruction, Train):
            await self._store.participants.fix_cohort(work.round.id, work.instruction.cohort)

    async def _begin_training(self, work: _Work) -> None:
        await self._store.rounds.begin_training(work.round.id, work.now)

    async def _queue_pushes(self, work: _Work) -> None:
        index, usernames = 0, list[str]()
        async for member in self._store.participants.cohort(work.round.id):
            usernames.append(member.username)
            if len(usernames) == USERS_PER_BATCH:
                await self._queue(work, index, usernames)
                index, usernames = index + 1, []
        if usernames:
            await self._queue(work, index, usernames)

    async def _queue(self, work: _Work, index: int, usernames: list[str]) -> None:
        batch = train_request(work.project, work.round, index, usernames)
        await self._store.outbox.put(batch, work.now)

    async def _end_notify(self, work: _Work) -> None:
        await self._store.rounds.move_phase(work.round.id, Phase.NOTIFY, None)

    # --- closing ---

    async def _begin_closing(self, work: _Work) -> None:
        await self._store.rounds.move_phase(work.round.id, None, Phase.CLOSING)

    async def _freeze_answers(self, work: _Work) -> None:
        await self._store.participants.freeze(work.round.id)

    async def _end_closing(self, work: _Work) -> None:
        await self._store.rounds.end_closing(work.round.id, work.snapshot.registered)

    async def _publish_aggregate(self, work: _Work) -> None:
        model = await self._model(work.project)
        counted = await self._store.participants.counted(work.round.id)
        work.next_sha256 = await self._aggregation.publish(work.round, counted, model.parameters)

    async def _carry_model(self, work: _Work) -> None:
        project_id, number = work.project.id, work.round.number
        await self._files.copy(
            global_model_key(project_id, number), global_model_key(project_id, number + 1)
        )
        work.next_sha256 = work.round.model_sha256

    async def _seal_complete(self, work: _Work) -> None:
        await self._store.rounds.seal(
            work.round.id, RoundStatus.COMPLETE, work.next_sha256, work.now
        )

    async def _seal_invalid(self, work: _Work) -> None:
        await self._store.rounds.seal(work.round.id, RoundStatus.INVALID, None, work.now)

    async def _model(self, project: Project) -> Model:
        model = await self._store.models.get(project.model)
        if model is None:
            raise LookupError(f"the model {project.model} is not registered")
        return model
