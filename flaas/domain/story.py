"""What the scheduler does, told: for the log, the operator and the events."""

from datetime import datetime
from typing import Final

from flaas.domain.decision import (
    Close,
    Complete,
    Continue,
    Finish,
    Instruction,
    Invalidate,
    Notify,
    Open,
    Rest,
    Snapshot,
    Train,
)
from flaas.domain.event import Event
from flaas.domain.round import Round

SCHEDULER: Final = "scheduler"


def describe(snapshot: Snapshot, instruction: Instruction) -> str:
    """One line for the log, the operator and the events."""
    number = snapshot.round.number if snapshot.round else snapshot.next_number
    match instruction:
        case Open() | Continue():
            return f"round {number} opened"
        case Train(cohort=cohort):
            return f"round {number} asks {len(cohort)}/{snapshot.registered} devices to train"
        case Notify():
            return f"round {number}: train requests queued"
        case Close(reason=reason):
            return f"round {number} closes: {reason}"
        case Complete():
            return f"round {number} is complete: {snapshot.answered} updates averaged"
        case Invalidate(reason=reason):
            return f"round {number} is invalid: {reason}"
        case Finish():
            return f"completed after {snapshot.completed_rounds} rounds"
        case Rest(reason=reason):
            return reason


def transition_event(snapshot: Snapshot, instruction: Instruction, now: datetime) -> Event:
    """The event of a transition. Carried out again after a crash, it has the same id."""
    number = snapshot.round.number if snapshot.round else snapshot.next_number
    identity = f"{snapshot.project.id}:{number}:{type(instruction).__name__}"
    if isinstance(instruction, Finish):
        # A project can be finished twice at one round, if an operator starts it again in between.
        identity += f":{now.isoformat()}"
    return Event(
        id=identity,
        at=now,
        who=SCHEDULER,
        what=describe(snapshot, instruction),
        project_id=snapshot.project.id,
        round=number,
    )


def left_out(round_: Round, device_id: int, reason: str, now: datetime) -> Event:
    """A counted update is not averaged after all."""
    return Event(
        id=f"{round_.project_id}:{round_.number}:left out:{device_id}",
        at=now,
        who=SCHEDULER,
        what=f"round {round_.number}: the update of device {device_id} is left out: {reason}",
        project_id=round_.project_id,
        round=round_.number,
    )
