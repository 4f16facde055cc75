"""What to do next with a project: a pure function from what is known to one instruction.

A round walks through the states below; every arrow is one instruction, and every state between
two arrows is stored, so a process that died anywhere is followed by one that decides the same.

    (none) --Open or Continue--> WAIT --Train--> TRAINING/notify --Notify--> TRAINING --Close-->
    TRAINING/counted --Complete--> COMPLETE   or   --Invalidate--> INVALID
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from flaas.domain.device import DeviceStatus
from flaas.domain.project import Project, ProjectStatus
from flaas.domain.round import Member, Phase, Round, RoundStatus

STATUS_FRESH_FOR: Final = timedelta(minutes=60)
"""A device whose newest report is older is not asked to train."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision depends on.

    `round` is the project's one open round (waiting or training), None when there is none.
    `asked` and `answered` count distinct devices of that round.
    """

    project: Project
    round: Round | None
    completed_rounds: int
    next_number: int
    registered: int
    eligible: tuple[Member, ...] = ()
    asked: int = 0
    answered: int = 0


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do now, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Open:
    """Make the project's first round from its initial model."""


@dataclass(frozen=True, slots=True)
class Continue:
    """Make one more round after the last: the project was completed and got more rounds."""


@dataclass(frozen=True, slots=True)
class Train:
    """Ask this cohort, by device id, to train."""

    cohort: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Notify:
    """The cohort is asked; hand its pushes to the outbox."""


@dataclass(frozen=True, slots=True)
class Close:
    """Take no more answers, and freeze those that came."""

    reason: str


@dataclass(frozen=True, slots=True)
class Complete:
    """Average the counted updates into the next global model."""

    last: bool


@dataclass(frozen=True, slots=True)
class Invalidate:
    """Too few answers: the next round starts from the same model."""

    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Enough rounds are complete: the project is."""


Instruction = Rest | Open | Continue | Train | Notify | Close | Complete | Invalidate | Finish


def is_eligible(project: Project, status: DeviceStatus | None, now: datetime) -> bool:
    """Whether a device with this newest report may be asked to train."""
    if status is None or now - status.at > STATUS_FRESH_FOR:
        return False
    if status.power_plugged:
        return True
    return not project.power_plugged_only and _decimal(status.level) >= (
        project.battery_level_threshold
    )


def decide(snapshot: Snapshot, now: datetime) -> Instruction:
    """The one next instruction for a project."""
    project, round_ = snapshot.project, snapshot.round
    if project.status is not ProjectStatus.IN_PROGRESS:
        return Rest(f"the project is {project.status.value.lower()}")
    waits = round_ is not None and round_.status is RoundStatus.WAIT
    if (round_ is None or waits) and snapshot.completed_rounds >= project.number_of_rounds:
        # With a round that waits, the operator has since asked for fewer.
        return Finish()
    if round_ is None:
        return Continue() if snapshot.next_number else Open()
    if waits:
        return _decide_waiting(snapshot)
    match round_.phase:
        case Phase.NOTIFY:
            return Notify()
        case Phase.CLOSING:
            return Close("its closing was interrupted")
        case Phase.COUNTED:
            return _decide_counted(snapshot)
    return _decide_training(snapshot, round_, now)


def _decide_waiting(snapshot: Snapshot) -> Instruction:
    eligible, registered = len(snapshot.eligible), snapshot.registered
    if registered == 0:
        return Rest("no device is assigned to the project")
    wanted = snapshot.project.responses_ratio_threshold
    if eligible == 0 or not _reaches(eligible, registered, wanted):
        return Rest(f"{eligible}/{registered} devices eligible, {wanted} of them needed")
    return Train(tuple(sorted(snapshot.eligible)))


def _decide_training(snapshot: Snapshot, round_: Round, now: datetime) -> Instruction:
    if snapshot.asked and snapshot.answered >= snapshot.asked and _is_valid(snapshot):
        return Close("every asked device answered")
    minutes = snapshot.project.max_training_time
    started = round_.start_training_date or round_.create_date
    if now - started >= timedelta(minutes=minutes):
        return Close(f"{minutes} minutes are over")
    return Rest(f"training, {snapshot.answered}/{snapshot.asked} asked devices answered")


def _decide_counted(snapshot: Snapshot) -> Instruction:
    project = snapshot.project
    if not _is_valid(snapshot):
        return Invalidate(
            f"{snapshot.answered}/{snapshot.registered} devices answered, "
            f"{project.valid_round_training_threshold} of them needed"
        )
    return Complete(last=snapshot.completed_rounds + 1 >= project.number_of_rounds)


def _is_valid(snapshot: Snapshot) -> bool:
    """Never without an update: no threshold makes a model out of nothing."""
    return snapshot.answered > 0 and _reaches(
        snapshot.answered, snapshot.registered, snapshot.project.valid_round_training_threshold
    )


def _reaches(part: int, whole: int, ratio: Decimal) -> bool:
    """part / whole >= ratio, exactly, and true for an empty whole."""
    return part >= whole * ratio


def _decimal(level: float) -> Decimal:
    """As the phone printed it: 0.6 is 0.6, not the nearest binary fraction below."""
    return Decimal(repr(level))
