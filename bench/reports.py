"""How long each report takes, how many queries it makes, and in how much memory.

    python -m bench.reports --devices 10000 --rounds 100

fills a private MongoDB with a project of that size and four status reports a device, and runs
every report as the server does. Queries are counted at the driver: one a cursor, without the
further batches that a cursor fetches. The reference of the last column is reading the same number
of documents with a bare cursor.
"""

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from pymongo import MongoClient, monitoring

from flaas import settings
from flaas.app import open_app
from flaas.operations.arguments import read_arguments
from flaas.operations.catalogue import OPERATIONS
from flaas.operations.operation import Desk
from flaas.store.embedded import private_mongod

NOW = datetime.now(UTC)
REPORTS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "roundstats": (["1"], {}),
    "joinedrounds": (["1"], {}),
    "performance": (["1"], {}),
    "performance_multirounds": (["1"], {}),
    "projectresponses": (["1"], {"show-details": True}),
    "responses-per-user": ([], {}),
    "countresponses": ([], {}),
    "extract-train-responses": (["1", "out.json"], {}),
    "extract-projects-start": ([], {}),
}


class Queries(monitoring.CommandListener):
    """Counts what is asked of the database."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.count += event.command_name in ("find", "aggregate", "count", "distinct")

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def users(devices: int) -> Iterator[dict[str, Any]]:
    for number in range(1, devices + 1):
        yield {
            "_id": number,
            "device_id": number,
            "username": f"user{number}",
            "password_hash": "-",
            "is_staff": False,
            "is_active": True,
            "project_id": 1,
            "samples_index": number,
        }


def participants(devices: int, rounds: int) -> Iterator[dict[str, Any]]:
    for number in range(1, rounds + 1):
        for device in range(1, devices + 1):
            yield {
                "round_id": number,
                "device_id": device,
                "username": f"user{device}",
                "requested": True,
                "joined_at": NOW,
                "reported_at": NOW,
                "counted": True,
                "results": {"loss": 0.5, "accuracy": 0.5},
            }


def statuses(devices: int) -> Iterator[dict[str, Any]]:
    info = {
        "app_details": {"version_code": 12},
        "battery_status": {"level": 0.5, "power_plugged": True},
        "usage_stats_details": {"app_standby_bucket": 10},
        "rest": "x" * 2500,
    }
    for quarter in range(4):
        for device in range(1, devices + 1):
            yield {
                "at": NOW - timedelta(minutes=14 * quarter + 1),
                "user_id": device,
                "device_id": device,
                "request_id": None,
                "device_info": info,
            }


def fill(uri: str, devices: int, rounds: int) -> None:
    with MongoClient[dict[str, Any]](uri) as client:
        database = client.get_default_database()
        project = {"_id": 1, "title": "Bench", "model": "M", "create_date": NOW}
        database["projects"].insert_one(project | {"number_of_rounds": rounds})
        database["rounds"].insert_many(
            {
                "_id": number + 1,
                "request_id": number + 1,
                "project_id": 1,
                "number": number,
                "create_date": NOW,
                "status": 3,
                "number_of_samples": 1,
                "number_of_epochs": 1,
                "seed": 1,
                "model_sha256": "",
            }
            for number in range(rounds)
        )
        for name, documents in (
            ("users", users(devices)),
            ("participants", participants(devices, rounds)),
            ("device_statuses", statuses(devices)),
        ):
            while batch := list(islice(documents, 10_000)):
                database[name].insert_many(batch, ordered=False)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure(folder: Path, devices: int, rounds: int) -> None:
    loaded = settings.load({}, data_dir=str(folder))
    queries = Queries()
    monitoring.register(queries)
    async with open_app(loaded) as app:
        with private_mongod(folder) as uri:
            fill(uri, devices, rounds)
            with MongoClient[dict[str, Any]](uri) as client:
                start = time.perf_counter()
                read = sum(1 for _ in client.get_default_database()["participants"].find())
                bare = (time.perf_counter() - start) / max(read, 1)
        print(f"{devices} devices, {rounds} rounds; a bare cursor reads {1 / bare:,.0f} docs/s")
        print(f"{'report':26} {'lines':>8} {'seconds':>8} {'queries':>8} {'peak MiB':>9}")
        for name, (positional, named) in REPORTS.items():
            operation = OPERATIONS[name]
            desk = Desk(app.services, datetime.now(UTC), loaded.time_zone)
            arguments = read_arguments(operation, positional, named)
            queries.count, lines, start = 0, 0, time.perf_counter()
            async for _ in operation.lines(desk, arguments):
                lines += 1
            seconds = time.perf_counter() - start
            print(f"{name:26} {lines:8} {seconds:8.2f} {queries.count:8} {peak_mib():9.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flaas-bench-") as folder:
        asyncio.run(measure(Path(folder), arguments.devices, arguments.rounds))


if __name__ == "__main__":
    main()
