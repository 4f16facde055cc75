"""What an operator may set: names, types, bounds and defaults of PROTOCOL.md."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flaas.domain.errors import Invalid
from flaas.domain.project import Project, is_model_name, read_settings

from . import records
from .records import unhurried

JAVA_INT_MAX = 2_147_483_647
JAVA_INT_MIN = -2_147_483_648

REQUIRED = {"title": "Faces", "model": "CIFAR10_B20"}

DEFAULTS = {
    "number_of_rounds": 20,
    "number_of_apps": 3,
    "number_of_samples": 150,
    "number_of_epochs": 20,
    "responses_ratio_threshold": Decimal("0.80"),
    "max_training_time": 60,
    "valid_round_training_threshold": Decimal("0.70"),
    "power_plugged_only": True,
    "battery_level_threshold": Decimal("0.60"),
    "seed": 42524235,
}
"""Those that PROTOCOL.md states."""

EVERY_FIELD = {
    *REQUIRED,
    *DEFAULTS,
    "description",
    "status",
    "dataset",
    "dataset_type",
    "training_mode",
}

COUNTS = ["number_of_rounds", "number_of_samples", "number_of_epochs", "max_training_time"]
INTEGERS = [*COUNTS, "number_of_apps", "seed"]
RATIOS = ["responses_ratio_threshold", "valid_round_training_threshold", "battery_level_threshold"]
TEXTS = ["title", "model", "dataset", "description"]
CHOICES = {
    "status": ["Stopped", "In Progress", "Completed"],
    "dataset_type": ["IID", "NonIID"],
    "training_mode": ["BASELINE", "JOINT_SAMPLES", "JOINT_MODELS"],
}
NULLABLE = {"description", "seed"}


def read_one(name: str, value: Any) -> Any:
    """The field as read into an existing project."""
    return read_settings({name: value}, records.project(), partial=True)[name]


def wrong_fields(payload: Any, current: Project | None = None) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as caught:
        read_settings(payload, current, partial=current is not None)
    return caught.value.fields


# --- what is there without being said ---


@pytest.mark.parametrize(("name", "value"), DEFAULTS.items())
def test_a_new_project_has_the_protocol_s_defaults(name: str, value: Any) -> None:
    read = read_settings(REQUIRED, None, partial=False)[name]

    assert read == value
    assert str(read) == str(value)


def test_a_new_project_is_whole_and_runs_only_when_it_is_told_to() -> None:
    values = read_settings(REQUIRED, None, partial=False)

    assert values.keys() == EVERY_FIELD
    assert values["status"] == "Stopped"
    assert values["description"] is None
    assert Project(**values, id=1, create_date=records.NOW).current_round == 0


@pytest.mark.parametrize("name", REQUIRED)
def test_a_new_project_needs_a_title_and_a_model(name: str) -> None:
    payload = {field: value for field, value in REQUIRED.items() if field != name}

    assert wrong_fields(payload) == {name: ["This field is required."]}


def test_a_change_sets_only_what_it_names() -> None:
    change = {"number_of_rounds": 5}

    assert read_settings(change, records.project(), partial=True) == change
    assert read_settings({}, records.project(), partial=True) == {}


def test_a_whole_project_put_again_names_all_that_is_required() -> None:
    with pytest.raises(Invalid) as caught:
        read_settings({"title": "Faces"}, records.project(), partial=False)
    assert caught.value.fields == {"model": ["This field is required."]}
    assert read_settings(REQUIRED, records.project(), partial=False) == REQUIRED


# --- what is taken ---

TAKEN: list[tuple[str, Any, Any]] = [
    *[(name, 1, 1) for name in COUNTS],
    *[(name, JAVA_INT_MAX, JAVA_INT_MAX) for name in COUNTS if name != "max_training_time"],
    # A push carries it in seconds, and they must fit a Java int too.
    ("max_training_time", JAVA_INT_MAX // 60, JAVA_INT_MAX // 60),
    *[("number_of_apps", apps, apps) for apps in (1, 2, 3)],
    *[("seed", seed, seed) for seed in (0, -1, JAVA_INT_MIN, JAVA_INT_MAX, None)],
    *[(name, "0.80", Decimal("0.80")) for name in RATIOS],
    *[(name, "0.00", Decimal("0.00")) for name in RATIOS],
    *[(name, "1.00", Decimal("1.00")) for name in RATIOS],
    *[(name, "0.5", Decimal("0.50")) for name in RATIOS],
    *[(name, 0.29, Decimal("0.29")) for name in RATIOS],
    *[(name, 1, Decimal("1.00")) for name in RATIOS],
    *[(name, "0.8000", Decimal("0.80")) for name in RATIOS],
    *[(name, choice, choice) for name, choices in CHOICES.items() for choice in choices],
    ("power_plugged_only", True, True),
    ("power_plugged_only", False, False),
    ("title", "x", "x"),
    ("title", "é" * 30, "é" * 30),
    ("title", f"  {'x' * 30}\n", "x" * 30),
    ("description", None, None),
    ("description", "", ""),
    ("description", "two\nlines", "two\nlines"),
    ("model", "CIFAR10_B20", "CIFAR10_B20"),
    ("dataset", "CIFAR10", "CIFAR10"),
]


@pytest.mark.parametrize(("name", "value", "expected"), TAKEN)
def test_a_good_value_is_taken(name: str, value: Any, expected: Any) -> None:
    read = read_one(name, value)

    assert read == expected
    assert isinstance(read, bool) == isinstance(expected, bool)


@pytest.mark.parametrize("name", RATIOS)
@pytest.mark.parametrize(
    ("value", "written"), [("0.8", "0.80"), (0, "0.00"), (1, "1.00"), ("8E-1", "0.80")]
)
def test_a_ratio_has_two_decimals_on_the_wire(name: str, value: Any, written: str) -> None:
    assert str(read_one(name, value)) == written


# --- what is refused ---

REFUSED: list[tuple[str, Any]] = [
    *[(name, None) for name in sorted(EVERY_FIELD - NULLABLE)],
    *[(name, []) for name in sorted(EVERY_FIELD)],
    *[(name, {}) for name in sorted(EVERY_FIELD)],
    *[(name, value) for name in INTEGERS for value in (True, False, "20", "", 1.5, "many")],
    *[(name, value) for name in INTEGERS for value in (JAVA_INT_MAX + 1, 10**400)],
    *[(name, value) for name in INTEGERS for value in (float("nan"), float("inf"), 1e300)],
    *[(name, value) for name in COUNTS for value in (0, -1, JAVA_INT_MIN)],
    ("max_training_time", JAVA_INT_MAX // 60 + 1),
    ("number_of_apps", 0),
    ("number_of_apps", 4),
    ("seed", JAVA_INT_MIN - 1),
    *[(name, value) for name in RATIOS for value in (True, False)],
    *[(name, value) for name in RATIOS for value in ("1.01", "-0.01", 2, -1, 80, 1.5)],
    *[(name, value) for name in RATIOS for value in ("0.805", 0.805, "0.001", "1e-400")],
    *[(name, value) for name in RATIOS for value in ("NaN", "sNaN", "Infinity", "-Infinity")],
    *[(name, value) for name in RATIOS for value in (float("nan"), float("inf"), 10**400)],
    *[(name, value) for name in RATIOS for value in ("", "most", "80%", "0,8", "4/5")],
    *[(name, value) for name in CHOICES for value in ("", "stopped", "iid", 1, True, "Other")],
    *[("power_plugged_only", value) for value in ("true", "True", "", 0, 1, 1.0)],
    *[(name, value) for name in TEXTS for value in (1, True, 1.5, ["x"], "a\x00b")],
    *[("title", value) for value in ("", "   ", "x" * 31)],
    *[("dataset", value) for value in ("", "   ")],
    *[("description", "x" * 100_000)],
    # A model's name is a part of `models/<MODEL>.bin`.
    *[("model", value) for value in ("", "..", "../x", "a/b", ".hidden", "a b", "x" * 65)],
]


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=lambda value: f"{value!r:.20}")
def test_a_bad_value_is_refused_with_a_list_of_messages(name: str, value: Any) -> None:
    fields = wrong_fields({name: value}, records.project())

    assert fields.keys() == {name}
    assert isinstance(fields[name], list)
    assert all(isinstance(message, str) and message for message in fields[name])


def test_the_fields_above_are_refused_and_taken_in_full() -> None:
    assert {name for name, _ in REFUSED} == EVERY_FIELD
    assert {name for name, _, _ in TAKEN} == EVERY_FIELD


def test_everything_that_is_wrong_is_said_at_once() -> None:
    fields = wrong_fields(
        {
            "number_of_rounds": "20",
            "seed": True,
            "battery_level_threshold": "NaN",
            "status": "Paused",
            "colour": "red",
        }
    )

    assert fields.keys() == {
        "title",
        "model",
        "number_of_rounds",
        "seed",
        "battery_level_threshold",
        "status",
        "colour",
    }


@pytest.mark.parametrize("current", [None, records.project()])
def test_an_unknown_field_is_refused(current: Project | None) -> None:
    fields = wrong_fields({**REQUIRED, "number_of_round": 5}, current)

    assert fields == {"number_of_round": ["Unknown field."]}


def test_what_only_the_server_sets_is_ignored() -> None:
    """So a project that was read can be sent back."""
    ignored = {"id": 99, "create_date": "yesterday", "current_round": "x"}

    assert read_settings({"title": "New", **ignored}, records.project(), partial=True) == {
        "title": "New"
    }


@pytest.mark.parametrize("payload", [None, [], "title", 1, True, [REQUIRED]])
def test_only_an_object_is_read(payload: Any) -> None:
    assert wrong_fields(payload).keys() == {"non_field_errors"}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=40)
    | st.decimals(allow_nan=True).map(str),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@unhurried
@given(payload=st.dictionaries(st.sampled_from(sorted(EVERY_FIELD)), JSON))
def test_any_json_is_read_or_refused_and_what_is_read_reads_the_same(
    payload: dict[str, Any],
) -> None:
    taken, refused = {}, set()
    for name, value in payload.items():
        try:
            taken[name] = read_one(name, value)
        except Invalid:
            refused.add(name)
    if refused:
        assert wrong_fields(payload, records.project()).keys() == refused
    sent_back = {
        name: str(value) if isinstance(value, Decimal) else value for name, value in taken.items()
    }
    assert read_settings(sent_back, records.project(), partial=True) == taken


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CIFAR10_B20", True),
        ("a", True),
        ("0.9-rc_1", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("", False),
        (".", False),
        ("..", False),
        ("a/b", False),
        ("a\\b", False),
        ("a\n", False),
        ("é", False),
    ],
)
def test_a_model_s_name_is_one_part_of_a_path(name: str, expected: bool) -> None:
    assert is_model_name(name) is expected
