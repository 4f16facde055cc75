"""What devices measured: reading `performance.json`, and means over devices."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from flaas.domain.project import TrainingMode
from flaas.domain.round import Results


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
        accuracy=_number(_mapping(document.get("evaluation")).get("accuracy")),
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


def _number(value: Any) -> float | None:
    """A finite number, or None: what a phone sends must not spoil a mean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
