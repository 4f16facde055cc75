"""A fleet against a server that runs somewhere else: the load generator."""

import asyncio
import csv
import io
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import aiohttp
import numpy as np
from rich.console import Console

from flaas.domain.project import APPS, DatasetType
from flaas.fleet.client import Account, CallFailed, Client, SignedOut, open_session
from flaas.fleet.data import Digits, split
from flaas.fleet.fleet import Fleet
from flaas.fleet.pushwoosh import PushwooshStandIn
from flaas.fleet.task import Event
from flaas.fleet.training import initial_model

_TELL_SECONDS: Final = 5.0

Put: TypeAlias = Callable[[str, bytes], Awaitable[None]]


class FleetError(Exception):
    """One sentence that says what the operator can mend."""


class Row(NamedTuple):
    """One account, as `createusers` prints it."""

    account: Account
    samples_index: int


@dataclass(frozen=True, slots=True)
class PushService:
    """Where the server sends its pushes: the stand-in listens on `port` of this machine."""

    port: int
    api_token: str
    application_code: str


@dataclass(frozen=True, slots=True)
class Uploads:
    """The data that a fleet trains on, put on the server first, in the name of a staff account."""

    username: str
    password: str
    model: str
    parameters: int
    dataset_type: DatasetType


@dataclass(frozen=True, slots=True)
class FleetRun:
    url: str
    rows: list[Row]
    push: PushService
    uploads: Uploads | None
    ping_seconds: float
    drop_rate: float
    seconds: float | None

    async def run(self, console: Console) -> None:
        """Run phones until `seconds` have passed or the run is cancelled, and tell how it goes.

        Raises `FleetError`, `DataMissing`.
        """
        if self.uploads is not None:
            await self._upload(self.uploads, console)
        push = PushwooshStandIn(
            self.push.api_token, self.push.application_code, port=self.push.port
        )
        async with push:
            accounts = [row.account for row in self.rows]
            console.print(f"{len(accounts)} phones of {self.url}; pushes come in at {push.url}")
            fleet = Fleet(
                self.url,
                accounts,
                push,
                ping_interval=self.ping_seconds,
                drop_rate=self.drop_rate,
            )
            async with fleet:
                try:
                    async with asyncio.timeout(self.seconds):
                        while True:
                            await asyncio.sleep(_TELL_SECONDS)
                            console.print(_told(fleet))
                except TimeoutError:
                    console.print(_told(fleet))

    async def _upload(self, uploads: Uploads, console: Console) -> None:
        rng = np.random.default_rng(0)
        shares = split(Digits.load(), len(self.rows), len(APPS), uploads.dataset_type, rng)
        async with open_session() as session:
            put = await self._signed_in(session, uploads)
            await put(f"models/{uploads.model}", initial_model(uploads.parameters))
            for row, files in zip(self.rows, shares, strict=True):
                for app, content in enumerate(files):
                    place = f"{uploads.dataset_type}/{row.samples_index}/{app}"
                    await put(f"samples/{place}", content)
        console.print(f"model {uploads.model} and the samples of {len(self.rows)} phones uploaded")

    async def _signed_in(self, session: aiohttp.ClientSession, uploads: Uploads) -> Put:
        """A function that PUTs a file below /admin, in the name of the staff account."""
        staff = Client(session, self.url, Account(uploads.username, uploads.password))
        try:
            await staff.sign_in()
        except (CallFailed, SignedOut) as error:
            raise FleetError(f"{uploads.username} cannot sign in at {self.url}: {error}") from None
        token = staff.tokens.access if staff.tokens else ""

        async def put(path: str, body: bytes) -> None:
            url, headers = f"{self.url}/admin/{path}", {"Authorization": f"Bearer {token}"}
            async with session.put(url, data=io.BytesIO(body), headers=headers) as answer:
                if answer.status != 201:
                    text = (await answer.text())[:200]
                    raise FleetError(f"PUT /admin/{path}: {answer.status} {text}")

        return put


def read_accounts(file: Iterable[str], source: str) -> list[Row]:
    """The accounts in what `createusers` printed. Raises `FleetError`."""
    reader = csv.DictReader(file, skipinitialspace=True)
    try:
        return [
            Row(Account(row["username"], row["password"]), int(row["samples_index"]))
            for row in reader
        ]
    except (KeyError, TypeError, ValueError):
        raise FleetError(
            f"{source} is not what createusers prints: username, password, samples_index"
        ) from None


def _told(fleet: Fleet) -> str:
    shown = [event for event in Event if fleet.counts[event]]
    return ", ".join(f"{fleet.counts[event]} {event}" for event in shown) or "nothing yet"
