"""Which files have an owner."""

import pytest

from flaas.domain.ownership import Place, place_of, why_ownerless
from flaas.domain.round import (
    Participant,
    Round,
    RoundStatus,
    global_model_key,
    results_key,
    update_key,
)

from ..store.records import round_, submission

SEALED = (RoundStatus.COMPLETE, RoundStatus.INVALID)
OPEN = (RoundStatus.WAIT, RoundStatus.TRAINING)


def part(**values: object) -> Participant:
    return Participant(round_id=1, device_id=7, username="x", **values)  # type: ignore[arg-type]


def rounds(*states: RoundStatus) -> dict[int, Round]:
    return {number: round_(number, status=status) for number, status in enumerate(states)}


def test_the_places_are_those_of_the_bucket_s_layout() -> None:
    assert place_of(global_model_key(3, 5)) == Place(3, 5, None, is_results=False)
    assert place_of(update_key(3, 5, 7)) == Place(3, 5, 7, is_results=False)
    assert place_of(results_key(3, 5, 7)) == Place(3, 5, 7, is_results=True)


@pytest.mark.parametrize(
    "key",
    [
        "models/M.bin",
        "samples/IID/0/0/samples.bin",
        "results/responses/a.json",
        "projects/3/notes.txt",
        "projects/3/5/performance.json",
        "projects/3/5/7/other.bin",
        "projects/3/5/7/8/model_weights.bin",
        "projects/three/5/model_weights.bin",
        "projects/3/5/model_weights.bin.bak",
        "x/projects/3/5/model_weights.bin",
    ],
)
def test_what_this_server_does_not_write_has_no_place(key: str) -> None:
    assert place_of(key) is None


UPDATE, RESULTS = Place(1, 0, 7, is_results=False), Place(1, 0, 7, is_results=True)


@pytest.mark.parametrize("place", [UPDATE, RESULTS, Place(1, 0, None, is_results=False)])
def test_nobody_owns_what_a_deleted_project_left(place: Place) -> None:
    assert why_ownerless(place, None, None) == "there is no such project"


def test_a_global_model_is_owned_up_to_that_of_the_next_round() -> None:
    made = rounds(RoundStatus.COMPLETE, RoundStatus.WAIT)
    owned = [why_ownerless(Place(1, n, None, is_results=False), made, None) for n in range(4)]
    assert owned == [None, None, None, "there is no such round"]


def test_the_first_model_is_there_before_the_first_round() -> None:
    assert why_ownerless(Place(1, 0, None, is_results=False), {}, None) is None


@pytest.mark.parametrize("status", OPEN)
@pytest.mark.parametrize("place", [UPDATE, RESULTS])
def test_an_open_round_s_files_are_left_alone(status: RoundStatus, place: Place) -> None:
    assert why_ownerless(place, rounds(status), None) is None


@pytest.mark.parametrize("status", SEALED)
def test_a_closed_round_s_update_is_owned_where_it_is_recorded(status: RoundStatus) -> None:
    made = rounds(status)
    unrecorded = part(requested=True)
    recorded = part(requested=True, submission=submission())
    assert why_ownerless(UPDATE, made, recorded) is None
    for nobody in (None, unrecorded):
        assert why_ownerless(UPDATE, made, nobody) == "no update of this device is recorded"


@pytest.mark.parametrize("status", SEALED)
def test_results_may_come_after_the_close_from_whoever_was_asked(status: RoundStatus) -> None:
    made = rounds(status)
    assert why_ownerless(RESULTS, made, part(requested=True)) is None
    for nobody in (None, part(requested=False)):
        assert why_ownerless(RESULTS, made, nobody) == "the device was not asked"


def test_nobody_owns_the_files_of_a_round_that_is_not_there() -> None:
    assert why_ownerless(UPDATE, {}, None) == "there is no such round"
