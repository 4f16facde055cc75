"""Initial models and samples."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import click

from flaas.app import App
from flaas.cli.base import on_app, progress_bar
from flaas.domain.errors import Malformed
from flaas.services.catalogue import RECORD_BYTES, IncomingSamples
from flaas.services.incoming import Incoming

_READ_BYTES: Final = 1 << 20

T = TypeVar("T")


@click.command(name="upload-model", short_help="Register a model.")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@on_app
async def upload_model(opened: App, name: str, file: Path) -> None:
    """Register a model by its initial weights: raw little-endian float32."""
    incoming = await opened.services.catalogue.receive_model(name)
    with progress_bar(file.stat().st_size, f"Uploading {file.name}") as advance:
        model = await _upload(incoming, file, advance)
    click.echo(f"Model '{model.name}' registered: {model.parameters} parameters.")


@click.command(name="upload-samples", short_help="Upload a folder of samples.")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@on_app
async def upload_samples(opened: App, directory: Path) -> None:
    """Upload samples from DIRECTORY, laid out as TYPE/INDEX/APP/samples.bin."""
    found = sorted(directory.glob("*/*/*/samples.bin"))
    if not found:
        raise click.UsageError(f"There is no TYPE/INDEX/APP/samples.bin below {directory}.")
    # All are looked at before the first is stored: one bad file, and nothing changes.
    uploads = [(file, _incoming(opened, file, directory)) for file in found]
    records = 0
    with progress_bar(len(found), "Uploading samples") as advance:
        for file, incoming in uploads:
            records += await _upload(incoming, file)
            advance(1)
    click.echo(f"{len(found)} file(s) with {records} samples uploaded.")


def _incoming(opened: App, file: Path, directory: Path) -> IncomingSamples:
    dataset_type, index, app, _ = file.relative_to(directory).parts
    if not (index.isdecimal() and app.isdecimal()):
        raise click.UsageError(f"{file} is not in a folder TYPE/INDEX/APP.")
    size = file.stat().st_size
    if size == 0 or size % RECORD_BYTES:
        raise Malformed(
            f"{file} does not hold whole records of {RECORD_BYTES} bytes; it has {size} bytes."
        )
    return opened.services.catalogue.receive_samples(dataset_type, int(index), int(app))


async def _upload(
    incoming: Incoming[T], file: Path, advance: Callable[[int], None] = lambda size: None
) -> T:
    async with incoming:
        with file.open("rb") as source:
            while piece := await asyncio.to_thread(source.read, _READ_BYTES):
                await incoming.write(piece)
                advance(len(piece))
        return await incoming.finish()
