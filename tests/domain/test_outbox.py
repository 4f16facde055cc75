"""Train requests: what phones read, and when a push is sent again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flaas.domain.outbox import USERS_PER_BATCH, PushBatch, retry_delay, train_request
from flaas.domain.project import TrainingMode
from flaas.domain.round import RoundStatus

from . import records

STARTED = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)


def batch(index: int = 0, minutes: int = 60, **round_values: Any) -> PushBatch:
    project = records.project(max_training_time=minutes, training_mode=TrainingMode.JOINT_MODELS)
    base = {"status": RoundStatus.TRAINING, "start_training_date": STARTED}
    return train_request(
        project, records.round_(**(base | round_values)), index, ["phone-1", "phone-2"]
    )


def test_a_phone_reads_a_flat_map_of_strings_and_numbers() -> None:
    assert batch().data == {
        "type": "train",
        # 2026-03-01T13:00:00.123Z, an hour after the start, in milliseconds.
        "validDate": 1_772_370_000_123,
        "request": 12,
        "project": 7,
        "round": 3,
        "trainingMode": "JOINT_MODELS",
    }


def test_what_a_phone_reads_has_plain_types() -> None:
    assert {name: type(value) for name, value in batch().data.items()} == {
        "type": str,
        "validDate": int,
        "request": int,
        "project": int,
        "round": int,
        "trainingMode": str,
    }


@pytest.mark.parametrize(
    ("minutes", "seconds"), [(1, 60), (60, 3600), ((2**31 - 1) // 60, 2_147_483_640)]
)
def test_a_push_lives_as_long_as_its_training_in_seconds(minutes: int, seconds: int) -> None:
    one = batch(minutes=minutes)

    assert one.ttl_seconds == seconds
    assert one.valid_until == STARTED + timedelta(seconds=seconds)


def test_a_batch_goes_to_the_users_it_was_made_for() -> None:
    one = batch()

    assert one.usernames == ["phone-1", "phone-2"]
    assert one.round_id == 11
    assert one.attempts == 0


def test_a_batch_made_again_is_the_same_batch() -> None:
    """Whatever became of the round meanwhile."""
    assert batch(3) == batch(3)
    assert batch(3, phase="notify") == batch(3)


@pytest.mark.parametrize(
    ("index", "changed"),
    [
        (1, {}),
        (0, {"id": 13, "request_id": 13}),
        (0, {"id": 111, "request_id": 112}),
    ],
)
def test_another_batch_has_another_id_and_transaction(index: int, changed: dict[str, int]) -> None:
    assert batch(index, **changed).id != batch().id
    assert batch(index, **changed).transaction_id != batch().transaction_id


def test_ids_of_rounds_and_batches_do_not_run_together() -> None:
    """Round 1, batch 11 is not round 11, batch 1."""
    one = batch(11, id=1, request_id=1)
    other = batch(1, id=11, request_id=11)

    assert one.id != other.id
    assert one.transaction_id != other.transaction_id


def test_two_databases_that_count_alike_do_not_share_a_transaction() -> None:
    elsewhere = batch(start_training_date=STARTED + timedelta(milliseconds=1))

    assert elsewhere.transaction_id != batch().transaction_id


def test_a_batch_is_as_large_as_one_notification_may_be() -> None:
    assert USERS_PER_BATCH == 1000


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(0, 2), (1, 4), (2, 8), (3, 16), (6, 128), (7, 256), (8, 300), (9, 300), (10_000, 300)],
)
def test_the_wait_doubles_up_to_five_minutes(attempts: int, seconds: int) -> None:
    assert retry_delay(attempts + 1) == timedelta(seconds=seconds)
