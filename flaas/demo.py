"""The main job in one process: a server, phones that train on real data, and a project.

Everything is as in production but small: the phones speak HTTP to the server and are woken by
a push service that stands in for Pushwoosh, the server keeps its data in a MongoDB of its own
and in files below a temporary directory.
"""

import asyncio
import secrets
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from flaas import settings
from flaas.app import App
from flaas.domain.project import APPS, DatasetType, Project, ProjectStatus, TrainingMode
from flaas.domain.round import RoundStatus, global_model_key
from flaas.fleet.client import Account
from flaas.fleet.data import Digits, split
from flaas.fleet.fleet import Fleet
from flaas.fleet.pushwoosh import PushwooshStandIn
from flaas.fleet.task import Event
from flaas.fleet.training import evaluate, initial_model, read_model, read_records
from flaas.lifecycle import running
from flaas.services.reports import RoundSummary

_MODEL: Final = "DIGITS_SOFTMAX"
_PARAMETERS: Final = 650
"""A softmax regression on 64 pixels: (64 + 1) × 10 classes."""

_ADMIN: Final = "admin"
_APPLICATION: Final = "DEMO-APP"
_POLL_SECONDS: Final = 0.1
_LAST_RESULTS_SECONDS: Final = 20.0
_ENDED: Final = (RoundStatus.COMPLETE, RoundStatus.INVALID)


@dataclass(frozen=True, slots=True)
class Demo:
    """What to show."""

    devices: int
    rounds: int
    training_mode: TrainingMode
    dataset_type: DatasetType
    keep: bool

    async def run(self, console: Console) -> None:
        """Train a project to its end and print how it went.

        Raises `DataMissing` where scikit-learn is not installed, and what a server's start does.
        """
        digits = Digits.load()
        password, api_token = secrets.token_urlsafe(12), secrets.token_hex(16)
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flaas-demo-")))
            push = await stack.enter_async_context(PushwooshStandIn(api_token, _APPLICATION))
            loaded = settings.load(_environment(push, api_token, password), data_dir=str(folder))
            console.print("Starting a server with its private MongoDB …")
            app, url = await stack.enter_async_context(running(loaded))
            accounts = await self._prepare(app, digits)
            fleet = await stack.enter_async_context(
                Fleet(url, accounts, push, ping_interval=60.0, threads=1)
            )
            await fleet.wait_for(Event.PINGED, len(accounts))
            project = await self._start_project(app)
            console.print(
                f"{self.devices} phones train '{project.title}' at {url}: {self.rounds} rounds, "
                f"{self.training_mode}, {self.dataset_type}"
            )
            await self._follow(app, project, console)
            async with asyncio.timeout(_LAST_RESULTS_SECONDS):
                await fleet.wait_for(Event.RESULTS, self.devices * self.rounds)
            summaries = await app.services.reports.rounds(project.id)
            console.print(_table(summaries))
            console.print(
                "The loss is the phones' after training; the accuracy is that of the model that "
                "the round started from, on what each phone holds out."
            )
            await _print_accuracy(app, project, summaries, digits, console)
            if self.keep:
                console.print(f"Still serving at {url} (staff account: {_ADMIN} / {password}).")
                console.print("Ctrl-C ends it and removes its data.")
                await asyncio.Event().wait()

    async def _prepare(self, app: App, digits: Digits) -> list[Account]:
        """What an operator does first: upload a model and samples, and create accounts."""
        catalogue = app.services.catalogue
        async with await catalogue.receive_model(_MODEL) as model:
            await model.write(initial_model(_PARAMETERS))
            await model.finish()
        rng = np.random.default_rng(0)
        shares = split(digits, self.devices, len(APPS), self.dataset_type, rng)
        for index, files in enumerate(shares):
            for number, content in enumerate(files):
                async with catalogue.receive_samples(self.dataset_type, index, number) as samples:
                    await samples.write(content)
                    await samples.finish()
        created = await app.services.accounts.create_users(self.devices, prefix="phone")
        return [Account(one.username, one.password) for one in created]

    async def _start_project(self, app: App) -> Project:
        operator = await app.services.store.users.by_username(_ADMIN)
        if operator is None:
            raise RuntimeError("the server started without its staff account")
        project = await app.services.projects.create(
            operator,
            {
                "title": "Digits",
                "model": _MODEL,
                "dataset": "DIGITS",
                "dataset_type": self.dataset_type,
                "training_mode": self.training_mode,
                "number_of_rounds": self.rounds,
            },
        )
        await app.services.accounts.assign(project.id, "phone")
        started = {"status": ProjectStatus.IN_PROGRESS}
        return await app.services.projects.change(operator, project.id, started, partial=True)

    async def _follow(self, app: App, project: Project, console: Console) -> None:
        """A bar a round on a terminal, a line a round elsewhere, until the project is completed."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[said]}"),
        )
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            bars: dict[int, TaskID] = {}
            told: set[int] = set()
            status = project.status
            while status is ProjectStatus.IN_PROGRESS:
                await asyncio.sleep(_POLL_SECONDS)
                current = await app.services.store.projects.get(project.id)
                status = current.status if current else ProjectStatus.STOPPED
                for one in await app.services.reports.rounds(project.id):
                    if one.number not in bars:
                        bars[one.number] = progress.add_task(
                            f"Round {one.number}", total=self.devices, said=""
                        )
                    progress.update(bars[one.number], completed=one.answered, said=_say(one))
                    if one.status in _ENDED and one.number not in told:
                        told.add(one.number)
                        if not console.is_terminal:
                            console.print(f"Round {one.number}: {_say(one)}")


def _say(one: RoundSummary) -> str:
    return f"{one.joined} joined, {one.answered}/{one.asked} answered, {one.status.name.lower()}"


def _table(summaries: list[RoundSummary]) -> Table:
    table = Table()
    for name in ("round", "status", "devices", "mean loss", "test accuracy"):
        table.add_column(name, justify="left" if name == "status" else "right")
    for one in summaries:
        table.add_row(
            str(one.number),
            one.status.name.lower(),
            f"{one.answered}/{one.asked}",
            f"{one.loss.mean:.3f}" if one.loss else "-",
            f"{one.accuracy.mean:.3f}" if one.accuracy else "-",
        )
    return table


async def _print_accuracy(
    app: App, project: Project, summaries: list[RoundSummary], digits: Digits, console: Console
) -> None:
    """Of the first and the last global model, on digits that no phone has."""
    records = read_records(digits.test)
    last = len(summaries)
    accuracies = []
    for number in (0, last):
        key = global_model_key(project.id, number)
        data = b"".join([piece async for piece in app.services.files.read(key)])
        accuracies.append(evaluate(read_model(data), records).accuracy)
    console.print(
        f"Accuracy on {len(records)} digits that no phone has: "
        f"{accuracies[0]:.3f} before round 0, {accuracies[1]:.3f} after round {last - 1}."
    )


def _environment(push: PushwooshStandIn, api_token: str, password: str) -> dict[str, str]:
    """The settings of the demo's server: nothing of the operator's own environment."""
    return {
        "PORT": "0",
        "FLAAS_ADMIN_USERNAME": _ADMIN,
        "FLAAS_ADMIN_PASSWORD": password,
        "FLAAS_TICK_SECONDS": "1",
        "PUSHWOOSH_API_TOKEN": api_token,
        "PUSHWOOSH_APPLICATION_CODE": _APPLICATION,
        "PUSHWOOSH_URL": push.url,
    }
