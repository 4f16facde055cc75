"""A device's part in a round: every call repeatable, and races with one outcome."""

import asyncio
from datetime import timedelta

import pytest

from flaas.domain.round import JoinStatus, Member, Participant, Results
from flaas.store.mongo import MongoStore

from .records import START, members, submission, submit, user

ROUND = 1
SECOND = timedelta(seconds=1)
EVERYBODY = range(1, 51)


async def part(store: MongoStore, device_id: int = 1) -> Participant:
    found = await store.participants.get(ROUND, device_id)
    assert found is not None
    return found


async def cohort(store: MongoStore) -> list[Member]:
    return [member async for member in store.participants.cohort(ROUND)]


async def ask(store: MongoStore, *numbers: int) -> None:
    await store.participants.fix_cohort(ROUND, members(*numbers))


async def answer(store: MongoStore, *numbers: int) -> None:
    """These asked devices submit and report."""
    await submit(store, ROUND, numbers)
    for number in numbers:
        await store.participants.report(ROUND, number, START)


# --- the cohort ---


async def test_exactly_the_cohort_is_asked_in_the_order_of_device_ids(store: MongoStore) -> None:
    await ask(store, 10, 9, 2)
    assert await cohort(store) == list(members(2, 9, 10))
    assert await store.participants.tally(ROUND) == (3, 0)
    assert await store.participants.get(ROUND, 1) is None
    assert await store.participants.get(2, 9) is None


async def test_fixing_a_cohort_again_leaves_the_last_one(store: MongoStore) -> None:
    await ask(store, 1, 2, 3)
    await ask(store, 1, 2, 3)
    assert await cohort(store) == list(members(1, 2, 3))
    await ask(store, 3, 4)
    assert await cohort(store) == list(members(3, 4))
    assert [one.device_id for one in await store.participants.all(ROUND)] == [3, 4]


async def test_a_device_that_joined_and_is_asked_no_more_stays_recorded(store: MongoStore) -> None:
    await ask(store, 1, 2)
    await store.participants.join(ROUND, user(1), JoinStatus.JOIN, START)
    await ask(store, 2)
    found = await part(store)
    assert (found.requested, found.joined_at) == (False, START)


async def test_a_cohort_of_several_bulks(store: MongoStore) -> None:
    numbers = range(1, 2_502)
    await ask(store, *numbers)
    assert await cohort(store) == list(members(*numbers))


# --- joining ---


async def test_the_first_join_s_time_stays_and_its_status_moves(store: MongoStore) -> None:
    await ask(store, 1)
    await store.participants.join(ROUND, user(1), JoinStatus.JOIN, START)
    await store.participants.join(ROUND, user(1), JoinStatus.MERGE_MODELS, START + SECOND)
    found = await part(store)
    assert (found.joined_at, found.join_status) == (START, JoinStatus.MERGE_MODELS)
    assert found.requested


async def test_joining_does_not_make_a_device_asked(store: MongoStore) -> None:
    await store.participants.join(ROUND, user(1), JoinStatus.JOIN, START)
    found = await part(store)
    assert (found.requested, found.username) == (False, "user1")
    assert await cohort(store) == []


@pytest.mark.parametrize("name", ["$username", "$$ROOT", "a.b"])
async def test_a_username_is_no_expression(store: MongoStore, name: str) -> None:
    await store.participants.join(ROUND, user(1, username=name), JoinStatus.JOIN, START)
    assert (await part(store)).username == name


@pytest.mark.parametrize("device_id", range(1, 6))
async def test_first_joins_at_once_make_one_participant(store: MongoStore, device_id: int) -> None:
    joins = (
        store.participants.join(ROUND, user(device_id), JoinStatus.JOIN, START) for _ in range(30)
    )
    await asyncio.gather(*joins)
    assert [one.device_id for one in await store.participants.all(ROUND)] == [device_id]


async def test_participants_come_in_the_order_of_first_join_and_the_others_last(
    store: MongoStore,
) -> None:
    await ask(store, 1, 2, 3, 4)
    for moment, device_id in enumerate((3, 1, 2)):
        at = START + moment * SECOND
        await store.participants.join(ROUND, user(device_id), JoinStatus.JOIN, at)
    await store.participants.join(ROUND, user(3), JoinStatus.SUBMIT_RESULTS, START + 9 * SECOND)
    assert [one.device_id for one in await store.participants.all(ROUND)] == [3, 1, 2, 4]


# --- submitting ---


async def test_an_update_is_recorded_under_its_claim(store: MongoStore) -> None:
    await ask(store, 1)
    sent = submission()
    assert await store.participants.reserve(ROUND, 1, sent.sha256, sent.sha256, START)
    assert (await part(store)).submission is None
    assert await store.participants.submit(ROUND, 1, sent.sha256, sent)
    assert (await part(store)).submission == sent
    assert await store.participants.submit(ROUND, 1, sent.sha256, sent)


async def test_a_later_update_replaces_an_earlier_one(store: MongoStore) -> None:
    await ask(store, 1)
    await submit(store, ROUND, [1])
    again = submission(b"other")
    assert await store.participants.reserve(ROUND, 1, again.sha256, again.sha256, START)
    assert await store.participants.submit(ROUND, 1, again.sha256, again)
    assert (await part(store)).submission == again


async def test_a_claim_keeps_other_bytes_out_and_not_the_same(store: MongoStore) -> None:
    await ask(store, 1)
    assert await store.participants.reserve(ROUND, 1, "a", "a", START)
    assert await store.participants.reserve(ROUND, 1, "b", "b", START) is False
    assert await store.participants.reserve(ROUND, 1, "a", "a", START)
    await store.participants.release(ROUND, 1, "b")
    assert await store.participants.reserve(ROUND, 1, "b", "b", START) is False
    await store.participants.release(ROUND, 1, "a")
    assert await store.participants.reserve(ROUND, 1, "b", "b", START)


async def test_the_claim_of_an_upload_that_was_never_heard_of_again_runs_out(
    store: MongoStore,
) -> None:
    await ask(store, 1)
    assert await store.participants.reserve(ROUND, 1, "a", "a", START)
    later = START + timedelta(minutes=10)
    taken = submission(b"other", later)
    assert await store.participants.reserve(ROUND, 1, taken.sha256, taken.sha256, later)
    assert not await store.participants.submit(
        ROUND, 1, submission(b"first").sha256, submission(b"first")
    )
    assert await store.participants.submit(ROUND, 1, taken.sha256, taken)
    assert (await part(store)).submission == taken


async def test_of_different_updates_at_once_one_has_the_claim(store: MongoStore) -> None:
    await ask(store, 1)
    got = await asyncio.gather(
        *(store.participants.reserve(ROUND, 1, f"{n}", f"{n}", START) for n in range(20))
    )
    assert sum(got) == 1


@pytest.mark.parametrize("state", ["never asked", "unknown", "reported", "frozen"])
async def test_no_claim_once_the_answer_is_not_open(store: MongoStore, state: str) -> None:
    await ask(store, 1)
    match state:
        case "never asked":
            await store.participants.join(ROUND, user(2), JoinStatus.JOIN, START)
        case "reported":
            await answer(store, 1)
        case "frozen":
            await store.participants.freeze(ROUND)
    device_id = {"never asked": 2, "unknown": 3}.get(state, 1)
    assert await store.participants.reserve(ROUND, device_id, "a", "a", START) is False


async def test_a_claim_that_was_never_made_records_nothing(store: MongoStore) -> None:
    await ask(store, 1)
    assert not await store.participants.submit(ROUND, 1, submission().sha256, submission())
    assert (await part(store)).submission is None


# --- reporting ---


async def test_a_report_counts_once_with_its_first_time(store: MongoStore) -> None:
    await ask(store, 1, 2)
    await submit(store, ROUND, [1])
    first = await store.participants.report(ROUND, 1, START)
    again = await store.participants.report(ROUND, 1, START + SECOND)
    assert first is not None
    assert first.reported_at == START
    assert again == first
    assert await store.participants.tally(ROUND) == (2, 1)


async def test_no_report_without_a_stored_update(store: MongoStore) -> None:
    await ask(store, 1)
    found = await store.participants.report(ROUND, 1, START)
    assert found is not None
    assert found.reported_at is None
    assert await store.participants.report(ROUND, 7, START) is None


async def test_no_report_while_another_update_is_being_stored(store: MongoStore) -> None:
    await ask(store, 1)
    await submit(store, ROUND, [1])
    assert await store.participants.reserve(ROUND, 1, "other", "other", START)
    found = await store.participants.report(ROUND, 1, START)
    assert found is not None
    assert found.reported_at is None


async def test_everybody_has_answered_when_every_asked_device_has(store: MongoStore) -> None:
    await ask(store, 1, 2)
    await store.participants.join(ROUND, user(3), JoinStatus.JOIN, START)
    await answer(store, 1)
    assert not await store.participants.all_answered(ROUND)
    await answer(store, 2)
    assert await store.participants.all_answered(ROUND)


# --- freezing ---


async def test_freezing_decides_who_counts_once(store: MongoStore) -> None:
    await ask(store, 1, 2, 3)
    await answer(store, 3, 1)
    await submit(store, ROUND, [2])
    await store.participants.freeze(ROUND)
    late = await store.participants.report(ROUND, 2, START)
    await store.participants.freeze(ROUND)
    assert late is not None
    assert late.reported_at is None
    assert [(await part(store, n)).counted for n in (1, 2, 3)] == [True, False, True]
    assert [one.device_id for one in await store.participants.counted(ROUND)] == [1, 3]
    assert await store.participants.tally(ROUND) == (3, 2)


async def test_a_rejected_update_counts_no_more_and_says_why(store: MongoStore) -> None:
    await ask(store, 1, 2)
    await answer(store, 1, 2)
    await store.participants.freeze(ROUND)
    await store.participants.reject(ROUND, 1, "the file is missing")
    await store.participants.freeze(ROUND)
    found = await part(store)
    assert (found.counted, found.rejected) == (False, "the file is missing")
    assert [one.device_id for one in await store.participants.counted(ROUND)] == [2]
    assert await store.participants.tally(ROUND) == (2, 1)


@pytest.mark.parametrize("delay", [0.0, 0.004, 0.01, 0.02])
async def test_whoever_reports_while_answers_are_frozen_counts_or_is_told_not(
    store: MongoStore, delay: float
) -> None:
    await ask(store, *EVERYBODY)
    await submit(store, ROUND, EVERYBODY)

    async def freeze() -> None:
        await asyncio.sleep(delay)
        await store.participants.freeze(ROUND)

    async def report(device_id: int) -> tuple[int, bool]:
        await asyncio.sleep(device_id / 2500)
        told = await store.participants.report(ROUND, device_id, START)
        return device_id, told is not None and told.reported_at is not None

    told, _ = await asyncio.gather(asyncio.gather(*map(report, EVERYBODY)), freeze())

    counted = [one.device_id for one in await store.participants.counted(ROUND)]
    assert counted == [device_id for device_id, yes in told if yes]
    assert await store.participants.tally(ROUND) == (len(EVERYBODY), len(counted))
    frozen = [(await part(store, n)).counted for n in EVERYBODY]
    assert frozen.count(True) == len(counted)
    assert None not in frozen


async def test_whoever_submits_while_answers_are_frozen_is_open_or_told_not(
    store: MongoStore,
) -> None:
    await ask(store, *EVERYBODY)
    claims, _ = await asyncio.gather(
        asyncio.gather(*(store.participants.reserve(ROUND, n, "a", "a", START) for n in EVERYBODY)),
        store.participants.freeze(ROUND),
    )
    assert len(claims) == len(EVERYBODY)
    assert await store.participants.counted(ROUND) == []
    assert await store.participants.reserve(ROUND, 1, "b", "b", START) is False


# --- the rest ---


async def test_later_results_replace_earlier_ones(store: MongoStore) -> None:
    await ask(store, 1)
    await store.participants.record_results(ROUND, 1, Results(loss=1.0, accuracy=0.5))
    await store.participants.record_results(ROUND, 1, Results(loss=0.5))
    assert (await part(store)).results == Results(loss=0.5)


async def test_deleting_takes_the_named_rounds_only(store: MongoStore) -> None:
    for round_id in (1, 2, 3):
        await store.participants.fix_cohort(round_id, members(1))
    await store.participants.delete_all([1, 3])
    await store.participants.delete_all([])
    left = [await store.participants.all(round_id) for round_id in (1, 2, 3)]
    assert [len(one) for one in left] == [0, 1, 0]


async def test_two_uploads_of_the_same_bytes_keep_others_out_until_both_are_done(
    store: MongoStore,
) -> None:
    await store.participants.fix_cohort(ROUND, members(1))
    sent = submission(b"same")
    assert await store.participants.reserve(ROUND, 1, "first", sent.sha256, START)
    assert await store.participants.reserve(ROUND, 1, "second", sent.sha256, START)
    # The first is done, and still the second may write the same bytes: nobody else may.
    assert await store.participants.submit(ROUND, 1, "first", sent)
    assert not await store.participants.reserve(ROUND, 1, "third", "other", START)
    await store.participants.release(ROUND, 1, "first")
    assert not await store.participants.reserve(ROUND, 1, "third", "other", START)
    assert await store.participants.submit(ROUND, 1, "second", sent)
    assert await store.participants.reserve(ROUND, 1, "third", "other", START)


async def test_an_upload_that_failed_does_not_end_the_claim_of_its_twin(store: MongoStore) -> None:
    await store.participants.fix_cohort(ROUND, members(1))
    assert await store.participants.reserve(ROUND, 1, "failed", "same", START)
    assert await store.participants.reserve(ROUND, 1, "twin", "same", START)
    await store.participants.release(ROUND, 1, "failed")
    assert not await store.participants.reserve(ROUND, 1, "third", "other", START)
