"""Accounts."""

import sys

import click

from flaas.app import App
from flaas.cli.base import on_app, progress_bar


@click.command(short_help="Create accounts with random passwords.")
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
    with progress_bar(accounts, "Hashing passwords") as advance:
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


@click.command(short_help="Assign the users of a prefix to a project.")
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


@click.command(short_help="Create a staff account, or set its password.")
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
