"""The command line: one function a command. Each calls a service and prints."""

import asyncio
import functools
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.console import Console

from flaas import lifecycle, settings
from flaas.app import App, open_app
from flaas.domain.errors import FlaasError
from flaas.domain.project import DatasetType, TrainingMode
from flaas.files.errors import FilesUnavailable
from flaas.services.incoming import Incoming
from flaas.store.embedded import MongodUnavailable
from flaas.store.mongo import StoreUnavailable

_EXPECTED: Final = (
    FlaasError,
    settings.SettingError,
    MongodUnavailable,
    StoreUnavailable,
    FilesUnavailable,
)
_READ_BYTES: Final = 1 << 20

T = TypeVar("T")


class _Commands(click.Group):
    def invoke(self, context: click.Context) -> Any:
        """Errors that are meant for the operator are one line, and exit status 1."""
        try:
            return super().invoke(context)
        except _EXPECTED as error:
            click.echo(f"error: {error}", err=True)
            context.exit(1)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.pass_context
def commands(context: click.Context) -> None:
    """FLaaS, Federated Learning as a Service.

    Without a command, the server is started. Type 'server.py help COMMAND' for help on one.
    """
    if context.invoked_subcommand is None:
        context.invoke(serve)


def main() -> None:
    commands(prog_name="server.py")


def data_dir_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--data-dir", help="Where data lives [FLAAS_DATA_DIR, default: data].", metavar="DIR"
    )(command)


def on_app(command: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Gives an async command the wired application as its first argument."""

    @data_dir_option
    @functools.wraps(command)
    def run(data_dir: str | None, **arguments: Any) -> None:
        async def with_app() -> None:
            async with open_app(settings.load(data_dir=data_dir)) as opened:
                await command(opened, **arguments)

        _log_to_stderr(logging.WARNING)
        asyncio.run(with_app())

    return run


@commands.command(name="help")
@click.argument("command", required=False)
@click.pass_context
def help_(context: click.Context, command: str | None) -> None:
    """Show the help of a command."""
    parent = context.parent
    if parent is None or command is None:
        click.echo(parent.get_help() if parent else "")
        return
    found = commands.get_command(context, command)
    if found is None:
        raise click.UsageError(f"No such command {command!r}.", parent)
    click.echo(found.get_help(click.Context(found, parent=parent, info_name=command)))


@commands.command()
@click.option("--address", help="Listen on this address [FLAAS_ADDRESS, default: 127.0.0.1].")
@click.option("--port", type=int, help="Listen on this port [PORT, default: 8000].")
@data_dir_option
def serve(address: str | None = None, port: int | None = None, data_dir: str | None = None) -> None:
    """Start the server: the API for phones and operators, and the scheduler."""
    loaded = settings.load(address=address, port=port, data_dir=data_dir)
    _log_to_stderr(logging.INFO)
    asyncio.run(lifecycle.serve(loaded))


@commands.command()
@click.option("--once", is_flag=True, help="Tick once and end, which is what it does anyway.")
@on_app
async def tick(opened: App, once: bool) -> None:
    """Advance every project once, as the server's scheduler does (for a cron)."""
    found = failed = 0
    async for advance in opened.services.rounds.tick():
        found += 1
        failed += advance.failed
        click.echo(str(advance))
    if not found:
        click.echo("No project is in progress.")
    await opened.services.outbox.deliver_due()
    if failed:
        sys.exit(1)


@commands.command()
@click.argument("accounts", type=click.IntRange(min=1))
@click.option("--prefix", default="user", show_default=True, help="Prefix of the usernames.")
@click.option("--length", default=10, show_default=True, help="Password length.")
@click.option(
    "--samples-index-start",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Sample index start that will increment per user.",
)
@on_app
async def createusers(
    opened: App, accounts: int, prefix: str, length: int, samples_index_start: int
) -> None:
    """Create users accounts with random passwords."""
    with _progress(accounts, "Hashing passwords") as advance:
        created = await opened.services.accounts.create_users(
            accounts,
            prefix=prefix,
            length=length,
            samples_index_start=samples_index_start,
            progress=lambda: advance(1),
        )
    click.echo("username, password, samples_index")
    for one in created:
        click.echo(f"{one.username}, {one.password}, {one.samples_index}")


@commands.command()
@click.argument("project", type=int)
@click.option(
    "--prefix",
    default="user",
    show_default=True,
    help="Prefix of users to be assigned to the given project.",
)
@on_app
async def assign(opened: App, project: int, prefix: str) -> None:
    """Query users using a prefix and assign them to a particular project."""
    count, assigned = await opened.services.accounts.assign(project, prefix)
    click.echo(f"{count} user(s) assigned succesfully to project '{assigned.title}'")


@commands.command()
@click.argument("name")
@on_app
async def createadmin(opened: App, name: str) -> None:
    """Create a staff account, or set the password of one. Reads the password from the terminal,
    or from standard input."""
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    created = await opened.services.accounts.ensure_staff(name, password)
    click.echo(f"Staff account '{name}' {'created' if created else 'updated'}.")


@commands.command(name="upload-model")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@on_app
async def upload_model(opened: App, name: str, file: Path) -> None:
    """Register a model by its initial weights: raw little-endian float32."""
    incoming = await opened.services.catalogue.receive_model(name)
    with _progress(file.stat().st_size, f"Uploading {file.name}") as advance:
        model = await _upload(incoming, file, advance)
    click.echo(f"Model '{model.name}' registered: {model.parameters} parameters.")


@commands.command(name="upload-samples")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@on_app
async def upload_samples(opened: App, directory: Path) -> None:
    """Upload samples from DIRECTORY, laid out as TYPE/INDEX/APP/samples.bin."""
    found = sorted(directory.glob("*/*/*/samples.bin"))
    if not found:
        raise click.UsageError(f"There is no TYPE/INDEX/APP/samples.bin below {directory}.")
    records = 0
    with _progress(len(found), "Uploading samples") as advance:
        for file in found:
            dataset_type, index, app_number, _ = file.relative_to(directory).parts
            if not (index.isdecimal() and app_number.isdecimal()):
                raise click.UsageError(f"{file} is not in a folder TYPE/INDEX/APP.")
            incoming = opened.services.catalogue.receive_samples(
                dataset_type, int(index), int(app_number)
            )
            records += await _upload(incoming, file)
            advance(1)
    click.echo(f"{len(found)} file(s) with {records} samples uploaded.")


@commands.command()
@click.option("--devices", default=8, show_default=True, type=click.IntRange(1, 2000))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 1000))
@click.option(
    "--training-mode",
    default=TrainingMode.BASELINE.value,
    show_default=True,
    type=click.Choice(list(TrainingMode)),
)
@click.option(
    "--dataset-type",
    default=DatasetType.IID.value,
    show_default=True,
    type=click.Choice(list(DatasetType)),
)
@click.option("--keep", is_flag=True, help="Stay up afterwards and print the address.")
def demo(devices: int, rounds: int, training_mode: str, dataset_type: str, keep: bool) -> None:
    """Train a real model with simulated phones, in one process, and show how it goes."""
    from flaas.demo import Demo  # the fleet's modules are not needed to serve

    _log_to_stderr(logging.WARNING)
    shown = Demo(devices, rounds, TrainingMode(training_mode), DatasetType(dataset_type), keep)
    asyncio.run(shown.run(Console()))


async def _upload(
    incoming: Incoming[T], file: Path, advance: Callable[[int], None] = lambda size: None
) -> T:
    async with incoming:
        with file.open("rb") as source:
            while piece := await asyncio.to_thread(source.read, _READ_BYTES):
                await incoming.write(piece)
                advance(len(piece))
        return await incoming.finish()


@contextmanager
def _progress(length: int, label: str) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, and only on a terminal: output that is piped stays clean."""
    if not sys.stderr.isatty():
        yield lambda steps: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update


def _log_to_stderr(level: int) -> None:
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", stream=sys.stderr
    )
