"""The command line. Each command calls a service and prints."""

import click

from flaas.cli.accounts import createadmin
from flaas.cli.base import Commands
from flaas.cli.fleet import demo, fleet
from flaas.cli.operations import operation_commands
from flaas.cli.server import serve
from flaas.cli.uploads import upload_model, upload_samples


@click.group(
    cls=Commands,
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


for command in (
    createadmin,
    demo,
    fleet,
    serve,
    upload_model,
    upload_samples,
    *operation_commands(),
):
    commands.add_command(command)


def main() -> None:
    commands(prog_name="server.py")
