import json
from random import Random

from flaas.fleet.device import Device


def test_the_document_has_the_keys_of_the_protocol_and_its_size() -> None:
    random = Random(1)
    info = Device.draw(random).info(power_plugged=False, battery_level=0.4, random=random)

    assert info.keys() == {
        "app_details",
        "battery_status",
        "connectivity_status",
        "memory_info",
        "disks_info",
        "device_details",
        "cell_towers_info",
        "location",
        "usage_stats_details",
    }
    assert info["device_details"].keys() == {
        "os",
        "model",
        "manufacturer",
        "brand",
        "type",
        "incremental",
        "version",
        "security_patch",
    }
    assert isinstance(info["device_details"]["version"], int)
    assert info["battery_status"]["power_plugged"] is False
    assert info["battery_status"]["level"] == 0.4
    assert 2_500 < len(json.dumps(info)) < 3_500


def test_one_device_stays_the_same_and_its_state_moves() -> None:
    random = Random(1)
    device = Device.draw(random)

    one, two = (device.info(power_plugged=True, battery_level=1, random=random) for _ in "ab")

    assert one["device_details"] == two["device_details"]
    assert one != two
