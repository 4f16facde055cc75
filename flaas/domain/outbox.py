"""Train requests on their way to the phones: how they are batched, and when they are retried."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from flaas.domain.project import Project
from flaas.domain.round import Round

USERS_PER_BATCH: Final = 1000
"""The push service's limit for one notification."""

_FIRST_RETRY: Final = timedelta(seconds=2)
_LONGEST_RETRY: Final = timedelta(minutes=5)


class PushBatch(Struct, frozen=True, kw_only=True):
    """One notification to up to `USERS_PER_BATCH` phones."""

    id: str
    """Deterministic, so that queueing a batch again is no second batch."""
    round_id: int
    transaction_id: str
    """By which the push service recognises a repeat."""
    usernames: list[str]
    data: dict[str, str | int]
    """What the phone reads: a flat map."""
    valid_until: datetime
    """When the phones drop the task, and so do we."""
    ttl_seconds: int
    """How long the push service keeps trying."""
    attempts: int = 0


def train_request(
    project: Project, round_: Round, index: int, usernames: Sequence[str]
) -> PushBatch:
    """Batch `index` of a round's train requests.

    The start time in the transaction id keeps apart two databases that share one push
    application and count their rounds alike.
    """
    started = round_.start_training_date or round_.create_date
    valid_until = started + timedelta(minutes=project.max_training_time)
    return PushBatch(
        id=f"{round_.id}:{index}",
        round_id=round_.id,
        transaction_id=f"flaas-{round_.request_id}-{_milliseconds(started)}-{index}",
        usernames=list(usernames),
        data={
            "type": "train",
            "validDate": _milliseconds(valid_until),
            "request": round_.request_id,
            "project": project.id,
            "round": round_.number,
            "trainingMode": project.training_mode.value,
        },
        valid_until=valid_until,
        ttl_seconds=project.max_training_time * 60,
    )


def retry_delay(failures: int) -> timedelta:
    """How long to wait after that many failures, at least one: doubling, up to five minutes."""
    doubled: timedelta = _FIRST_RETRY * 2 ** min(failures - 1, 20)
    return min(doubled, _LONGEST_RETRY)


def _milliseconds(moment: datetime) -> int:
    """Since the epoch."""
    return round(moment.timestamp() * 1000)
