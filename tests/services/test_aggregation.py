"""Updates in files become a model: the same bits, however they are read, in bounded memory."""

import hashlib
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flaas.aggregation.tree import FAN_IN, levels
from flaas.app import open_app
from flaas.domain.ports import Files
from flaas.domain.round import Participant, global_model_key, update_key
from flaas.services.aggregation import Aggregation, UpdatesDamaged
from flaas.services.read_ahead import TOGETHER, chunks
from flaas.services.runner import Runner
from flaas.settings import Settings

from ..aggregation.by_the_book import by_the_book, made_up
from ..store.records import round_, submission

PARAMETERS = 50
ROUND = round_(3)


@pytest.fixture
async def files(
    make_settings: Callable[..., Settings], files_environment: dict[str, str]
) -> AsyncIterator[Files]:
    async with open_app(make_settings(**files_environment)) as app:
        yield app.services.files


async def put(files: Files, key: str, content: bytes) -> None:
    async with files.create(key) as out:
        await out.write(content)
        await out.commit()


async def submit(files: Files, updates: NDArray[np.float32]) -> list[Participant]:
    participants = []
    for device_id, update in enumerate(updates, 1):
        key = update_key(ROUND.project_id, ROUND.number, device_id)
        await put(files, key, update.tobytes())
        participants.append(
            Participant(
                round_id=ROUND.id,
                device_id=device_id,
                username=f"user{device_id}",
                counted=True,
                submission=submission(update.tobytes()),
            )
        )
    return participants


def expected(updates: NDArray[np.float32]) -> bytes:
    total = np.array(by_the_book(updates))
    return (total / len(updates)).astype("<f4").tobytes()


async def stored(files: Files) -> bytes:
    key = global_model_key(ROUND.project_id, ROUND.number + 1)
    return b"".join([piece async for piece in files.read(key)])


@pytest.mark.parametrize("count", [1, 7, 8, 9, 63, 64, 65, 130])
async def test_the_model_is_the_canonical_mean_to_the_last_bit(files: Files, count: int) -> None:
    updates = made_up(count, PARAMETERS)
    participants = await submit(files, updates)
    aggregation = Aggregation(files, Runner(2), memory=1 << 20)
    sha256 = await aggregation.publish(ROUND, participants, PARAMETERS)
    assert await stored(files) == expected(updates)
    assert sha256 == hashlib.sha256(expected(updates)).hexdigest()


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("memory", [1, 100, 700, 1 << 20])
@pytest.mark.parametrize("chunk", [1, 3, 50])
async def test_slices_chunks_and_threads_change_no_bit(
    files: Files, monkeypatch: pytest.MonkeyPatch, threads: int, memory: int, chunk: int
) -> None:
    monkeypatch.setattr("flaas.services.read_ahead.CHUNK_PARAMETERS", chunk)
    updates = made_up(11, 17)
    participants = await submit(files, updates)
    aggregation = Aggregation(files, Runner(threads), memory)
    await aggregation.publish(ROUND, participants, 17)
    assert await stored(files) == expected(updates)


@pytest.mark.parametrize("content", [None, b"", b"123", bytes(4 * 17 - 4), bytes(4 * 17 + 4)])
async def test_a_file_that_is_not_what_was_submitted_is_named(
    files: Files, content: bytes | None
) -> None:
    participants = await submit(files, made_up(11, 17))
    key = update_key(ROUND.project_id, ROUND.number, 5)
    await files.delete(key)
    if content is not None:
        await put(files, key, content)
    for memory in (200, 1 << 20):
        with pytest.raises(UpdatesDamaged) as caught:
            await Aggregation(files, Runner(2), memory).publish(ROUND, participants, 17)
        assert caught.value.damage.keys() == {5}
    assert await files.stat(global_model_key(ROUND.project_id, ROUND.number + 1)) is None


async def test_a_number_that_is_none_is_found_in_any_slice(files: Files) -> None:
    updates = made_up(3, 17)
    participants = await submit(files, updates)
    updates[1, 16] = np.nan
    await put(files, update_key(ROUND.project_id, ROUND.number, 2), updates[1].tobytes())
    for memory in (200, 1 << 20):
        with pytest.raises(UpdatesDamaged) as caught:
            await Aggregation(files, Runner(2), memory).publish(ROUND, participants, 17)
        assert caught.value.damage.keys() == {2}


@pytest.mark.parametrize(("updates", "parameters", "longest"), [(1, 1, 1), (20, 7, 3), (64, 6, 3)])
def test_chunks_are_all_there_is_once(updates: int, parameters: int, longest: int) -> None:
    seen = np.zeros((updates, parameters), int)
    ended = 0
    for chunk in chunks(updates, parameters, longest):
        assert chunk.first == ended, "updates are ended before the next ones begin"
        rows = slice(chunk.first, chunk.first + chunk.count)
        seen[rows, chunk.offset : chunk.offset + chunk.parameters] += 1
        ended += chunk.count if chunk.ends_updates else 0
    assert (seen == 1).all()
    assert ended == updates


def test_no_chunk_has_updates_of_two_nodes_of_the_tree() -> None:
    assert FAN_IN % TOGETHER == 0


@pytest.mark.parametrize(
    ("updates", "count"), [(1, 1), (63, 1), (64, 2), (4095, 2), (4096, 3), (10**6, 4)]
)
def test_levels_are_the_accumulators_that_are_held(updates: int, count: int) -> None:
    assert levels(updates) == count


LIMITED = """
    import asyncio, resource, sys
    from pathlib import Path
    from flaas.domain.round import Participant
    from flaas.files.directory import DirectoryFiles
    from flaas.services.aggregation import Aggregation
    from flaas.services.runner import Runner
    from tests.services.test_aggregation import ROUND

    async def main(folder, count, parameters, memory):
        participants = [
            Participant(round_id=1, device_id=number, username="x", counted=True)
            for number in range(1, count + 1)
        ]
        async with DirectoryFiles.open(Path(folder)) as files:
            used = int(Path("/proc/self/statm").read_text().split()[5]) * 4096
            limit = used + memory + (64 << 20) + (96 << 20)
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
            await Aggregation(files, Runner(2), memory).publish(ROUND, participants, parameters)

    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
"""
"""What it may hold: the sums and the buffers as configured, and 96 MiB for threads' stacks and
pieces on their way."""


def test_two_hundred_large_updates_fit_into_a_hard_limit(tmp_path: Path) -> None:
    """20 GB of updates of a model of 100 MB: three files, hard linked."""
    count, parameters, memory = 200, 25_000_000, 128 << 20
    rng = np.random.default_rng(1)
    sources = [rng.standard_normal(parameters, np.float32) for _ in range(3)]
    for number, source in enumerate(sources):
        source.tofile(tmp_path / f"{number}")
    for device_id in range(1, count + 1):
        target = tmp_path / update_key(ROUND.project_id, ROUND.number, device_id)
        target.parent.mkdir(parents=True)
        os.link(tmp_path / f"{device_id % 3}", target)
    run = subprocess.run(
        [
            *(sys.executable, "-c", textwrap.dedent(LIMITED), str(tmp_path)),
            *map(str, (count, parameters, memory)),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
    )
    assert run.returncode == 0, run.stderr[-3000:]
    made = np.fromfile(tmp_path / global_model_key(ROUND.project_id, ROUND.number + 1), "<f4")
    # 67 updates are the second source, 67 the third, and 66 the first.
    first, second, third = (source.astype(np.float64) for source in sources)
    total = 66 * first + 67 * second + 67 * third
    np.testing.assert_allclose(made, total / count, rtol=0, atol=1e-6)
