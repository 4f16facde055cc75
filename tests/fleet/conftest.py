import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import aiohttp
import numpy as np
import pytest

from flaas.domain.project import DatasetType
from flaas.fleet.client import open_session
from flaas.fleet.data import Digits, split

from .fake import FakeServer


@pytest.fixture(autouse=True)
async def nothing_left_behind() -> AsyncIterator[None]:
    """No task, no socket (an unclosed one warns when collected) and no thread of a fleet."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    gc.collect()
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()
    assert [t.name for t in threading.enumerate() if t.name.startswith("fleet")] == []


@pytest.fixture(scope="session")
def digits() -> Digits:
    return Digits.load()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as session:
        yield session


@pytest.fixture
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
async def server(digits: Digits) -> AsyncIterator[FakeServer]:
    async with FakeServer() as server:
        files = next(split(digits, 8, 3, DatasetType.IID, np.random.default_rng(0)))
        server.samples = dict(enumerate(files))
        yield server
