"""Where blocking work goes: a bounded number of threads beside the event loop."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Runner:
    """Hashing and numpy release the interpreter's lock, so a thread a core uses all of them."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or os.cpu_count() or 2
        self._pool = ThreadPoolExecutor(self.threads, "flaas-work")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: work(*args, **kwargs))

    async def split(self, length: int, work: Callable[[int, int], None]) -> None:
        """Run `work` on consecutive parts (start, end) of `length`, one a thread."""
        cuts = [length * number // self.threads for number in range(self.threads + 1)]
        parts = [(start, end) for start, end in pairwise(cuts) if start < end]
        await asyncio.gather(*(self.run(work, start, end) for start, end in parts))

    def close(self) -> None:
        """Wait for what runs; what only waits is given up."""
        self._pool.shutdown(cancel_futures=True)
