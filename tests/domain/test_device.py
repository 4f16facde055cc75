"""Reading `device_info`, a free-form document."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flaas.domain.device import (
    DeviceDetails,
    DeviceStatus,
    User,
    read_details,
    read_line,
    read_status,
)

from .records import NOW, unhurried

DETAILS = {
    "os": "4.19.113",
    "model": "Pixel 4",
    "manufacturer": "Google",
    "brand": "google",
    "type": "user",
    "incremental": "7046789",
    "version": 33,
    "security_patch": "2023-05-05",
}


def battery(**status: Any) -> dict[str, Any]:
    return {"battery_status": status, "device_details": DETAILS}


@pytest.mark.parametrize(
    ("info", "plugged", "level"),
    [
        (battery(level=0.85, power_plugged=True, health="GOOD"), True, 0.85),
        (battery(level=0.6, power_plugged=False), False, 0.6),
        (battery(level=0, power_plugged=False), False, 0.0),
        (battery(level=1, power_plugged=False), False, 1.0),
        (battery(power_plugged=True), True, 0.0),
        (battery(level=0.5), False, 0.5),
        (battery(level=1.5), False, 1.0),
        (battery(level=-1), False, 0.0),
        # Only what is certain counts for a device.
        (battery(level="0.9", power_plugged="true"), False, 0.0),
        (battery(level=True, power_plugged=1), False, 0.0),
        (battery(level=None, power_plugged=None), False, 0.0),
        (battery(level=[0.9], power_plugged={}), False, 0.0),
        ({"battery_status": None}, False, 0.0),
        ({"battery_status": [0.9]}, False, 0.0),
        ({"battery_status": "full"}, False, 0.0),
        ({}, False, 0.0),
    ],
)
def test_a_status_is_read_from_the_battery(
    info: dict[str, Any], plugged: bool, level: float
) -> None:
    expected = DeviceStatus(at=NOW, power_plugged=plugged, level=level)

    assert read_status(info, NOW) == expected


def test_details_are_those_of_the_phone_under_the_names_of_its_record() -> None:
    assert read_details({"device_details": DETAILS}) == DeviceDetails(
        os="4.19.113",
        model="Pixel 4",
        manufacturer="Google",
        brand="google",
        build_type="user",
        incremental="7046789",
        os_version=33,
        security_patch="2023-05-05",
    )


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"device_details": None},
        {"device_details": []},
        {"device_details": {}},
        {"device_details": dict.fromkeys(DETAILS, None)},
        {"device_details": {name: [] for name in DETAILS}},
        {"device_details": {"os": 10, "model": True, "version": "33", "security_patch": {}}},
        {"device_details": {"version": 33.5}},
        {"device_details": {"version": -1}},
        {"device_details": {"version": 2**31}},
    ],
)
def test_details_of_a_wrong_type_read_as_absent(info: dict[str, Any]) -> None:
    assert read_details(info) == DeviceDetails()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
    | st.just("x" * 300),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
INFOS = st.fixed_dictionaries(
    {},
    optional={
        "battery_status": VALUES
        | st.fixed_dictionaries({}, optional={"level": VALUES, "power_plugged": VALUES}),
        "device_details": VALUES | st.dictionaries(st.sampled_from(list(DETAILS)), VALUES),
    },
)


@unhurried
@given(info=INFOS)
def test_whatever_a_phone_sends_its_record_can_be_stored_and_read_again(
    info: dict[str, Any],
) -> None:
    """A record that could not be read again would shut the phone out."""
    status, details = read_status(info, NOW), read_details(info)

    assert math.isfinite(status.level)
    assert 0 <= status.level <= 1
    for record in (status, details):
        stored = msgspec.to_builtins(record)
        assert msgspec.convert(stored, type(record)) == record


@pytest.mark.parametrize("version", [True, False])
def test_a_version_that_is_no_number_does_not_spoil_the_record(version: bool) -> None:
    details = read_details({"device_details": {**DETAILS, "version": version}})

    assert details.os_version is not version
    assert msgspec.convert(msgspec.to_builtins(details), DeviceDetails) == details


@pytest.mark.parametrize("digits", [20, 308, 400])
def test_a_level_of_many_digits_is_read_as_some_level(digits: int) -> None:
    """JSON has integers of any length."""
    for level in (10**digits, -(10**digits)):
        assert 0 <= read_status(battery(level=level), NOW).level <= 1


def test_a_user_is_shown_without_the_password_s_hash() -> None:
    user = User(id=1, device_id=1, username="phone-1", password_hash="argon2 of a secret")

    assert "secret" not in repr(user)
    assert "phone-1" in repr(user)


@pytest.mark.parametrize(
    "info", [{}, {"app_details": None}, {"app_details": {"version_code": True}}]
)
def test_what_a_report_leaves_out_has_a_value_of_its_own_in_a_line(info: dict[str, Any]) -> None:
    line = read_line(7, NOW, info)
    assert (line.user_id, line.version_code, line.bucket) == (7, 0, -1)
    assert (line.power_plugged, line.level) == (False, 0.0)
