"""Updates on their way from a phone into the file store."""

import contextlib
import secrets
from dataclasses import dataclass

from flaas.aggregation.update import PARAMETER_BYTES
from flaas.domain.admission import Accept, Call, Compare, Refuse, admit
from flaas.domain.device import User
from flaas.domain.errors import Conflict, FlaasError, Malformed, NotFound, Unavailable
from flaas.domain.ports import Clock, Files, Store
from flaas.domain.round import MODEL_FILE, Round, Submission, update_key
from flaas.services.access import own_project, round_of
from flaas.services.incoming import Incoming


@dataclass(frozen=True, slots=True)
class Submissions:
    store: Store
    files: Files
    clock: Clock

    async def begin(
        self, user: User, project_id: int, number: int, file_name: str, length: int | None
    ) -> "Update":
        """Admit an update before its body is read. `length` is the announced one, in bytes.

        Raises what the admission table says, `Malformed` for a wrong length or name.
        """
        project = await own_project(self.store, user, project_id)
        round_ = await round_of(self.store, project, number)
        if file_name != MODEL_FILE:
            raise Malformed(f"The file's name must be {MODEL_FILE}.")
        participant = await self.store.participants.get(round_.id, user.device_id)
        verdict = admit(Call.SUBMIT_MODEL, round_, participant)
        if isinstance(verdict, Refuse):
            raise verdict.raised()
        model = await self.store.models.get(project.model)
        if model is None:
            raise NotFound(f"The model {project.model} is not registered.")
        expected = model.parameters * PARAMETER_BYTES
        if length is not None and length != expected:
            raise _wrong_length(expected, length)
        return Update(self, user, round_, expected, verdict)


class Update(Incoming[int]):
    """One update in flight; `finish` returns the status to answer with."""

    def __init__(
        self,
        service: Submissions,
        user: User,
        round_: Round,
        expected: int,
        verdict: Accept | Compare,
    ) -> None:
        key = update_key(round_.project_id, round_.number, user.device_id)
        stored = isinstance(verdict, Accept)
        super().__init__(service.files, key if stored else None, expected)
        self._stored = stored
        self._store = service.store
        self._clock = service.clock
        self._device_id = user.device_id
        self._round = round_

    def too_long(self) -> FlaasError:
        return _wrong_length(self.limit, self._received)

    async def finish(self) -> int:
        """Raises `Malformed` for a wrong length and for values that are not finite, and what the
        admission table says when the state changed while the body came in.
        """
        if self._received != self.limit:
            raise _wrong_length(self.limit, self._received)
        if self._non_finite.count:
            raise Malformed(
                f"The model has {self._non_finite.count} values that are not finite (NaN or Inf)."
            )
        sha256 = self._digest.hexdigest()
        return await (self._replace(sha256) if self._stored else self._compare(sha256))

    async def _replace(self, sha256: str) -> int:
        participants, round_id = self._store.participants, self._round.id
        now, claim = self._clock(), secrets.token_hex(8)
        if not await participants.reserve(round_id, self._device_id, claim, sha256, now):
            return await self._compare(sha256)
        try:
            await self._commit()
        except BaseException:
            with contextlib.suppress(Unavailable):
                await participants.release(round_id, self._device_id, claim)
            raise
        submission = Submission(sha256=sha256, size=self._received, at=now)
        if not await participants.submit(round_id, self._device_id, claim, submission):
            raise _another_upload()
        return 201

    async def _compare(self, sha256: str) -> int:
        """The device's answer is final, or another upload is being stored: ask the table again."""
        round_ = await self._store.rounds.by_number(self._round.project_id, self._round.number)
        participant = await self._store.participants.get(self._round.id, self._device_id)
        verdict = admit(Call.SUBMIT_MODEL, round_ or self._round, participant)
        match verdict:
            case Refuse():
                raise verdict.raised()
            case Accept():
                raise _another_upload()
            case Compare(same=same, other=other):
                stored = participant.submission if participant else None
                if stored is None or stored.sha256 != sha256:
                    raise other.raised()
                return same.status


def _another_upload() -> Conflict:
    return Conflict("Another upload of this model is being stored; send it again.")


def _wrong_length(expected: int, actual: int) -> Malformed:
    return Malformed(f"The model has {expected} bytes; {actual} were sent.")
