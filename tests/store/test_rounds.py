"""Every change of a round is a compare-and-set: a repeat changes nothing."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from flaas.domain.round import Phase, Round, RoundStatus
from flaas.store.mongo import MongoStore

from .records import START, round_, training

LATER = START + timedelta(minutes=5)


async def get(store: MongoStore, number: int = 0) -> Round:
    found = await store.rounds.by_number(1, number)
    assert found is not None
    return found


async def test_a_round_is_found_by_its_number_and_by_its_request(store: MongoStore) -> None:
    imported = round_(3, request_id=9000)
    await store.rounds.insert(imported)
    assert await store.rounds.by_number(1, 3) == imported
    assert await store.rounds.by_request(9000) == imported
    assert await store.rounds.by_number(2, 3) is None
    assert await store.rounds.by_request(imported.id) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (round_(), round_(model_sha256="another")),
        (training(), training()),
        (round_(status=RoundStatus.COMPLETE), round_(status=RoundStatus.COMPLETE)),
    ],
    ids=["waits", "trains", "closed"],
)
async def test_a_number_that_the_project_has_is_not_inserted_again(
    store: MongoStore, before: Round, after: Round
) -> None:
    """Only the model that it starts from is renewed, as long as it waits."""
    await store.rounds.insert(before)
    await store.rounds.insert(round_(id=7, request_id=7, seed=1, model_sha256="another"))
    assert await store.rounds.all(1) == [after]


async def test_of_rounds_inserted_at_once_one_stays(store: MongoStore) -> None:
    rounds = [round_(id=n, request_id=n) for n in range(1, 21)]
    await asyncio.gather(*map(store.rounds.insert, rounds))
    assert len(await store.rounds.all(1)) == 1


async def test_rounds_come_in_the_order_of_their_numbers(store: MongoStore) -> None:
    for number in (10, 2, 1):
        await store.rounds.insert(round_(number))
    await store.rounds.insert(round_(0, project_id=2))
    assert [one.number for one in await store.rounds.all(1)] == [1, 2, 10]


@pytest.mark.parametrize(
    ("rounds", "number"),
    [
        ([], None),
        ([round_()], 0),
        ([training(phase=Phase.COUNTED), round_(1)], 0),
        ([round_(1), training(phase=Phase.COUNTED)], 0),
        ([round_(status=RoundStatus.COMPLETE), round_(1)], 1),
        ([round_(status=RoundStatus.INVALID), training(1, Phase.NOTIFY)], 1),
        ([round_(status=RoundStatus.COMPLETE)], None),
        ([round_(0, project_id=2)], None),
    ],
)
async def test_the_open_round_is_the_first_that_waits_or_trains(
    store: MongoStore, rounds: list[Round], number: int | None
) -> None:
    for one in rounds:
        await store.rounds.insert(one)
    found = await store.rounds.open_round(1)
    assert (found and found.number) == number


async def test_complete_rounds_are_counted_and_the_next_number_told(store: MongoStore) -> None:
    assert await store.rounds.count(1) == (0, 0)
    statuses = [RoundStatus.COMPLETE, RoundStatus.INVALID, RoundStatus.COMPLETE, RoundStatus.WAIT]
    for number, status in enumerate(statuses):
        await store.rounds.insert(round_(number, status=status))
    await store.rounds.insert(round_(9, project_id=2))
    assert await store.rounds.count(1) == (2, 4)


async def test_a_round_begins_to_train_once(store: MongoStore) -> None:
    await store.rounds.insert(round_())
    await store.rounds.begin_training(100, START)
    await store.rounds.begin_training(100, LATER)
    assert await get(store) == training(phase=Phase.NOTIFY)


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (training(phase=Phase.NOTIFY), Phase.NOTIFY, None, training()),
        (training(), None, Phase.CLOSING, training(phase=Phase.CLOSING)),
        (training(), Phase.NOTIFY, None, training()),
        (training(phase=Phase.COUNTED), None, Phase.CLOSING, training(phase=Phase.COUNTED)),
        (training(phase=Phase.NOTIFY), None, Phase.CLOSING, training(phase=Phase.NOTIFY)),
        (round_(), None, Phase.CLOSING, round_()),
        (
            round_(status=RoundStatus.COMPLETE),
            None,
            Phase.CLOSING,
            round_(status=RoundStatus.COMPLETE),
        ),
    ],
)
async def test_a_phase_moves_from_the_one_that_is_named_and_no_other(
    store: MongoStore, before: Round, old: Phase | None, new: Phase | None, after: Round
) -> None:
    await store.rounds.insert(before)
    await store.rounds.move_phase(before.id, old, new)
    assert await get(store) == after


@pytest.mark.parametrize("phase", [*Phase, None])
async def test_closing_ends_with_what_the_answers_are_held_against(
    store: MongoStore, phase: Phase | None
) -> None:
    await store.rounds.insert(training(phase=phase))
    await store.rounds.end_closing(100, 9)
    await store.rounds.end_closing(100, 10)
    closing = phase is Phase.CLOSING
    after = training(phase=Phase.COUNTED, registered=9) if closing else training(phase=phase)
    assert await get(store) == after


async def test_a_round_is_sealed_once(store: MongoStore) -> None:
    await store.rounds.insert(training(phase=Phase.COUNTED))
    await store.rounds.seal(100, RoundStatus.COMPLETE, "result", LATER)
    await store.rounds.seal(100, RoundStatus.INVALID, None, LATER + timedelta(1))
    assert await get(store) == round_(
        status=RoundStatus.COMPLETE,
        start_training_date=START,
        stop_training_date=LATER,
        result_sha256="result",
    )


@pytest.mark.parametrize("phase", [None, Phase.NOTIFY, Phase.CLOSING])
async def test_a_round_whose_answers_are_not_counted_is_not_sealed(
    store: MongoStore, phase: Phase | None
) -> None:
    await store.rounds.insert(training(phase=phase))
    await store.rounds.seal(100, RoundStatus.COMPLETE, "result", LATER)
    assert await get(store) == training(phase=phase)


async def test_deleting_takes_one_project_s_rounds(store: MongoStore) -> None:
    await store.rounds.insert(round_())
    await store.rounds.insert(round_(project_id=2))
    await store.rounds.delete_all(1)
    assert await store.rounds.all(1) == []
    assert len(await store.rounds.all(2)) == 1


async def test_two_rounds_never_share_a_request(store: MongoStore, database: Any) -> None:
    await store.rounds.insert(round_())
    with pytest.raises(Exception, match="duplicate key"):
        await store.rounds.insert(round_(1, request_id=100))
    assert database["rounds"].count_documents({}) == 1


async def test_ids_are_unique_however_many_ask_at_once(store: MongoStore) -> None:
    counts = [1, 3, 1, 10] * 25
    firsts = await asyncio.gather(*(store.next_ids("rounds", count) for count in counts))
    ids = [
        first + offset
        for first, count in zip(firsts, counts, strict=True)
        for offset in range(count)
    ]
    assert sorted(ids) == list(range(1, sum(counts) + 1))
