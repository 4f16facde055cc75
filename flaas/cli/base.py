"""What commands have in common."""

import asyncio
import functools
import getpass
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

from flaas import settings
from flaas.app import open_app
from flaas.domain.errors import FlaasError
from flaas.files.errors import FilesUnavailable
from flaas.services.audit import act_as
from flaas.store.embedded import MongodUnavailable
from flaas.store.mongo import StoreUnavailable

_EXPECTED: Final = (
    FlaasError,
    settings.SettingError,
    MongodUnavailable,
    StoreUnavailable,
    FilesUnavailable,
)


class Commands(click.Group):
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A line a command: the longest name is wider than click's column."""
        names = self.list_commands(ctx)
        rows = [(name, self.commands[name].get_short_help_str(80)) for name in names]
        with formatter.section("Commands"):
            formatter.write_dl(rows, col_max=max(map(len, names)) + 2)

    def invoke(self, context: click.Context) -> Any:
        """Errors that are meant for the operator are one line, and exit status 1."""
        try:
            return super().invoke(context)
        except _EXPECTED as error:
            click.echo(f"error: {error}", err=True)
            context.exit(1)


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
            act_as(f"shell:{_login_name()}")
            async with open_app(settings.load(data_dir=data_dir)) as opened:
                await command(opened, **arguments)

        log_to_stderr(logging.WARNING)
        asyncio.run(with_app())

    return run


def _login_name() -> str:
    """Who typed the command; a container's user may have a number only."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


@contextmanager
def progress_bar(length: int, label: str) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, and only on a terminal: output that is piped stays clean."""
    if not sys.stderr.isatty():
        yield lambda steps: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update


def log_to_stderr(level: int) -> None:
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", stream=sys.stderr
    )
