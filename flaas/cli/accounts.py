"""Staff accounts."""

import sys

import click

from flaas.app import App
from flaas.cli.base import on_app


@click.command(short_help="Create a staff account, or set a password.")
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
