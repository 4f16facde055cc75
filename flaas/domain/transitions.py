"""How each instruction is carried out: a list of named, repeatable steps.

The lists are data so that they can be walked: by the executor, which runs them in order, and by
the tests, which kill a server before and after each of their steps. A step may run any number
of times and leaves the same state. The last step of a list closes the transition with one
compare-and-set on the round (or the project); until it is done, the next decision is the same
instruction again, and the list runs from its start. The event is written just before that: a
transition that dies there is carried out after all, and writes the same event again.
"""

from enum import StrEnum
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
    Train,
)


class Step(StrEnum):
    COPY_INITIAL_MODEL = "copy the initial model to the first round"
    FIND_LAST_RESULT = "find the model that the last round made"
    OPEN_ROUND = "insert the next round"
    FIX_COHORT = "write who is asked"
    BEGIN_TRAINING = "the round trains (compare-and-set)"
    QUEUE_PUSHES = "write the pushes to the outbox"
    END_NOTIFY = "the cohort is notified (compare-and-set)"
    BEGIN_CLOSING = "take no more answers (compare-and-set)"
    FREEZE_ANSWERS = "write who counts"
    END_CLOSING = "the answers are counted (compare-and-set)"
    PUBLISH_AGGREGATE = "write the next global model from the counted updates"
    CARRY_MODEL = "write the next global model as a copy of this round's"
    RECORD_EVENT = "write what is done to the events"
    ADVANCE_PROJECT = "the project points to the next round"
    SEAL_COMPLETE = "the round is complete (compare-and-set)"
    SEAL_INVALID = "the round is invalid (compare-and-set)"
    FINISH_PROJECT = "the project is completed (compare-and-set)"


_STEPS: Final[dict[type[Instruction], tuple[Step, ...]]] = {
    Rest: (),
    Open: (Step.COPY_INITIAL_MODEL, Step.RECORD_EVENT, Step.OPEN_ROUND),
    Continue: (
        Step.FIND_LAST_RESULT,
        Step.ADVANCE_PROJECT,
        Step.RECORD_EVENT,
        Step.OPEN_ROUND,
    ),
    Train: (Step.FIX_COHORT, Step.RECORD_EVENT, Step.BEGIN_TRAINING),
    Notify: (Step.QUEUE_PUSHES, Step.RECORD_EVENT, Step.END_NOTIFY),
    Close: (Step.BEGIN_CLOSING, Step.FREEZE_ANSWERS, Step.RECORD_EVENT, Step.END_CLOSING),
    Complete: (
        Step.PUBLISH_AGGREGATE,
        Step.OPEN_ROUND,
        Step.ADVANCE_PROJECT,
        Step.RECORD_EVENT,
        Step.SEAL_COMPLETE,
    ),
    Invalidate: (
        Step.CARRY_MODEL,
        Step.OPEN_ROUND,
        Step.ADVANCE_PROJECT,
        Step.RECORD_EVENT,
        Step.SEAL_INVALID,
    ),
    Finish: (Step.RECORD_EVENT, Step.FINISH_PROJECT),
}

_LAST_ROUND: Final = (Step.PUBLISH_AGGREGATE, Step.RECORD_EVENT, Step.SEAL_COMPLETE)
"""The last aggregate is still published as a next model, but no round starts from it."""


def steps(instruction: Instruction) -> tuple[Step, ...]:
    """The steps that carry `instruction` out, in order."""
    if isinstance(instruction, Complete) and instruction.last:
        return _LAST_ROUND
    return _STEPS[type(instruction)]


def all_step_lists() -> dict[str, tuple[Step, ...]]:
    """Every transition by name, for tests that walk them."""
    lists = {kind.__name__: listed for kind, listed in _STEPS.items() if listed}
    return {**lists, "Complete (last)": _LAST_ROUND}
