"""Many simulated phones in one process."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

import aiohttp

from flaas.fleet.client import Account, Client, open_session
from flaas.fleet.phone import Phone
from flaas.fleet.retry import Backoff
from flaas.fleet.task import Event

OnEvent: TypeAlias = Callable[[str, Event, str], None]
"""Called with the username, what happened, and a text that is empty when all is well."""


class PushSource(Protocol):
    """Where phones get their pushes from."""

    def subscribe(
        self, username: str, callback: Callable[[dict[str, str | int]], None]
    ) -> Callable[[], None]:
        """Call `callback` with the data of every push to `username`. Returns what ends that."""
        ...


class Fleet:
    """Phones that sign in, ping, and train when they are asked; an async context manager.

    Every phone pings as soon as the fleet starts, then every `ping_interval` seconds, give or
    take a share of `ping_jitter`. `connections` bounds the sockets in use, `at_work` the phones
    that do a task at a time (each holds a handful of copies of the model), `threads` those that
    compute.

    `counts` says how often each event happened; `phones` holds them by username, from when the
    fleet is entered.
    """

    def __init__(
        self,
        url: str,
        accounts: Iterable[Account],
        push: PushSource,
        *,
        ping_interval: float = 900.0,
        ping_jitter: float = 0.1,
        connections: int = 256,
        at_work: int = 64,
        threads: int = 2,
        backoff: Backoff | None = None,
        drop_rate: float = 0.0,
        seed: int = 0,
        on_event: OnEvent = lambda username, event, detail: None,
    ) -> None:
        self.counts: Counter[Event] = Counter()
        self.phones: dict[str, Phone] = {}
        self._url = url
        self._accounts = list(accounts)
        self._push = push
        self._ping_interval = ping_interval
        self._ping_jitter = ping_jitter
        self._connections = connections
        self._at_work = asyncio.Semaphore(at_work)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fleet")
        self._backoff = backoff or Backoff()
        self._drop_rate = drop_rate
        self._seed = seed
        self._on_event = on_event
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsubscribe: list[Callable[[], None]] = []
        self._waiting: list[tuple[Event, int, asyncio.Future[None]]] = []
        self._bugs: list[BaseException] = []

    async def __aenter__(self) -> Self:
        self._session = open_session(self._connections)
        for account in self._accounts:
            random = Random(f"{self._seed}:{account.username}")  # noqa: S311 - a simulation
            phone = Phone(
                Client(self._session, self._url, account),
                self._pool,
                random=random,
                backoff=self._backoff,
                on_event=partial(self._count, account.username),
                drop_rate=self._drop_rate,
                at_work=self._at_work,
            )
            self.phones[account.username] = phone
            self._unsubscribe.append(
                self._push.subscribe(account.username, partial(self._pushed, phone))
            )
            self._start(self._keep_pinging(phone, random))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # What is being computed is a matter of milliseconds.
        self._pool.shutdown(cancel_futures=True)
        if self._session:
            await self._session.close()
        if self._bugs and error is None:
            raise BaseExceptionGroup("simulated phones broke", self._bugs)

    async def wait_for(self, event: Event, count: int) -> None:
        """Return once `event` has happened `count` times since the start, on all phones together.

        Raises what broke a phone; use `asyncio.timeout` for a limit.
        """
        if self._bugs:
            raise self._bugs[0]
        if self.counts[event] < count:
            reached = asyncio.get_running_loop().create_future()
            self._waiting.append((event, count, reached))
            await reached

    async def ping_all(self) -> None:
        """Have every phone ping now, beside its own rhythm."""
        await asyncio.gather(*(phone.ping() for phone in self.phones.values()))

    async def _keep_pinging(self, phone: Phone, random: Random) -> None:
        while not phone.signed_out:
            await phone.ping()
            spread = random.uniform(-self._ping_jitter, self._ping_jitter)
            await asyncio.sleep(self._ping_interval * (1 + spread))

    def _pushed(self, phone: Phone, data: Mapping[str, str | int]) -> None:
        self._start(phone.run_task(data))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (bug := task.exception()) is None:
            return
        # A phone tells of what the server does; an exception is a mistake in this package.
        self._bugs.append(bug)
        for _, _, reached in self._waiting:
            if not reached.done():
                reached.set_exception(bug)

    def _count(self, username: str, event: Event, detail: str) -> None:
        self.counts[event] += 1
        for waiting in self._waiting.copy():
            awaited, count, reached = waiting
            if awaited is event and self.counts[event] >= count:
                self._waiting.remove(waiting)
                if not reached.done():
                    reached.set_result(None)
        self._on_event(username, event, detail)
