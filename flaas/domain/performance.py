"""What devices measured: reading `performance.json`, and means over devices."""

import math
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from flaas.domain.project import TrainingMode
from flaas.domain.round import Results

_LARGEST: Final = 1e100
"""Of any figure. Squares of it can be added up over all the phones there are."""


class Spread(NamedTuple):
    """Mean and population standard deviation."""

    mean: float
    deviation: float


def read_results(document: dict[str, Any], mode: TrainingMode) -> Results:
    """The figures in a device's `performance.json`; None for each that it does not state.

    With one model an app, the device's loss is the mean of the apps' last epochs.
    """
    worker = _mapping(document.get("local_training_worker"))
    if mode is TrainingMode.JOINT_MODELS:
        last = [_last_epoch(_mapping(app)) for app in worker.values() if isinstance(app, dict)]
    else:
        last = [_last_epoch(worker)]
    losses = [loss for loss in last if loss is not None]
    return Results(
        loss=sum(losses) / len(losses) if losses else None,
        accuracy=_share(_mapping(document.get("evaluation")).get("accuracy")),
    )


def spread(values: Iterable[float | None]) -> Spread | None:
    """Over the values that are there; None when there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    mean = math.fsum(known) / len(known)
    variance = math.fsum((value - mean) ** 2 for value in known) / len(known)
    return Spread(mean, math.sqrt(variance))


def _last_epoch(worker: dict[str, Any]) -> float | None:
    epochs = worker.get("epochs")
    return _number(epochs[-1]) if isinstance(epochs, list) and epochs else None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _share(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and 0 <= number <= 1 else None


def _number(value: Any) -> float | None:
    """A number that can be measured, or None: what one phone sends must not spoil a mean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -_LARGEST <= value <= _LARGEST else None
