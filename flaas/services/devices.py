"""What phones say and fetch, apart from their updates."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from flaas.domain.admission import Accept, Call, Refuse, admit, may_fetch_model
from flaas.domain.device import StatusReport, User, check_info, read_details, read_status
from flaas.domain.errors import Conflict, Invalid, Malformed, NotFound
from flaas.domain.performance import read_results
from flaas.domain.ports import Clock, Files, Store
from flaas.domain.project import APPS, DatasetType, Project
from flaas.domain.round import (
    RESULTS_FILE,
    JoinStatus,
    Round,
    RoundStatus,
    global_model_key,
    results_key,
    samples_key,
)
from flaas.services.access import own_project, readable_project, round_of

_PING: Final = "device-ping"
_TRAIN: Final = "device-train"


@dataclass(frozen=True, slots=True)
class Devices:
    store: Store
    files: Files
    clock: Clock
    on_answer: Callable[[int], None]
    """Called with the project's id when the last asked device of a round has answered."""

    async def join(
        self, user: User, project_id: int, number: int, status: JoinStatus
    ) -> tuple[Project, Round]:
        """The round, and the caller's join recorded where the admission table says so."""
        project = await own_project(self.store, user, project_id)
        round_ = await round_of(self.store, project, number)
        participant = await self.store.participants.get(round_.id, user.device_id)
        verdict = admit(Call.JOIN, round_, participant)
        if isinstance(verdict, Accept) and verdict.record:
            await self.store.participants.join(round_.id, user, status, self.clock())
        return project, round_

    async def report(
        self, user: User, request_type: str, request_id: int | None, info: dict[str, Any]
    ) -> bool | None:
        """Keep an availability report.

        For a device-train report, whether the answer counts; None for a ping. Raises `Invalid`,
        `NotFound` for an unknown request, `Forbidden`, and what the admission table says.
        """
        check_info(info)
        round_ = await self._reported_round(user, request_type, request_id)
        counted = await self._answer(user, round_) if round_ else None
        now = self.clock()
        report = StatusReport(
            at=now,
            user_id=user.id,
            device_id=user.device_id,
            request_id=request_id if round_ else None,
            device_info=info,
        )
        await self.store.statuses.insert(report)
        await self.store.users.record_status(user.id, read_status(info, now), read_details(info))
        return counted

    async def _reported_round(
        self, user: User, request_type: str, request_id: int | None
    ) -> Round | None:
        if request_type == _PING:
            return None
        if request_type != _TRAIN:
            raise Invalid({"request_type": [f"Expected {_PING!r} or {_TRAIN!r}."]})
        if request_id is None:
            raise Invalid({"request_id": ["This field is required."]})
        round_ = await self.store.rounds.by_request(request_id)
        if round_ is None:
            raise NotFound(f"There is no request {request_id}.")
        await own_project(self.store, user, round_.project_id)
        return round_

    async def _answer(self, user: User, round_: Round) -> bool:
        participants = self.store.participants
        participant = await participants.get(round_.id, user.device_id)
        verdict = admit(Call.REPORT, round_, participant)
        if isinstance(verdict, Refuse):
            raise verdict.raised()
        if isinstance(verdict, Accept) and verdict.record:
            participant = await participants.report(round_.id, user.device_id, self.clock())
            if participant and participant.reported_at is None and participant.counted is None:
                raise Conflict("The model is still being stored; report again.")
        answered = participant is not None and participant.reported_at is not None
        # Asked on a repeat too: whoever took the first report may have died before this line.
        trains = round_.status is RoundStatus.TRAINING
        if answered and trains and await participants.all_answered(round_.id):
            self.on_answer(round_.project_id)
        return answered

    async def submit_results(
        self, user: User, project_id: int, number: int, file_name: str, body: bytes
    ) -> None:
        """Keep a device's measurements, in place of earlier ones."""
        project = await own_project(self.store, user, project_id)
        round_ = await round_of(self.store, project, number)
        if file_name != RESULTS_FILE:
            raise Malformed(f"The file's name must be {RESULTS_FILE}.")
        participant = await self.store.participants.get(round_.id, user.device_id)
        verdict = admit(Call.SUBMIT_RESULTS, round_, participant)
        if isinstance(verdict, Refuse):
            raise verdict.raised()
        try:
            document = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Malformed("The body is not a JSON object.") from None
        async with self.files.create(results_key(project_id, number, user.device_id)) as out:
            await out.write(body)
            await out.commit()
        results = read_results(document, project.training_mode)
        await self.store.participants.record_results(round_.id, user.device_id, results)

    async def samples(self, user: User, dataset_type: str, app: int) -> str:
        """The key of the caller's own samples of an app. Raises `NotFound`."""
        if dataset_type not in list(DatasetType) or not 0 <= app < len(APPS):
            raise NotFound("There are no samples of that type and app.")
        if user.samples_index is None:
            raise NotFound("No samples are assigned to this account.")
        return samples_key(dataset_type, user.samples_index, app)

    async def model(self, user: User, project_id: int, number: int) -> str:
        """The key of the global model that a round starts from. Raises `NotFound`."""
        project = await readable_project(self.store, user, project_id)
        rounds = {}
        for near in (number - 1, number):
            found = await self.store.rounds.by_number(project.id, near)
            if found is not None:
                rounds[near] = found
        if not may_fetch_model(number, rounds):
            raise NotFound(f"Project {project.id} has no model for round {number} yet.")
        return global_model_key(project.id, number)
