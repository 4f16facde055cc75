"""What a phone says of itself: the `device_info` of an availability report, some 3 KB."""

from dataclasses import dataclass
from random import Random
from typing import Any, Final, NamedTuple, Self


class _Model(NamedTuple):
    manufacturer: str
    brand: str
    model: str
    memory: int
    """Bytes."""


_MODELS: Final = (
    _Model("samsung", "samsung", "SM-G991B", 7_742_500_864),
    _Model("samsung", "samsung", "SM-A525F", 5_728_628_736),
    _Model("Google", "google", "Pixel 5", 7_818_002_432),
    _Model("Xiaomi", "Redmi", "M2101K6G", 5_870_247_936),
    _Model("OnePlus", "OnePlus", "IN2013", 11_899_023_360),
)
_ANDROID: Final = {29: "10", 30: "11", 31: "12"}
_BUCKETS: Final = (10, 20, 30, 40)


@dataclass(frozen=True)
class Device:
    """The part of the document that stays the same from one report to the next."""

    hardware: _Model
    api_level: int
    standby_bucket: int
    incremental: str
    storage: int
    """Bytes."""

    @classmethod
    def draw(cls, random: Random) -> Self:
        return cls(
            hardware=random.choice(_MODELS),
            api_level=random.choice(list(_ANDROID)),
            standby_bucket=random.choice(_BUCKETS),
            incremental=f"{random.randrange(10**8):08d}",
            storage=random.choice((64, 128, 256)) * 10**9,
        )

    def info(self, *, power_plugged: bool, battery_level: float, random: Random) -> dict[str, Any]:
        """The whole document; what moves on a real phone is drawn anew. Level is 0 to 1."""
        wifi = _network("WIFI", 1, subtype_name="", subtype=0)
        mobile = _network("MOBILE", 0, subtype_name="LTE", subtype=13)
        available = int(self.hardware.memory * random.uniform(0.25, 0.6))
        return {
            "app_details": {"version_code": 12, "version_name": "1.2.0"},
            "battery_status": {
                "level": battery_level,
                "status": "charging" if power_plugged else "discharging",
                "health": "good",
                "plugged_status": "ac" if power_plugged else "unplugged",
                "battery_low": battery_level < 0.15,
                "voltage": random.randint(3700, 4350),
                "temperature": random.randint(220, 360),
                "technology": "Li-ion",
                "power_plugged": power_plugged,
            },
            "connectivity_status": {
                "is_active_network_metered": False,
                "is_default_network_active": True,
                "restrict_background_status": "disabled",
                "active_network": wifi,
                "all_networks": [wifi, mobile],
            },
            "memory_info": {
                "total_memory": self.hardware.memory,
                "available_memory": available,
                "threshold": 226_492_416,
                "low_memory": False,
            },
            "disks_info": {
                "internal": {
                    "available": int(self.storage * random.uniform(0.1, 0.7)),
                    "total": self.storage,
                },
                "external": [],
            },
            "device_details": {
                "os": _ANDROID[self.api_level],
                "model": self.hardware.model,
                "manufacturer": self.hardware.manufacturer,
                "brand": self.hardware.brand,
                "type": "user",
                "incremental": self.incremental,
                "version": self.api_level,
                "security_patch": "2021-10-01",
            },
            "cell_towers_info": [_tower(random, registered=n == 0) for n in range(8)],
            "location": {
                "latitude": round(random.uniform(36.0, 60.0), 5),
                "longitude": round(random.uniform(-8.0, 28.0), 5),
                "accuracy": round(random.uniform(5.0, 60.0), 1),
                "provider": "fused",
            },
            "usage_stats_details": {"app_standby_bucket": self.standby_bucket},
        }


def _network(type_name: str, type_: int, *, subtype_name: str, subtype: int) -> dict[str, Any]:
    return {
        "state": "CONNECTED",
        "detailed_state": "CONNECTED",
        "extra_info": "",
        "type_name": type_name,
        "type": type_,
        "subtype_name": subtype_name,
        "subtype": subtype,
        "is_available": True,
        "is_connected": True,
        "is_connected_or_connecting": True,
        "is_failover": False,
        "is_roaming": False,
    }


def _tower(random: Random, *, registered: bool) -> dict[str, Any]:
    return {
        "type": "LTE",
        "registered": registered,
        "mcc": 214,
        "mnc": 7,
        "ci": random.randrange(2**28),
        "pci": random.randrange(504),
        "tac": random.randrange(2**16),
        "earfcn": random.randrange(2**16),
        "signal": {"dbm": -random.randint(70, 120), "asu": random.randint(20, 70), "level": 3},
    }
