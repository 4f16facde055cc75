"""A user account and the phone behind it."""

from datetime import datetime, timedelta
from types import UnionType
from typing import Any, Final

from msgspec import Struct

from flaas.domain.errors import Malformed
from flaas.domain.project import INT_MAX

_CLOCKS_DIFFER: Final = timedelta(minutes=2)
"""Servers on one database agree on the time by so much."""


class DeviceStatus(Struct, frozen=True, kw_only=True):
    """The part of a status report that decisions use."""

    at: datetime
    power_plugged: bool = False
    level: float = 0.0
    """Battery level, 0 to 1."""


class DeviceDetails(Struct, frozen=True, kw_only=True):
    """What a phone is, as it told in its newest report."""

    os: str = ""
    model: str = ""
    manufacturer: str = ""
    brand: str = ""
    build_type: str = ""
    incremental: str = ""
    os_version: int = 0
    """Android API level."""
    security_patch: str = ""


class User(Struct, frozen=True, kw_only=True):
    """One account: a phone's, or a member of staff's."""

    id: int
    device_id: int
    """Equal to `id` for accounts made here; an import brings its own."""
    username: str
    password_hash: str
    is_staff: bool = False
    is_active: bool = True
    project_id: int | None = None
    samples_index: int | None = None
    device: DeviceDetails | None = None
    last_status: DeviceStatus | None = None
    tokens_valid_from: int = 0
    """Epoch seconds. Tokens issued before are refused: a new password ends the old sessions."""

    def accepts(self, issued: int) -> bool:
        """Whether a token or a session of that time (epoch seconds) still speaks for the user."""
        return self.is_active and issued >= self.tokens_valid_from

    def __repr__(self) -> str:
        return f"User(id={self.id}, username={self.username!r}, is_staff={self.is_staff})"


def sessions_end(now: datetime) -> int:
    """The `tokens_valid_from` (epoch seconds) that ends every session of now.

    A token says its second only, and the server that issued it may have a clock that is ahead.
    """
    return int((now + _CLOCKS_DIFFER).timestamp()) + 1


class StatusReport(Struct, frozen=True, kw_only=True):
    """One availability report as it is kept."""

    at: datetime
    user_id: int
    device_id: int
    request_id: int | None
    """None for a ping; the training request that a device-train report answers."""
    device_info: dict[str, Any]


class StatusLine(Struct, frozen=True, kw_only=True):
    """What operators read of a report. The defaults stand for what a phone left out."""

    user_id: int
    at: datetime
    version_code: int = 0
    bucket: int = -1
    """Android's app standby bucket."""
    power_plugged: bool = False
    level: float = 0.0

    def passes(self, *, plugged_only: bool, battery_level: float) -> bool:
        """Whether a report is one of a device that is plugged in, or charged enough."""
        return self.power_plugged or (not plugged_only and self.level >= battery_level)


def read_line(user_id: int, at: datetime, device_info: dict[str, Any]) -> StatusLine:
    """The same, from a report as it is kept."""
    status = read_status(device_info, at)
    version: Any = _mapping(device_info.get("app_details")).get("version_code")
    usage = _mapping(device_info.get("usage_stats_details"))
    bucket: Any = usage.get("app_standby_bucket")
    return StatusLine(
        user_id=user_id,
        at=at,
        version_code=_java_int(version, 0),
        bucket=_java_int(bucket, -1),
        power_plugged=status.power_plugged,
        level=status.level,
    )


def read_status(device_info: dict[str, Any], at: datetime) -> DeviceStatus:
    """The battery's state in a report. What a phone left out counts against it: not plugged in."""
    battery = _mapping(device_info.get("battery_status"))
    level: Any = battery.get("level")
    return DeviceStatus(
        at=at,
        power_plugged=battery.get("power_plugged") is True,
        level=float(min(max(level, 0), 1)) if _is_number(level) else 0.0,
    )


def read_details(device_info: dict[str, Any]) -> DeviceDetails:
    """The record of the phone itself; fields of a wrong type read as absent."""
    details = _mapping(device_info.get("device_details"))

    def text(name: str) -> str:
        value = details.get(name)
        return value[:200] if isinstance(value, str) else ""

    version: Any = details.get("version")
    return DeviceDetails(
        os=text("os"),
        model=text("model"),
        manufacturer=text("manufacturer"),
        brand=text("brand"),
        build_type=text("type"),
        incremental=text("incremental"),
        os_version=max(_java_int(version, 0), 0),
        security_patch=text("security_patch"),
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_number(value: Any, kind: type | UnionType = int | float) -> bool:
    """JSON's true and false are no numbers, though Python's are."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _java_int(value: Any, default: int) -> int:
    """An integer of the size that phones have; anything else reads as absent."""
    return int(value) if _is_number(value, int) and -INT_MAX <= value <= INT_MAX else default


_DEEPEST: Final = 32
_INT64: Final = 2**63


def check_info(info: dict[str, Any]) -> None:
    """Raises `Malformed` for what is JSON and cannot be kept: very deep, or with integers of more
    than 64 bits. No phone sends such a thing."""
    level: list[Any] = [info]
    for _ in range(_DEEPEST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                if any("\0" in key for key in value):
                    raise Malformed("device_info has a null character in a name.")
                below += value.values()
            elif isinstance(value, list):
                below += value
            elif isinstance(value, int) and not -_INT64 <= value < _INT64:
                raise Malformed("device_info has an integer of more than 64 bits.")
        if not below:
            return
        level = below
    raise Malformed(f"device_info is more than {_DEEPEST} levels deep.")
