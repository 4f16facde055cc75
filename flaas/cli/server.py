"""Running the server."""

import asyncio
import logging

import click

from flaas import lifecycle, settings
from flaas.cli.base import data_dir_option, log_to_stderr


@click.command(short_help="Start the server and its scheduler.")
@click.option("--address", help="Listen on this address [FLAAS_ADDRESS, default: 127.0.0.1].")
@click.option("--port", type=int, help="Listen on this port [PORT, default: 8000].")
@data_dir_option
def serve(address: str | None = None, port: int | None = None, data_dir: str | None = None) -> None:
    """Start the server: the API for phones and operators, and the scheduler."""
    loaded = settings.load(address=address, port=port, data_dir=data_dir)
    log_to_stderr(logging.INFO)
    asyncio.run(lifecycle.serve(loaded))
