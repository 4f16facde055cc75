"""Running the server, and ticking without one."""

import asyncio
import logging
import sys

import click

from flaas import lifecycle, settings
from flaas.app import App
from flaas.cli.base import data_dir_option, log_to_stderr, on_app


@click.command(short_help="Start the server and its scheduler.")
@click.option("--address", help="Listen on this address [FLAAS_ADDRESS, default: 127.0.0.1].")
@click.option("--port", type=int, help="Listen on this port [PORT, default: 8000].")
@data_dir_option
def serve(address: str | None = None, port: int | None = None, data_dir: str | None = None) -> None:
    """Start the server: the API for phones and operators, and the scheduler."""
    loaded = settings.load(address=address, port=port, data_dir=data_dir)
    log_to_stderr(logging.INFO)
    asyncio.run(lifecycle.serve(loaded))


@click.command(short_help="Advance every project once.")
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
