"""Simulated phones: the demo, and a fleet against a server that runs elsewhere."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TextIO

import click
from rich.console import Console

from flaas import settings
from flaas.cli.base import log_to_stderr
from flaas.demo import Demo
from flaas.domain.project import DatasetType, TrainingMode
from flaas.fleet.data import DataMissing
from flaas.fleet.run import FleetError, FleetRun, PushService, Uploads, read_accounts


@click.command(short_help="Train a model with simulated phones.")
@click.option("--devices", default=8, show_default=True, type=click.IntRange(1, 2000))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 1000))
@click.option(
    "--training-mode",
    default=TrainingMode.BASELINE.value,
    show_default=True,
    type=click.Choice([mode.value for mode in TrainingMode]),
)
@click.option(
    "--dataset-type",
    default=DatasetType.IID.value,
    show_default=True,
    type=click.Choice([kind.value for kind in DatasetType]),
)
@click.option("--keep", is_flag=True, help="Stay up afterwards and print the address.")
def demo(devices: int, rounds: int, training_mode: str, dataset_type: str, keep: bool) -> None:
    """Train a real model with simulated phones, in one process, and show how it goes."""
    log_to_stderr(logging.WARNING)
    shown = Demo(devices, rounds, TrainingMode(training_mode), DatasetType(dataset_type), keep)
    _run(shown.run(Console()))


@click.command(short_help="Run simulated phones against a server.")
@click.option("--url", required=True, help="The server, such as http://127.0.0.1:8000.")
@click.option(
    "--accounts",
    required=True,
    type=click.File(),
    help="What createusers printed; - reads standard input.",
)
@click.option("--devices", type=click.IntRange(min=1), help="Only so many of the accounts.")
@click.option(
    "--push-port",
    default=8765,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Where pushes come in: start the server with PUSHWOOSH_URL=http://127.0.0.1:PORT.",
)
@click.option("--ping-seconds", default=900.0, show_default=True, type=click.FloatRange(min=0.1))
@click.option(
    "--drop-rate",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of the train requests that the phones do not react to.",
)
@click.option("--seconds", type=click.FloatRange(min=0), help="End after this time.")
@click.option(
    "--upload",
    metavar="MODEL",
    help="First upload a model of this name and, in place of those there are, the phones' samples.",
)
@click.option("--parameters", default=650, show_default=True, help="Of the uploaded model.")
@click.option(
    "--dataset-type",
    default=DatasetType.IID.value,
    show_default=True,
    type=click.Choice([kind.value for kind in DatasetType]),
    help="Of the uploaded samples.",
)
def fleet(
    url: str,
    accounts: TextIO,
    devices: int | None,
    push_port: int,
    ping_seconds: float,
    drop_rate: float,
    seconds: float | None,
    upload: str | None,
    parameters: int,
    dataset_type: str,
) -> None:
    """Run simulated phones against a server, with the server's own PUSHWOOSH_* settings."""
    loaded = settings.load()
    log_to_stderr(logging.WARNING)
    push_token, code = loaded.pushwoosh_api_token, loaded.pushwoosh_application_code
    if push_token is None or code is None:
        raise click.UsageError(
            "Set PUSHWOOSH_API_TOKEN and PUSHWOOSH_APPLICATION_CODE, to the same values here and "
            "for the server; any will do."
        )
    uploads = None
    if upload is not None:
        if loaded.admin_username is None or loaded.admin_password is None:
            raise click.UsageError("--upload needs FLAAS_ADMIN_USERNAME and FLAAS_ADMIN_PASSWORD.")
        uploads = Uploads(
            loaded.admin_username,
            loaded.admin_password.reveal(),
            upload,
            parameters,
            DatasetType(dataset_type),
        )
    try:
        rows = read_accounts(accounts, accounts.name)
    except FleetError as error:
        raise click.UsageError(str(error)) from None
    run = FleetRun(
        url=url.rstrip("/"),
        rows=rows[:devices],
        push=PushService(push_port, push_token.reveal(), code),
        uploads=uploads,
        ping_seconds=ping_seconds,
        drop_rate=drop_rate,
        seconds=seconds,
    )
    _run(run.run(Console()))


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Ctrl-C is the way to end either."""
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        pass
    except (DataMissing, FleetError) as error:
        raise click.ClickException(str(error)) from None
