"""Records as tests need them: only what a test speaks of is given."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from flaas.domain.device import DeviceStatus, User
from flaas.domain.outbox import PushBatch
from flaas.domain.ports import Store
from flaas.domain.project import Project
from flaas.domain.round import Member, Phase, Round, RoundStatus, Submission

START = datetime(2024, 5, 1, 12, 0, 0, 123_000, tzinfo=UTC)


def user(number: int, **values: Any) -> User:
    given = {
        "id": number,
        "device_id": number,
        "username": f"user{number}",
        "password_hash": "a hash",
    }
    return User(**(given | values))


def seen(at: datetime = START, *, plugged: bool = True, level: float = 0.9) -> DeviceStatus:
    return DeviceStatus(at=at, power_plugged=plugged, level=level)


def project(number: int = 1, **values: Any) -> Project:
    given = {"id": number, "title": f"Project {number}", "model": "M", "create_date": START}
    return Project(**(given | values))


def round_(number: int = 0, *, project_id: int = 1, **values: Any) -> Round:
    round_id = project_id * 100 + number
    given = {
        "id": round_id,
        "request_id": round_id,
        "project_id": project_id,
        "number": number,
        "create_date": START,
        "number_of_samples": 150,
        "number_of_epochs": 20,
        "seed": 7,
        "model_sha256": "a digest",
    }
    return Round(**(given | values))


def training(number: int = 0, phase: Phase | None = None, **values: Any) -> Round:
    return round_(
        number, status=RoundStatus.TRAINING, phase=phase, start_training_date=START, **values
    )


def members(*numbers: int) -> tuple[Member, ...]:
    return tuple(Member(number, f"user{number}") for number in numbers)


def submission(content: bytes = b"weights", at: datetime = START) -> Submission:
    return Submission(sha256=hashlib.sha256(content).hexdigest(), size=len(content), at=at)


def batch(index: int = 0, *, round_id: int = 1, **values: Any) -> PushBatch:
    given = {
        "id": f"{round_id}:{index}",
        "round_id": round_id,
        "transaction_id": f"flaas-{round_id}-{index}",
        "usernames": ["user1", "user2"],
        "data": {"type": "train", "request": round_id},
        "valid_until": START + timedelta(hours=1),
        "ttl_seconds": 3600,
    }
    return PushBatch(**(given | values))


async def submit(store: Store, round_id: int, device_ids: Sequence[int]) -> None:
    """These devices' updates are stored, and not reported yet."""
    for device_id in device_ids:
        sent = submission(b"weights of %d" % device_id)
        assert await store.participants.reserve(round_id, device_id, "claim", sent.sha256, START)
        assert await store.participants.submit(round_id, device_id, "claim", sent)
