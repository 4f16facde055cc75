"""The life of a round: every arrow, and where exactly it begins."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    decide,
    is_eligible,
)
from flaas.domain.device import DeviceStatus
from flaas.domain.project import ProjectStatus
from flaas.domain.round import Member, Phase, RoundStatus

from . import records
from .records import NOW, unhurried

MILLISECOND = timedelta(milliseconds=1)
MINUTE = timedelta(minutes=1)

WAITING = records.round_()
TRAINING = records.round_(status=RoundStatus.TRAINING, start_training_date=NOW)
NOTIFYING = records.round_(status=RoundStatus.TRAINING, phase=Phase.NOTIFY, start_training_date=NOW)
CLOSING = records.round_(status=RoundStatus.TRAINING, phase=Phase.CLOSING, start_training_date=NOW)
COUNTED = records.round_(status=RoundStatus.TRAINING, phase=Phase.COUNTED, start_training_date=NOW)


def members(count: int) -> tuple[Member, ...]:
    return tuple(Member(number, f"phone-{number}") for number in range(count))


def snapshot(settings: dict[str, Any] | None = None, **known: Any) -> Snapshot:
    """A project of 20 rounds of which 3 are complete, with 10 devices."""
    base: dict[str, Any] = {
        "project": records.project(**(settings or {})),
        "round": None,
        "completed_rounds": 3,
        "next_number": 4,
        "registered": 10,
    }
    return Snapshot(**(base | known))


# --- between two rounds ---


@pytest.mark.parametrize(
    ("completed", "next_number", "wanted", "expected"),
    [
        (0, 0, 20, Open()),
        (20, 20, 20, Finish()),
        (20, 23, 20, Finish()),  # three rounds were invalid
        (20, 20, 10, Finish()),
        (20, 20, 21, Continue()),  # completed, and then given one round more
        (20, 23, 21, Continue()),
    ],
)
def test_a_project_without_an_open_round_opens_one_or_is_finished(
    completed: int, next_number: int, wanted: int, expected: Instruction
) -> None:
    known = snapshot(
        {"number_of_rounds": wanted}, completed_rounds=completed, next_number=next_number
    )

    assert decide(known, NOW) == expected


def test_enough_complete_rounds_finish_a_project_whose_next_round_only_waits() -> None:
    """An operator may lower the number of rounds while one waits."""
    known = snapshot(
        {"number_of_rounds": 3}, round=WAITING, completed_rounds=3, eligible=members(10)
    )

    assert decide(known, NOW) == Finish()


@pytest.mark.parametrize("status", [ProjectStatus.STOPPED, ProjectStatus.COMPLETED])
@pytest.mark.parametrize("round_", [None, WAITING, NOTIFYING, TRAINING, CLOSING, COUNTED])
def test_nothing_happens_in_a_project_that_is_not_in_progress(
    status: ProjectStatus, round_: Any
) -> None:
    known = snapshot({"status": status}, round=round_, eligible=members(10), asked=10, answered=10)

    assert isinstance(decide(known, NOW + 2 * timedelta(days=1)), Rest)


# --- waiting ---

# Ratios that binary fractions get wrong are among them: 0.07 × 100 is 7.000000000000001 there.
RATIOS = [
    (7, 10, "0.70", True),
    (6, 10, "0.70", False),
    (2, 3, "0.66", True),
    (2, 3, "0.67", False),
    (1, 3, "0.33", True),
    (1, 3, "0.34", False),
    (7, 100, "0.07", True),
    (29, 100, "0.29", True),
    (57, 100, "0.57", True),
    (28, 100, "0.29", False),
    (10, 10, "1.00", True),
    (9, 10, "1.00", False),
    (1, 1000, "0.00", True),
    (1, 1, "1.00", True),
]


@pytest.mark.parametrize(("part", "whole", "ratio", "enough"), RATIOS)
def test_training_begins_when_the_eligible_reach_their_ratio(
    part: int, whole: int, ratio: str, enough: bool
) -> None:
    known = snapshot(
        {"responses_ratio_threshold": Decimal(ratio)},
        round=WAITING,
        registered=whole,
        eligible=members(part),
    )

    assert isinstance(decide(known, NOW), Train if enough else Rest)


@unhurried
@given(part=st.integers(0, 5000), whole=st.integers(0, 5000), hundredths=st.integers(0, 100))
def test_ratios_are_compared_exactly(part: int, whole: int, hundredths: int) -> None:
    known = snapshot(
        {"valid_round_training_threshold": Decimal(hundredths) / 100},
        round=COUNTED,
        registered=whole,
        asked=part,
        answered=part,
    )
    valid = part > 0 and 100 * part >= hundredths * whole

    assert isinstance(decide(known, NOW), Complete if valid else Invalidate)


@pytest.mark.parametrize(("registered", "ratio"), [(0, "0.00"), (0, "0.80"), (10, "0.00")])
def test_nobody_is_never_a_cohort(registered: int, ratio: str) -> None:
    known = snapshot(
        {"responses_ratio_threshold": Decimal(ratio)}, round=WAITING, registered=registered
    )

    assert isinstance(decide(known, NOW), Rest)


def test_the_cohort_is_everybody_who_is_eligible_by_device_id() -> None:
    known = snapshot(round=WAITING, eligible=members(9)[::-1])

    assert decide(known, NOW) == Train(members(9))


# --- who is eligible ---

FRESH = timedelta(minutes=60)


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(0), True),
        (FRESH - MILLISECOND, True),
        (FRESH, True),
        (FRESH + MILLISECOND, False),
        (timedelta(days=1), False),
    ],
)
def test_a_report_counts_until_it_is_sixty_minutes_old(age: timedelta, expected: bool) -> None:
    status = DeviceStatus(at=NOW - age, power_plugged=True, level=1.0)

    assert is_eligible(records.project(), status, NOW) is expected


def test_a_device_that_never_reported_is_not_eligible() -> None:
    assert not is_eligible(records.project(), None, NOW)


@pytest.mark.parametrize(
    ("plugged_only", "threshold", "plugged", "level", "expected"),
    [
        (True, "0.60", True, 0.0, True),
        (True, "0.60", False, 1.0, False),
        (True, "0.00", False, 1.0, False),
        (False, "0.60", True, 0.0, True),
        (False, "0.60", False, 0.59, False),
        # As binary fractions, 0.6, 0.7 and 0.29 lie a little below what they are written as.
        (False, "0.60", False, 0.6, True),
        (False, "0.70", False, 0.7, True),
        (False, "0.29", False, 0.29, True),
        (False, "0.07", False, 0.07, True),
        (False, "0.60", False, 0.5999999, False),
        (False, "1.00", False, 1.0, True),
        (False, "1.00", False, 0.99, False),
        (False, "0.00", False, 0.0, True),
    ],
)
def test_power_decides_who_is_eligible(
    plugged_only: bool, threshold: str, plugged: bool, level: float, expected: bool
) -> None:
    asking = records.project(
        power_plugged_only=plugged_only, battery_level_threshold=Decimal(threshold)
    )
    status = DeviceStatus(at=NOW, power_plugged=plugged, level=level)

    assert is_eligible(asking, status, NOW) is expected


@unhurried
@given(hundredths=st.integers(0, 100), percent=st.integers(0, 100))
def test_a_battery_level_is_read_as_the_phone_wrote_it(hundredths: int, percent: int) -> None:
    asking = records.project(
        power_plugged_only=False, battery_level_threshold=Decimal(hundredths) / 100
    )
    status = DeviceStatus(at=NOW, level=percent / 100)

    assert is_eligible(asking, status, NOW) is (percent >= hundredths)


# --- training ---

HOUR = timedelta(minutes=60)


def test_an_asked_cohort_is_notified_before_anything_else() -> None:
    known = snapshot(round=NOTIFYING, asked=10, answered=10)

    assert decide(known, NOW + 2 * HOUR) == Notify()


@pytest.mark.parametrize(
    ("asked", "answered", "after", "closes"),
    [
        (10, 0, HOUR - MILLISECOND, False),
        (10, 0, HOUR, True),
        (10, 0, HOUR + MILLISECOND, True),
        (10, 9, HOUR - MILLISECOND, False),  # more answers can come
        (10, 9, HOUR, True),
        (10, 10, timedelta(0), True),
        (7, 7, timedelta(0), True),  # 7 of 10 are enough
        (6, 6, timedelta(0), False),  # all have answered, and are too few: time decides
        (6, 6, HOUR - MILLISECOND, False),
        (6, 6, HOUR, True),
        (0, 0, HOUR - MILLISECOND, False),
        (0, 0, HOUR, True),
    ],
)
def test_training_ends_when_all_have_answered_or_its_time_is_over(
    asked: int, answered: int, after: timedelta, closes: bool
) -> None:
    known = snapshot(round=TRAINING, asked=asked, answered=answered)

    assert isinstance(decide(known, NOW + after), Close if closes else Rest)


@pytest.mark.parametrize("minutes", [1, 60, 1440])
def test_the_time_of_a_round_is_the_project_s_and_runs_from_the_start_of_training(
    minutes: int,
) -> None:
    made_long_ago = records.round_(
        status=RoundStatus.TRAINING,
        create_date=NOW - timedelta(days=30),
        start_training_date=NOW,
    )
    known = snapshot({"max_training_time": minutes}, round=made_long_ago, asked=10)

    assert isinstance(decide(known, NOW + minutes * MINUTE - MILLISECOND), Rest)
    assert isinstance(decide(known, NOW + minutes * MINUTE), Close)


def test_a_close_that_was_interrupted_goes_on_whatever_the_time() -> None:
    assert isinstance(decide(snapshot(round=CLOSING, asked=10), NOW), Close)


# --- the result ---


@pytest.mark.parametrize(("part", "whole", "ratio", "enough"), RATIOS)
def test_a_round_is_valid_when_the_answers_reach_their_ratio(
    part: int, whole: int, ratio: str, enough: bool
) -> None:
    """Of the registered devices, not of those that were asked."""
    known = snapshot(
        {"valid_round_training_threshold": Decimal(ratio)},
        round=COUNTED,
        registered=whole,
        asked=part,
        answered=part,
    )

    assert isinstance(decide(known, NOW), Complete if enough else Invalidate)


@pytest.mark.parametrize("registered", [0, 10])
def test_no_threshold_makes_a_model_out_of_nothing(registered: int) -> None:
    known = snapshot(
        {"valid_round_training_threshold": Decimal("0.00")},
        round=COUNTED,
        registered=registered,
        asked=10,
    )

    assert isinstance(decide(known, NOW), Invalidate)


@pytest.mark.parametrize(
    ("completed", "number", "last"),
    [
        (0, 0, False),
        (18, 18, False),
        (19, 19, True),
        (18, 19, False),  # one round was invalid, and does not count
        (19, 24, True),
        (20, 20, True),  # the number was lowered while the round trained
    ],
)
def test_the_last_round_is_the_one_that_makes_enough_complete_ones(
    completed: int, number: int, last: bool
) -> None:
    round_ = records.round_(
        number=number, status=RoundStatus.TRAINING, phase=Phase.COUNTED, start_training_date=NOW
    )
    known = snapshot(
        round=round_, completed_rounds=completed, next_number=number + 1, asked=10, answered=10
    )

    assert decide(known, NOW) == Complete(last=last)


# --- whatever there is ---

RATIO = st.integers(0, 100).map(lambda hundredths: Decimal(hundredths) / 100)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    open_round = draw(
        st.none()
        | st.builds(
            records.round_,
            number=st.integers(0, 30),
            status=st.sampled_from([RoundStatus.WAIT, RoundStatus.TRAINING]),
            phase=st.none() | st.sampled_from(Phase),
            start_training_date=st.none() | st.just(NOW),
        )
    )
    settings = {
        "status": draw(st.sampled_from(ProjectStatus)),
        "number_of_rounds": draw(st.integers(1, 30)),
        "max_training_time": draw(st.integers(1, (2**31 - 1) // 60)),
        "responses_ratio_threshold": draw(RATIO),
        "valid_round_training_threshold": draw(RATIO),
    }
    return snapshot(
        settings,
        round=open_round,
        completed_rounds=draw(st.integers(0, 30)),
        next_number=draw(st.integers(0, 31)),
        registered=draw(st.integers(0, 12)),
        eligible=members(draw(st.integers(0, 12))),
        asked=draw(st.integers(0, 12)),
        answered=draw(st.integers(0, 12)),
    )


TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1)).map(
    lambda time: time.replace(tzinfo=NOW.tzinfo)
)


@unhurried
@given(known=snapshots(), now=TIMES)
def test_there_is_a_decision_whatever_is_known(known: Snapshot, now: datetime) -> None:
    decision = decide(known, now)

    assert decision == decide(known, now)
    if isinstance(decision, Complete):
        assert known.answered > 0
    if isinstance(decision, Train):
        assert decision.cohort
    if isinstance(decision, Rest):
        assert decision.reason
    elif known.round is None:
        assert isinstance(decision, Open | Continue | Finish)
    if known.project.status is not ProjectStatus.IN_PROGRESS:
        assert isinstance(decision, Rest)
