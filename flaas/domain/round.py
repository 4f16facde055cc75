"""A round of a project, and a device's part in it."""

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from msgspec import Struct

MODEL_FILE: Final = "model_weights.bin"
RESULTS_FILE: Final = "performance.json"
"""The names that files of rounds have, in the bucket and on the wire."""


class RoundStatus(IntEnum):
    """As phones read it."""

    WAIT = 1
    TRAINING = 2
    COMPLETE = 3
    INVALID = 4


class Phase(StrEnum):
    """Where a round in `TRAINING` stands between two of its states.

    A phase is written before the work it names and cleared after it, so a process that died in
    between leaves a round that says what is still to be done.
    """

    NOTIFY = "notify"
    """The cohort is fixed; its pushes may not all be in the outbox yet."""
    CLOSING = "closing"
    """No more answers are taken; those that came are being frozen."""
    COUNTED = "counted"
    """The answers are frozen; the round waits for its result."""


class JoinStatus(IntEnum):
    """How far a device said it was."""

    JOIN = 1
    DOWNLOAD_MODEL = 2
    TRAIN = 3
    MERGE_MODELS = 4
    SUBMIT_RESULTS = 5
    COMPLETE = 6


class Round(Struct, frozen=True, kw_only=True):
    id: int
    request_id: int
    """The number that a push carries and a device-train report brings back."""
    project_id: int
    number: int
    create_date: datetime
    status: RoundStatus = RoundStatus.WAIT
    phase: Phase | None = None
    start_training_date: datetime | None = None
    stop_training_date: datetime | None = None
    number_of_samples: int
    number_of_epochs: int
    seed: int
    registered: int | None = None
    """Devices of the project when the answers were counted; None until then."""
    model_sha256: str
    """Of the global model that the round starts from."""
    result_sha256: str | None = None
    """Of the global model that the round made, once it is complete."""


class Part(StrEnum):
    """What devices did in a round."""

    AVAILABLE = "available"
    """They were eligible, and asked."""
    JOINED = "joined"
    REPLIED = "replied"


class Member(NamedTuple):
    """A device of a cohort."""

    device_id: int
    username: str


class Submission(Struct, frozen=True, kw_only=True):
    """A stored update."""

    sha256: str
    size: int
    """Bytes."""
    at: datetime


class Results(Struct, frozen=True, kw_only=True):
    """What a device measured, read from its `performance.json`."""

    loss: float | None = None
    """Training loss of the last epoch."""
    accuracy: float | None = None
    """Accuracy, 0 to 1, of the round's base model on the device's held-out samples."""


class Participant(Struct, frozen=True, kw_only=True):
    """One device's part in one round."""

    round_id: int
    device_id: int
    username: str
    requested: bool = False
    """In the cohort that was sent the train request."""
    joined_at: datetime | None = None
    join_status: JoinStatus | None = None
    submission: Submission | None = None
    reported_at: datetime | None = None
    counted: bool | None = None
    """Whether the device's answer was in time; None until the answers are frozen."""
    rejected: str | None = None
    """Why a counted update was left out of the aggregate after all."""
    results: Results | None = None

    @property
    def answered(self) -> bool:
        """Its answer came, and is not left out."""
        return self.reported_at is not None and self.counted is not False


def global_model_key(project_id: int, number: int) -> str:
    """Where the model that a round starts from is kept."""
    return f"projects/{project_id}/{number}/{MODEL_FILE}"


def update_key(project_id: int, number: int, device_id: int) -> str:
    """Where the update that a device submitted is kept."""
    return f"projects/{project_id}/{number}/{device_id}/{MODEL_FILE}"


def results_key(project_id: int, number: int, device_id: int) -> str:
    """Where the results that a device submitted are kept."""
    return f"projects/{project_id}/{number}/{device_id}/{RESULTS_FILE}"


def initial_model_key(model: str) -> str:
    """Where a registered model's initial weights are kept."""
    return f"models/{model}.bin"


def samples_key(dataset_type: str, samples_index: int, app: int) -> str:
    """Where one app's samples are kept."""
    return f"samples/{dataset_type}/{samples_index}/{app}/samples.bin"
