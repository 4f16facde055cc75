"""How fast updates become a model, against what the machine can do at best, in the same run.

    python -m bench.aggregation [--rounds 5] [--cases small,large]

GB/s of float32 input, medians. `memcpy` copies the same updates into a buffer that is used again,
on two threads; `read` reads the same files into one and discards them, on two threads.
"""

import argparse
import asyncio
import hashlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flaas.aggregation.fedavg import FedAvg
from flaas.domain.round import Participant, Round, update_key
from flaas.files.directory import DirectoryFiles
from flaas.services.aggregation import Aggregation
from flaas.services.read_ahead import TOGETHER
from flaas.services.runner import Runner
from tests.store.records import round_

THREADS: Final = 2
CASES: Final = {"small": (500, 627_210), "large": (50, 25_000_000)}
DISTINCT: Final = 4
"""Different updates: the others are the same memory, or the same file by another name."""


def cuts(length: int) -> Iterator[tuple[int, int]]:
    return pairwise([length * number // THREADS for number in range(THREADS + 1)])


def median_speed(rounds: int, size: int, work: Callable[[], object]) -> float:
    """GB/s."""
    work()
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return size / statistics.median(seconds) / 1e9


def memcpy(pool: ThreadPoolExecutor, updates: list[NDArray[np.float32]]) -> None:
    target = np.empty_like(updates[0])

    def copy(start: int, end: int) -> None:
        for update in updates:
            np.copyto(target[start:end], update[start:end])

    list(pool.map(copy, *zip(*cuts(len(target)), strict=True)))


def by_numpy(updates: list[NDArray[np.float32]]) -> None:
    np.mean(np.stack(updates), axis=0)


def from_memory(pool: ThreadPoolExecutor, updates: list[NDArray[np.float32]]) -> None:
    average = FedAvg(len(updates[0]))
    for first in range(0, len(updates), TOGETHER):
        some = updates[first : first + TOGETHER]
        average.begin()

        def add(start: int, end: int, some: list[NDArray[np.float32]] = some) -> None:
            average.add(start, [update[start:end] for update in some])

        list(pool.map(add, *zip(*cuts(len(some[0])), strict=True)))
        average.end_updates(len(some))
    average.model()


def read(pool: ThreadPoolExecutor, files: list[Path]) -> None:
    def discard(number: int) -> None:
        buffer = bytearray(1 << 20)
        for file in files[number::THREADS]:
            with file.open("rb", buffering=0) as opened:
                while opened.readinto(buffer):
                    pass

    list(pool.map(discard, range(THREADS)))


def hash_files(pool: ThreadPoolExecutor, files: list[Path]) -> None:
    def digest(number: int) -> None:
        for file in files[number::THREADS]:
            with file.open("rb") as opened:
                hashlib.file_digest(opened, "sha256")

    list(pool.map(digest, range(THREADS)))


def from_files(folder: Path, round_of: Round, count: int, parameters: int) -> Callable[[], None]:
    participants = [
        Participant(round_id=round_of.id, device_id=one, username="x", counted=True)
        for one in range(1, count + 1)
    ]

    async def publish() -> None:
        async with DirectoryFiles.open(folder) as files:
            runner = Runner(THREADS)
            await Aggregation(files, runner, memory=1 << 30).publish(
                round_of, participants, parameters
            )
            runner.close()

    return lambda: asyncio.run(publish())


def measure(name: str, rounds: int, folder: Path) -> dict[str, float]:
    count, parameters = CASES[name]
    size = count * parameters * 4
    rng = np.random.default_rng(1)
    sources = [rng.standard_normal(parameters, np.float32) for _ in range(DISTINCT)]
    updates = [sources[number % DISTINCT] for number in range(count)]
    round_of = round_(3)
    files = []
    for number, source in enumerate(sources):
        source.tofile(folder / f"{name}{number}")
    for device_id in range(1, count + 1):
        target = folder / update_key(round_of.project_id, round_of.number, device_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        os.link(folder / f"{name}{device_id % DISTINCT}", target)
        files.append(target)
    with ThreadPoolExecutor(THREADS) as pool:
        runs: dict[str, Callable[[], object]] = {
            "memcpy": lambda: memcpy(pool, updates),
            "np.mean(np.stack)": lambda: by_numpy(updates),
            "flaas, from memory": lambda: from_memory(pool, updates),
            "read": lambda: read(pool, files),
            "sha256 of files": lambda: hash_files(pool, files),
            "flaas, from files": from_files(folder, round_of, count, parameters),
        }
        return {what: median_speed(rounds, size, work) for what, work in runs.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", default=",".join(CASES))
    given = parser.parse_args()
    for name in given.cases.split(","):
        count, parameters = CASES[name]
        with tempfile.TemporaryDirectory(prefix="flaas-bench-") as folder:
            found = measure(name, given.rounds, Path(folder))
        print(f"\n{count} updates of {parameters:,} parameters\n")
        print("| | GB/s | of memcpy | of reading |\n|---|---|---|---|")
        for what, speed in found.items():
            shares = [f"{speed / found[other]:.2f}" for other in ("memcpy", "read")]
            print(f"| {what} | {speed:.1f} | {' | '.join(shares)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
