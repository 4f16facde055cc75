"""The lists of steps, as data."""

from typing import get_args

import pytest

from flaas.domain import decision
from flaas.domain.decision import Complete, Instruction, Rest
from flaas.domain.transitions import Step, all_step_lists, steps

INSTRUCTIONS: list[Instruction] = [
    decision.Open(),
    decision.Continue(),
    decision.Train(()),
    decision.Notify(),
    decision.Close("over"),
    Complete(last=False),
    Complete(last=True),
    decision.Invalidate("too few"),
    decision.Finish(),
]


def test_the_instructions_above_are_all_there_are() -> None:
    assert {type(one) for one in INSTRUCTIONS} | {Rest} == set(get_args(Instruction))


@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=str)
def test_an_instruction_has_steps(instruction: Instruction) -> None:
    assert steps(instruction)


def test_to_rest_takes_no_step() -> None:
    assert steps(Rest("nothing to do")) == ()


@pytest.mark.parametrize(
    ("instruction", "closing_step"),
    [
        (decision.Train(()), Step.BEGIN_TRAINING),
        (decision.Notify(), Step.END_NOTIFY),
        (decision.Close("over"), Step.END_CLOSING),
        (Complete(last=False), Step.SEAL_COMPLETE),
        (Complete(last=True), Step.SEAL_COMPLETE),
        (decision.Invalidate("too few"), Step.SEAL_INVALID),
        (decision.Finish(), Step.FINISH_PROJECT),
    ],
    ids=str,
)
def test_a_change_of_state_is_closed_by_a_compare_and_set(
    instruction: Instruction, closing_step: Step
) -> None:
    assert steps(instruction)[-1] is closing_step
    assert "compare-and-set" in closing_step.value


@pytest.mark.parametrize("instruction", [decision.Open(), decision.Continue()], ids=str)
def test_a_project_without_an_open_round_gets_it_last(instruction: Instruction) -> None:
    """There is no round to compare yet: that it exists is what closes the transition."""
    assert steps(instruction)[-1] is Step.OPEN_ROUND


def test_the_last_round_publishes_its_model_and_opens_no_other() -> None:
    assert Step.PUBLISH_AGGREGATE in steps(Complete(last=True))
    assert Step.OPEN_ROUND not in steps(Complete(last=True))
    assert Step.ADVANCE_PROJECT not in steps(Complete(last=True))


@pytest.mark.parametrize(
    ("instruction", "model"),
    [
        (decision.Open(), Step.COPY_INITIAL_MODEL),
        (decision.Continue(), Step.FIND_LAST_RESULT),
        (Complete(last=False), Step.PUBLISH_AGGREGATE),
        (decision.Invalidate("too few"), Step.CARRY_MODEL),
    ],
    ids=str,
)
def test_a_round_is_opened_only_when_its_model_is_there(
    instruction: Instruction, model: Step
) -> None:
    """A phone may ask for the model of any round that exists."""
    listed = steps(instruction)

    assert listed.index(model) < listed.index(Step.OPEN_ROUND)


@pytest.mark.parametrize(
    "instruction",
    [decision.Continue(), Complete(last=False), decision.Invalidate("too few")],
    ids=str,
)
def test_a_project_that_goes_on_points_to_its_next_round(instruction: Instruction) -> None:
    """Its first round has the number that a new project points to: 0."""
    assert {Step.OPEN_ROUND, Step.ADVANCE_PROJECT} <= set(steps(instruction))


def in_order(instruction: Instruction, *expected: Step) -> bool:
    listed = [step for step in steps(instruction) if step in expected]
    return listed == list(expected)


def test_the_cohort_is_written_before_training_begins() -> None:
    assert in_order(decision.Train(()), Step.FIX_COHORT, Step.BEGIN_TRAINING)


def test_answers_are_frozen_only_once_no_more_are_taken() -> None:
    assert in_order(
        decision.Close("over"), Step.BEGIN_CLOSING, Step.FREEZE_ANSWERS, Step.END_CLOSING
    )


@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=str)
def test_what_is_done_is_written_to_the_events_just_before_it_is_closed(
    instruction: Instruction,
) -> None:
    """Later, a crash could lose the event; earlier, it might tell of what never happened."""
    assert steps(instruction)[-2] is Step.RECORD_EVENT


def test_the_lists_that_tests_walk_are_those_that_run() -> None:
    listed = all_step_lists()

    assert sorted(listed.values()) == sorted(steps(one) for one in INSTRUCTIONS)
    assert {step for one in listed.values() for step in one} == set(Step)
