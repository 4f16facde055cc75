"""The store: what is remembered.

Every call may also raise `errors.Unavailable`: the database is away.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from flaas.domain.device import DeviceDetails, DeviceStatus, StatusLine, StatusReport, User
from flaas.domain.event import Event
from flaas.domain.outbox import PushBatch
from flaas.domain.project import Project
from flaas.domain.round import (
    JoinStatus,
    Member,
    Part,
    Participant,
    Phase,
    Results,
    Round,
    RoundStatus,
    Submission,
)
from flaas.domain.signin import Bound


class AlreadyExists(Exception):
    """A unique field has that value already."""


class Users(Protocol):
    async def get(self, user_id: int) -> User | None: ...
    async def by_username(self, username: str) -> User | None: ...
    async def names_taken(self, usernames: Sequence[str]) -> list[str]: ...
    async def insert(self, users: Sequence[User]) -> None:
        """All or none. Raises `AlreadyExists`."""

    async def change_access(self, user_id: int, values: Mapping[str, Any], valid_from: int) -> None:
        """Store these of `password_hash`, `is_staff` and `is_active`, and end the sessions.

        `tokens_valid_from` becomes `valid_from`, and later than it was in any case: a session that
        began between two changes of one second ends too.
        """

    async def upgrade_hash(self, user_id: int, old: str, new: str) -> None:
        """The same password under newer parameters; nothing where it changed meanwhile."""

    async def assign(self, prefix: str, project_id: int) -> int:
        """Make the users whose name starts with `prefix` the project's only members.

        How many there are; with none, nothing changes.
        """

    async def unassign(self, project_id: int) -> None: ...
    async def registered(self, project_id: int) -> int:
        """How many active devices are assigned to the project."""

    def reporting_since(self, project_id: int, since: datetime) -> AsyncIterator[User]:
        """Active devices of a project whose newest report is that young, by device id."""

    def members(self, project_id: int) -> AsyncIterator[User]:
        """The registered devices of a project, by id."""

    def devices(self, usernames: Sequence[str]) -> AsyncIterator[User]:
        """These devices, or all of them where none is named, by id."""

    async def record_status(
        self, user_id: int, status: DeviceStatus, details: DeviceDetails | None
    ) -> None:
        """Keep the newest status; an older one than what is stored changes nothing."""


class RefreshTokens(Protocol):
    async def is_retired(self, jti: str) -> bool: ...
    async def succeed(
        self, jti: str, until: datetime, successor: str, successor_until: datetime
    ) -> bool:
        """`successor` is handed out for `jti`. Each is remembered until it expires.

        False, and the successor is retired, when `jti` was retired meanwhile.
        """

    async def used(self, jti: str) -> None:
        """`jti` was used: its predecessor and its siblings are retired."""


class SignIns(Protocol):
    async def admit(self, key: str, bound: Bound) -> float:
        """Begin a try of a password. The seconds to wait before one may; 0: this one may.

        Its failure is counted already where the bound says so, and what it would cost holds
        for whoever comes next.
        """

    async def failed(self, key: str, bound: Bound) -> None:
        """Count the failure of an admitted try, where that was not done ahead."""

    async def withdraw(self, key: str, bound: Bound) -> None:
        """An admitted try did not fail: as if it had not been."""

    async def is_known(self, key: str) -> bool:
        """Whether this name signed in from this address lately."""

    async def know(self, key: str) -> None:
        """It just did."""


class Projects(Protocol):
    async def get(self, project_id: int) -> Project | None: ...
    async def all(self) -> list[Project]: ...
    async def in_progress(self) -> list[int]:
        """Ids of the projects that the scheduler looks at, ascending."""

    async def insert(self, project: Project) -> None:
        """Raises `AlreadyExists` when the title does."""

    async def update(self, project_id: int, values: Mapping[str, Any]) -> Project | None:
        """Raises `AlreadyExists` when the title does. None: no such project."""

    async def advance(self, project_id: int, number: int) -> None:
        """Move `current_round` up to `number`, never down."""

    async def finish(self, project_id: int) -> None:
        """In Progress → Completed."""

    async def using_model(self, model: str) -> bool: ...
    async def delete(self, project_id: int) -> None: ...


class Rounds(Protocol):
    async def by_number(self, project_id: int, number: int) -> Round | None: ...
    async def by_request(self, request_id: int) -> Round | None: ...
    async def open_round(self, project_id: int) -> Round | None:
        """The one that waits or trains."""

    async def all(self, project_id: int) -> list[Round]:
        """In the order of their numbers."""

    async def spans(self) -> dict[int, tuple[datetime, datetime]]:
        """Project id → creation of its first and of its last round."""

    async def count(self, project_id: int) -> tuple[int, int]:
        """How many are complete, and the number that the next one gets."""

    async def insert(self, round_: Round) -> None:
        """Where the project has a round of that number that waits, only its base is renewed."""

    async def begin_training(self, round_id: int, now: datetime) -> None:
        """WAIT → TRAINING/notify."""

    async def move_phase(self, round_id: int, old: Phase | None, new: Phase | None) -> None: ...
    async def end_closing(self, round_id: int, registered: int) -> None:
        """TRAINING/closing → TRAINING/counted, with what the answers are held against."""

    async def seal(
        self, round_id: int, status: RoundStatus, result_sha256: str | None, now: datetime
    ) -> None:
        """TRAINING/counted → `status`."""

    async def delete_all(self, project_id: int) -> None: ...


class Participants(Protocol):
    async def get(self, round_id: int, device_id: int) -> Participant | None: ...
    async def of_devices(self, round_id: int, device_ids: Sequence[int]) -> list[Participant]:
        """The parts that these devices have in the round."""

    async def all(self, round_id: int) -> list[Participant]:
        """In the order of first join, those who did not join last."""

    async def fix_cohort(self, round_id: int, cohort: Sequence[Member]) -> None:
        """Exactly these devices are asked."""

    def cohort(self, round_id: int) -> AsyncIterator[Member]:
        """The asked devices, by device id."""

    async def join(self, round_id: int, user: User, status: JoinStatus, now: datetime) -> None:
        """Record the first join, or move the join status of a later one."""

    async def reserve(
        self, round_id: int, device_id: int, claim: str, sha256: str, now: datetime
    ) -> bool:
        """Claim the device's file for one writer, as long as its answer is still open.

        False when it is not: reported, frozen, or claimed by an upload of other bytes. A claim
        for the same bytes is taken over: its upload may have died, and if it lives, either may
        write them.
        """

    async def submit(
        self, round_id: int, device_id: int, claim: str, submission: Submission
    ) -> bool:
        """Record what the claimed file now holds, and end the claim, unless it was taken over.

        False: other bytes have been stored since.
        """

    async def release(self, round_id: int, device_id: int, claim: str) -> None:
        """End a claim whose file was not written, unless it was taken over."""

    async def report(self, round_id: int, device_id: int, now: datetime) -> Participant | None:
        """Record the answer of a device whose update is stored, once.

        Returns the participant as it then is; `reported_at` None means that it came too late.
        """

    async def freeze(self, round_id: int) -> None:
        """Decide `counted` for every participant for which it is not decided."""

    async def reject(self, round_id: int, device_id: int, reason: str) -> None:
        """Leave a counted update out after all."""

    async def tally(self, round_id: int) -> tuple[int, int]:
        """Asked and answered devices; once frozen, answered are those that count."""

    async def all_answered(self, round_id: int) -> bool: ...
    async def counted(self, round_id: int) -> list[Participant]:
        """Whose updates are averaged, by device id."""

    def joins(self, round_ids: Sequence[int]) -> AsyncIterator[tuple[int, str]]:
        """Round id and username of who joined: by round, and there in the order of first join."""

    def join_counts(self, round_ids: Sequence[int]) -> AsyncIterator[tuple[str, int]]:
        """Username and number of joined rounds, by the users' ids."""

    def chosen(self, round_ids: Sequence[int], part: Part) -> AsyncIterator[tuple[int, User]]:
        """Who took that part in these rounds, with the round's id: by round and user id."""

    def results(self, round_ids: Sequence[int]) -> AsyncIterator[tuple[int, Results]]:
        """What devices measured in these rounds, with the round's id, by round."""

    async def record_results(self, round_id: int, device_id: int, results: Results) -> None: ...
    async def delete_all(self, round_ids: Sequence[int]) -> None: ...


class Statuses(Protocol):
    async def insert(self, report: StatusReport) -> None: ...
    def since(self, moment: datetime) -> AsyncIterator[StatusLine]:
        """Every report from then on: by user id, and there the newest first."""

    def pings(self, start: datetime, end: datetime) -> AsyncIterator[tuple[datetime, str]]:
        """Time and username of each ping from `start` up to, without, `end`, the newest first."""


class Outbox(Protocol):
    async def put(self, batch: PushBatch, now: datetime) -> None:
        """Nothing where a batch of that id was put before."""

    async def claim(self, now: datetime) -> PushBatch | None:
        """The batch that is due longest; nobody else gets it for a minute."""

    async def sent(self, batch_id: str) -> None: ...
    async def dropped(self, batch_id: str, reason: str) -> None: ...
    async def retry_at(self, batch_id: str, at: datetime, reason: str) -> None: ...
    async def next_due(self) -> datetime | None: ...
    async def delete_all(self, round_ids: Sequence[int]) -> None: ...


class Model(Struct, frozen=True, kw_only=True):
    """A registered model."""

    name: str
    parameters: int
    """float32 numbers; the file has four times as many bytes."""
    sha256: str


class Models(Protocol):
    async def get(self, name: str) -> Model | None: ...
    async def put(self, model: Model) -> None: ...


class Events(Protocol):
    async def record(self, event: Event) -> None:
        """In place of an earlier one of that id."""

    def find(self, project_id: int | None, since: datetime | None) -> AsyncIterator[Event]:
        """Of that project, or of all and none, from that time on: in the order of time."""


class Leases(Protocol):
    async def acquire(self, name: str, holder: str, seconds: float) -> bool:
        """Get or renew. False: another holder has it."""

    async def release(self, name: str, holder: str) -> None: ...


class Store(Protocol):
    """Everything that is remembered."""

    @property
    def users(self) -> Users: ...
    @property
    def refresh_tokens(self) -> RefreshTokens: ...
    @property
    def sign_ins(self) -> SignIns: ...
    @property
    def projects(self) -> Projects: ...
    @property
    def rounds(self) -> Rounds: ...
    @property
    def participants(self) -> Participants: ...
    @property
    def statuses(self) -> Statuses: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def models(self) -> Models: ...
    @property
    def events(self) -> Events: ...
    @property
    def leases(self) -> Leases: ...

    async def next_ids(self, kind: str, count: int = 1) -> int:
        """Reserve `count` consecutive 32-bit ids; the first of them."""

    async def time(self) -> datetime:
        """By the database's clock."""

    async def ping(self) -> None: ...
