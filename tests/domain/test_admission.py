"""What a phone may do: the table of PROTOCOL.md, cell by cell."""

from typing import Final

import pytest

from flaas.domain.admission import (
    Accept,
    Call,
    Compare,
    Period,
    Refuse,
    Verdict,
    admit,
    may_fetch_model,
    period,
)
from flaas.domain.errors import Conflict, FlaasError, Forbidden, Gone
from flaas.domain.round import Participant, Phase, Round, RoundStatus
from flaas.web import errors as web_errors

from . import records
from .records import NOW

STANDINGS: Final[dict[str, Participant | None]] = {
    "stranger": None,
    "joined, not asked": records.participant(joined_at=NOW),
    "asked": records.participant(requested=True),
    "submitted": records.participant(requested=True, submission=records.submission()),
    "reported": records.participant(
        requested=True, submission=records.submission(), reported_at=NOW
    ),
}

ROUNDS: Final[dict[str, Round]] = {
    "waits": records.round_(status=RoundStatus.WAIT),
    "trains": records.round_(status=RoundStatus.TRAINING),
    "notify": records.round_(status=RoundStatus.TRAINING, phase=Phase.NOTIFY),
    "closing": records.round_(status=RoundStatus.TRAINING, phase=Phase.CLOSING),
    "counted": records.round_(status=RoundStatus.TRAINING, phase=Phase.COUNTED),
    "complete": records.round_(status=RoundStatus.COMPLETE),
    "invalid": records.round_(status=RoundStatus.INVALID),
}

COLUMNS: Final = {
    "waits": ["waits"],
    # A cohort that is being notified is asked already: some of its phones may be at work.
    "trains": ["trains", "notify"],
    # A round that has begun to close takes no more answers.
    "closed": ["closing", "counted", "complete", "invalid"],
}

# A cell is the status that the phone gets. "+" records something, "=" records nothing new, and
# "same 200 / 410" asks whether the bytes are those that are stored. The cells that PROTOCOL.md
# marks with a dash cannot come about; a refusal that asks to wait is right for them.
TABLE: Final = """
    call            standing           | waits | trains         | closed
    JOIN            stranger           | 200 = | 200 +          | 200 =
    JOIN            joined, not asked  | 200 = | 200 +          | 200 =
    JOIN            asked              | 200 + | 200 +          | 200 =
    JOIN            submitted          | 200 + | 200 +          | 200 =
    JOIN            reported           | 200 + | 200 +          | 200 =
    SUBMIT_MODEL    stranger           | 409   | 403            | 403
    SUBMIT_MODEL    joined, not asked  | 409   | 403            | 403
    SUBMIT_MODEL    asked              | 409   | 201 +          | 410
    SUBMIT_MODEL    submitted          | 409   | 201 +          | same 200 / 410
    SUBMIT_MODEL    reported           | 409   | same 200 / 409 | same 200 / 410
    REPORT          stranger           | 409   | 409            | 410
    REPORT          joined, not asked  | 409   | 409            | 410
    REPORT          asked              | 409   | 409            | 410
    REPORT          submitted          | 409   | 201 +          | 201 =
    REPORT          reported           | 409   | 201 =          | 201 =
    SUBMIT_RESULTS  stranger           | 409   | 403            | 403
    SUBMIT_RESULTS  joined, not asked  | 409   | 403            | 403
    SUBMIT_RESULTS  asked              | 409   | 201 +          | 201 +
    SUBMIT_RESULTS  submitted          | 409   | 201 +          | 201 +
    SUBMIT_RESULTS  reported           | 409   | 201 +          | 201 +
"""


def _cells() -> list[tuple[Call, str, str, str]]:
    """(call, standing, state of the round, cell) for every state that a column stands for."""
    head, *lines = TABLE.strip().splitlines()
    columns = [name.strip() for name in head.split("|")[1:]]
    cells = []
    for line in lines:
        row, *values = [part.strip() for part in line.split("|")]
        call, standing = row.split(maxsplit=1)
        for column, cell in zip(columns, values, strict=True):
            cells += [(Call[call], standing, state, cell) for state in COLUMNS[column]]
    return cells


def _status_of(refusal: Refuse) -> int:
    return web_errors.answer(refusal.raised()).status


def _as_cell(verdict: Verdict) -> str:
    match verdict:
        case Accept(status=status, record=record):
            return f"{status} {'+' if record else '='}"
        case Refuse():
            return str(_status_of(verdict))
        case Compare(same=same, other=other):
            assert not same.record, "bytes that are stored already are not stored again"
            return f"same {same.status} / {_status_of(other)}"


@pytest.mark.parametrize(("call", "standing", "state", "cell"), _cells())
def test_a_phone_may_do_what_its_cell_of_the_table_says(
    call: Call, standing: str, state: str, cell: str
) -> None:
    assert _as_cell(admit(call, ROUNDS[state], STANDINGS[standing])) == cell


def test_the_table_above_has_a_row_for_every_call_and_standing() -> None:
    told = {(call, standing, state) for call, standing, state, _ in _cells()}

    assert told == {
        (call, standing, state) for call in Call for standing in STANDINGS for state in ROUNDS
    }


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("waits", Period.WAITS),
        ("trains", Period.TRAINS),
        ("notify", Period.TRAINS),
        ("closing", Period.CLOSED),
        ("counted", Period.CLOSED),
        ("complete", Period.CLOSED),
        ("invalid", Period.CLOSED),
    ],
)
def test_every_state_of_a_round_is_one_of_three_to_a_phone(state: str, expected: Period) -> None:
    assert period(ROUNDS[state]) is expected


@pytest.mark.parametrize(
    ("call", "standing", "state", "error", "way_out"),
    [
        (Call.SUBMIT_MODEL, "asked", "waits", Conflict, "not started"),
        (Call.SUBMIT_MODEL, "stranger", "trains", Forbidden, "not asked"),
        (Call.SUBMIT_MODEL, "asked", "complete", Gone, "over"),
        (Call.REPORT, "asked", "trains", Conflict, "Submit the model first"),
        (Call.REPORT, "asked", "invalid", Gone, "over"),
        (Call.SUBMIT_RESULTS, "stranger", "complete", Forbidden, "not asked"),
    ],
)
def test_a_refusal_says_what_to_do(
    call: Call, standing: str, state: str, error: type[FlaasError], way_out: str
) -> None:
    verdict = admit(call, ROUNDS[state], STANDINGS[standing])

    assert isinstance(verdict, Refuse)
    with pytest.raises(error, match=way_out):
        raise verdict.raised()


@pytest.mark.parametrize("call", Call)
def test_a_device_that_was_told_it_is_in_time_is_told_so_for_ever(call: Call) -> None:
    """What was counted changes nothing: only the report does."""
    for counted in (True, False):
        answered = records.participant(
            requested=True, submission=records.submission(), reported_at=NOW, counted=counted
        )
        for round_ in ROUNDS.values():
            assert admit(call, round_, answered) == admit(call, round_, STANDINGS["reported"])


WAITING = records.round_(number=3)
TRAINING = records.round_(number=3, status=RoundStatus.TRAINING)
COUNTED = records.round_(number=3, status=RoundStatus.TRAINING, phase=Phase.COUNTED)
COMPLETE = records.round_(number=3, status=RoundStatus.COMPLETE)
INVALID = records.round_(number=3, status=RoundStatus.INVALID)


@pytest.mark.parametrize(
    ("number", "known", "expected"),
    [
        (3, WAITING, True),
        (3, TRAINING, True),
        (3, COUNTED, True),
        (3, COMPLETE, True),
        (3, INVALID, True),
        (4, COMPLETE, True),  # the model after the last round
        (4, WAITING, False),
        (4, TRAINING, False),
        (4, COUNTED, False),  # perhaps written, perhaps half written
        (4, INVALID, False),
        (5, COMPLETE, False),
        (2, COMPLETE, False),
    ],
)
def test_a_model_can_be_fetched_when_its_round_exists_or_the_one_before_made_it(
    number: int, known: Round, expected: bool
) -> None:
    assert may_fetch_model(number, {known.number: known}) is expected


def test_a_project_without_rounds_has_no_model() -> None:
    assert not may_fetch_model(0, {})
    assert not may_fetch_model(1, {})
