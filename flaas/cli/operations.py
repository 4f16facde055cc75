"""Commands made from the operations."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import click
import msgspec

from flaas.app import App
from flaas.cli.base import on_app, progress_bar
from flaas.domain.project import INT_MAX
from flaas.operations.arguments import read_moment
from flaas.operations.catalogue import OPERATIONS
from flaas.operations.operation import REQUIRED, Desk, Kind, Operation, Parameter


def operation_commands() -> list[click.Command]:
    return [_command(operation) for operation in OPERATIONS.values()]


def _command(operation: Operation) -> click.Command:
    async def run(opened: App, **arguments: Any) -> None:
        """Print the lines of the operation."""
        steps = arguments[operation.steps] if operation.steps else 0
        with progress_bar(steps, operation.short.rstrip(".")) as advance:
            desk = Desk(
                services=opened.services,
                now=opened.clock(),
                time_zone=opened.settings.time_zone,
                progress=lambda: advance(1),
            )
            async for line in operation.lines(desk, arguments):
                click.echo(line)

    command = click.command(
        operation.name, cls=_Command, help=operation.help, short_help=operation.short
    )(on_app(run))
    command.positional = [one for one in operation.parameters if one.positional]
    command.params[:0] = [_click_parameter(one) for one in operation.parameters]
    return command


class _Command(click.Command):
    """Its help explains the positional arguments too, as the prototype's did."""

    positional: Sequence[Parameter] = ()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.positional:
            with formatter.section("Arguments"):
                formatter.write_dl([(one.name, one.help) for one in self.positional])
        super().format_options(ctx, formatter)


def _click_parameter(parameter: Parameter) -> click.Parameter:
    kind = _click_type(parameter)
    if parameter.positional:
        return click.Argument(
            [parameter.key],
            type=kind,
            metavar=parameter.name.upper(),
            nargs=-1 if parameter.many else 1,
            required=parameter.default is REQUIRED,
        )
    return click.Option(
        [f"--{parameter.name}", parameter.key],
        help=parameter.help,
        type=None if parameter.kind is Kind.FLAG else kind,
        is_flag=parameter.kind is Kind.FLAG,
        default=parameter.default,
        show_default=parameter.kind is not Kind.FLAG,
    )


def _click_type(parameter: Parameter) -> click.ParamType[Any]:
    if parameter.kind is Kind.NUMBER:
        least = -INT_MAX if parameter.least is None else int(parameter.least)
        return click.IntRange(least, INT_MAX)
    if parameter.kind is Kind.DECIMAL:
        return click.FloatRange(min=parameter.least)
    if parameter.kind is Kind.DATE:
        return _Date()
    if parameter.kind is Kind.MOMENT:
        return _Moment()
    return click.Choice(parameter.choices) if parameter.choices else click.STRING


class _Date(click.ParamType[date]):
    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a date such as 2021-11-05.", param, ctx)


class _Moment(click.ParamType[datetime]):
    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            return read_moment(value)
        except msgspec.ValidationError as error:
            self.fail(f"{error}.", param, ctx)
