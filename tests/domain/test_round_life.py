"""Whole lives of a project in memory: a process that dies between any two steps changes nothing."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from flaas.domain.project import ProjectStatus
from flaas.domain.round import Member, RoundStatus
from flaas.domain.transitions import Step

from . import records
from .records import unhurried
from .world import World

DEVICES = (Member(1, "phone-1"), Member(2, "phone-2"), Member(3, "phone-3"))

SCRIPT = [3, 1, 2, 0, 3]
"""Devices that answer, of three: round 1 has too few, round 3 has none."""


def lived(answering: list[int], deaths: frozenset[int] = frozenset()) -> World:
    """A project of three rounds that was completed, and then got a fourth."""
    project = records.project(number_of_rounds=3, valid_round_training_threshold=Decimal("0.66"))
    world = World(project, DEVICES, answering, deaths)
    world.live()
    assert world.project.status is ProjectStatus.COMPLETED
    assert max(world.models) == max(world.rounds) + 1, "the last aggregate is published too"
    world.project = replace(world.project, status=ProjectStatus.IN_PROGRESS, number_of_rounds=4)
    world.live()
    return world


def end(world: World) -> tuple[object, ...]:
    """All that is left of a life, but not how many steps it took."""
    return world.project, world.rounds, world.models, world.parts, world.pushed, world.now


def test_a_project_lives_until_enough_rounds_are_complete() -> None:
    world = lived(SCRIPT)

    complete, invalid = RoundStatus.COMPLETE, RoundStatus.INVALID
    assert [world.rounds[number].status for number in range(6)] == [
        complete,
        invalid,
        complete,
        invalid,
        complete,
        complete,
    ]
    assert world.models[0] == "initial"
    assert world.models[1] == "mean of [1, 2, 3] from (initial)"
    assert world.models[2] == world.models[1]
    assert world.models[3] == f"mean of [1, 2] from ({world.models[2]})"
    assert world.models[4] == world.models[3]
    assert world.models[5] == f"mean of [1, 2, 3] from ({world.models[4]})"
    assert world.models[6] == f"mean of [1, 2, 3] from ({world.models[5]})"
    assert sorted(world.models) == [0, 1, 2, 3, 4, 5, 6]
    assert sorted(world.rounds) == [0, 1, 2, 3, 4, 5]
    assert world.pushed == set(world.rounds)
    assert world.project.status is ProjectStatus.COMPLETED
    assert world.project.current_round == 5
    assert set(world.taken) == set(Step)


def test_a_process_that_dies_before_any_one_step_changes_nothing() -> None:
    whole = lived(SCRIPT)

    for step in range(whole.begun):
        assert end(lived(SCRIPT, frozenset({step}))) == end(whole), f"dead before step {step}"


@unhurried
@given(
    answering=st.lists(st.integers(0, 3), max_size=4),
    deaths=st.frozensets(st.integers(0, 100), max_size=30),
)
def test_a_process_that_dies_over_and_over_changes_nothing(
    answering: list[int], deaths: frozenset[int]
) -> None:
    assert end(lived(answering, deaths)) == end(lived(answering))
