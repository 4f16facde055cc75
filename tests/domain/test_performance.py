"""Reading `performance.json`, and means over devices."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flaas.domain.performance import Spread, read_results, spread
from flaas.domain.project import TrainingMode
from flaas.domain.round import Results

from .records import unhurried

ONE_MODEL = [TrainingMode.BASELINE, TrainingMode.JOINT_SAMPLES]


def document(worker: Any) -> dict[str, Any]:
    """As a phone sends it, around this `local_training_worker`."""
    return {
        "general": {"backend_request_id": 12, "total_duration": 1.5},
        "download_weights_worker": {"download_duration": 0.25, "attempt": 1},
        "local_training_worker": worker,
        "submit_results_worker": {"attempt": 1},
    }


def per_app(**losses: Any) -> dict[str, Any]:
    return {app: {"epochs": epochs} for app, epochs in losses.items()}


@pytest.mark.parametrize("mode", ONE_MODEL)
@pytest.mark.parametrize(
    ("epochs", "loss"),
    [
        ([2.5, 1.5, 0.75], 0.75),
        ([2.5], 2.5),
        ([2, 1], 1.0),
        ([0.5, 0.0], 0.0),
        ([], None),
        (None, None),
        ("0.5", None),
        ({"0": 0.5}, None),
        ([0.5, None], None),
        ([0.5, "0.4"], None),
        ([0.5, True], None),
        ([0.5, [0.4]], None),
        ([0.5, math.nan], None),
        ([0.5, math.inf], None),
        ([0.5, 10**400], None),
    ],
)
def test_the_loss_of_one_model_is_that_of_its_last_epoch(
    mode: TrainingMode, epochs: Any, loss: float | None
) -> None:
    worker = {"epochs": epochs, "training_duration": 60.0, "attempt": 1}

    assert read_results(document(worker), mode).loss == loss


@pytest.mark.parametrize(
    ("worker", "loss"),
    [
        (per_app(Red=[9.0, 1.0], Green=[9.0, 2.0], Blue=[9.0, 6.0]), 3.0),
        (per_app(Red=[9.0, 1.0], Green=[9.0, 2.0]), 1.5),
        (per_app(Red=[0.25]), 0.25),
        ({**per_app(Red=[1.0], Blue=[3.0]), "attempt": 2, "training_duration": 60.0}, 2.0),
        (per_app(Red=[1.0], Green=[], Blue=[3.0]), 2.0),
        (per_app(Red=[1.0], Green=[math.nan], Blue=[3.0]), 2.0),
        ({"Red": None, "Green": "x", "Blue": {}}, None),
        ({"epochs": [0.5]}, None),
        ({}, None),
    ],
)
def test_with_a_model_an_app_the_loss_is_the_mean_of_the_apps_last_epochs(
    worker: Any, loss: float | None
) -> None:
    assert read_results(document(worker), TrainingMode.JOINT_MODELS).loss == loss


@pytest.mark.parametrize("mode", TrainingMode)
@pytest.mark.parametrize(
    "content", [{}, document(None), document([]), document("x"), document(1), {"general": {}}]
)
def test_a_document_without_figures_has_none(mode: TrainingMode, content: dict[str, Any]) -> None:
    assert read_results(content, mode) == Results(loss=None, accuracy=None)


FIGURES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["epochs", "Red", "Green", "accuracy"]), inner)
    ),
    max_leaves=12,
)


@unhurried
@given(worker=FIGURES, evaluation=FIGURES, mode=st.sampled_from(TrainingMode))
def test_whatever_a_phone_writes_a_figure_is_finite_or_absent(
    worker: Any, evaluation: Any, mode: TrainingMode
) -> None:
    results = read_results({**document(worker), "evaluation": evaluation}, mode)

    for figure in (results.loss, results.accuracy):
        assert figure is None or math.isfinite(figure)


def test_losses_too_large_to_add_do_not_become_an_infinite_mean() -> None:
    worker = per_app(Red=[1.5e308], Green=[1.5e308], Blue=[1.5e308])

    loss = read_results(document(worker), TrainingMode.JOINT_MODELS).loss

    assert loss is None or math.isfinite(loss)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([None, None], None),
        ([3.0], Spread(3.0, 0.0)),
        ([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], Spread(5.0, 2.0)),
        ([None, 1.0, None, 3.0], Spread(2.0, 1.0)),
        ([0.0, 0.0], Spread(0.0, 0.0)),
    ],
)
def test_the_spread_is_over_the_values_that_are_there(
    values: list[float | None], expected: Spread | None
) -> None:
    assert spread(values) == expected
    assert spread(iter(values)) == expected


@pytest.mark.parametrize("losses", [[1e200, 0.5], [1.5e308, 1.5e308], [1.5e308, -1.5e308]])
def test_one_device_s_absurd_figure_does_not_break_the_report_on_all(losses: list[float]) -> None:
    """A phone may write any number into its `performance.json`."""
    read = [read_results(document({"epochs": [loss]}), TrainingMode.BASELINE) for loss in losses]

    found = spread(results.loss for results in read)

    assert found is None or (math.isfinite(found.mean) and math.isfinite(found.deviation))
