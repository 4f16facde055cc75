"""A project: what is trained, by whom, and under which conditions."""

import re
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from flaas.domain.errors import Invalid

INT_MAX: Final = 2**31 - 1
"""The largest integer a phone can read: ids and counts are Java ints on the wire."""

APPS: Final = ("Red", "Green", "Blue")
"""The apps of a phone that hold samples, by their number on the wire."""

MODEL_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z"
"""A model's name is a part of an object key, so it has no slash and does not start with a dot."""


def is_model_name(name: str) -> bool:
    return re.fullmatch(MODEL_NAME, name) is not None


class ProjectStatus(StrEnum):
    STOPPED = "Stopped"
    IN_PROGRESS = "In Progress"
    COMPLETED = "Completed"


class DatasetType(StrEnum):
    IID = "IID"
    NON_IID = "NonIID"


class TrainingMode(StrEnum):
    BASELINE = "BASELINE"
    JOINT_SAMPLES = "JOINT_SAMPLES"
    JOINT_MODELS = "JOINT_MODELS"


Count = Annotated[int, Meta(ge=1, le=INT_MAX)]
Ratio = Decimal
"""0 to 1 with two decimals; a string such as "0.80" on the wire."""


class ProjectSettings(Struct, frozen=True, kw_only=True):
    """What an operator decides. The names, types and defaults are the wire protocol's."""

    title: Annotated[str, Meta(min_length=1, max_length=30)]
    description: Annotated[str, Meta(max_length=10_000)] | None = None
    status: ProjectStatus = ProjectStatus.STOPPED
    model: Annotated[str, Meta(pattern=MODEL_NAME)]
    dataset: Annotated[str, Meta(min_length=1, max_length=30)] = "CIFAR10"
    dataset_type: DatasetType = DatasetType.IID
    training_mode: TrainingMode = TrainingMode.BASELINE
    number_of_rounds: Count = 20
    number_of_apps: Annotated[int, Meta(ge=1, le=len(APPS))] = len(APPS)
    number_of_samples: Count = 150
    number_of_epochs: Count = 20
    responses_ratio_threshold: Ratio = Decimal("0.80")
    max_training_time: Annotated[int, Meta(ge=1, le=INT_MAX // 60)] = 60
    """Minutes. A push carries it in seconds, as an int."""
    valid_round_training_threshold: Ratio = Decimal("0.70")
    power_plugged_only: bool = True
    battery_level_threshold: Ratio = Decimal("0.60")
    seed: Annotated[int, Meta(ge=-INT_MAX - 1, le=INT_MAX)] | None = 42524235
    """None: a new random seed for every round."""


class Project(ProjectSettings, frozen=True, kw_only=True):
    id: int
    create_date: datetime
    current_round: int = 0


_SETTINGS: Final = {field.name: field for field in msgspec.structs.fields(ProjectSettings)}
_READ_ONLY: Final = {field.name for field in msgspec.structs.fields(Project)} - _SETTINGS.keys()


def read_settings(payload: Any, current: Project | None, *, partial: bool) -> dict[str, Any]:
    """What `payload` sets, checked field by field.

    `current` is the project that is changed, None for a new one. `partial` lets required
    fields be absent. Fields that only the server sets are ignored, so that a document that was
    read can be sent back.

    Raises `Invalid` with every message of every field at once.
    """
    if not isinstance(payload, dict):
        raise Invalid({"non_field_errors": ["Expected a JSON object."]})
    wrong: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    for name in payload.keys() - _SETTINGS.keys() - _READ_ONLY:
        wrong[name] = ["Unknown field."]
    for name, field in _SETTINGS.items():
        if name in payload:
            try:
                values[name] = _read_field(field, payload[name])
            except msgspec.ValidationError as error:
                wrong[name] = [f"{error}."]
        elif field.required and not partial:
            wrong[name] = ["This field is required."]
        elif current is None and not field.required:
            values[name] = field.default
    if wrong:
        raise Invalid(wrong)
    return values


def _read_field(field: msgspec.structs.FieldInfo, raw: Any) -> Any:
    if field.type is Ratio and (isinstance(raw, bool) or "_" in str(raw)):
        raise msgspec.ValidationError("Expected a decimal")
    value = msgspec.convert(raw.strip() if isinstance(raw, str) else raw, field.type)
    if isinstance(value, Decimal):
        return _read_ratio(value)
    if isinstance(value, str) and "\x00" in value:
        raise msgspec.ValidationError("Null characters are not allowed")
    return value


def _read_ratio(value: Decimal) -> Decimal:
    if not value.is_finite() or not 0 <= value <= 1:
        raise msgspec.ValidationError("Expected a decimal from 0 to 1")
    rounded = value.quantize(Decimal("0.01"))
    if rounded != value:
        raise msgspec.ValidationError("Ensure that there are no more than 2 decimal places")
    return abs(rounded)
