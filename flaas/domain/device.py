"""A user account and the phone behind it."""

from datetime import datetime
from typing import Any

from msgspec import Struct


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

    def __repr__(self) -> str:
        return f"User(id={self.id}, username={self.username!r}, is_staff={self.is_staff})"


class StatusReport(Struct, frozen=True, kw_only=True):
    """One availability report as it is kept."""

    at: datetime
    user_id: int
    device_id: int
    request_id: int | None
    """None for a ping; the training request that a device-train report answers."""
    device_info: dict[str, Any]


def read_status(device_info: dict[str, Any], at: datetime) -> DeviceStatus:
    """The battery's state in a report. What a phone left out counts against it: not plugged in."""
    battery = device_info.get("battery_status")
    battery = battery if isinstance(battery, dict) else {}
    level = battery.get("level")
    number = isinstance(level, int | float) and not isinstance(level, bool)
    return DeviceStatus(
        at=at,
        power_plugged=battery.get("power_plugged") is True,
        level=min(max(float(level or 0), 0.0), 1.0) if number else 0.0,
    )


def read_details(device_info: dict[str, Any]) -> DeviceDetails:
    """The record of the phone itself; fields of a wrong type read as absent."""
    details = device_info.get("device_details")
    details = details if isinstance(details, dict) else {}

    def text(name: str) -> str:
        value = details.get(name)
        return value[:200] if isinstance(value, str) else ""

    version = details.get("version")
    return DeviceDetails(
        os=text("os"),
        model=text("model"),
        manufacturer=text("manufacturer"),
        brand=text("brand"),
        build_type=text("type"),
        incremental=text("incremental"),
        os_version=version if isinstance(version, int) and 0 <= version < 2**31 else 0,
        security_patch=text("security_patch"),
    )
