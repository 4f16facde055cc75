"""From what somebody typed to the arguments of an operation."""

from collections.abc import Mapping, Sequence
from datetime import MAXYEAR, MINYEAR, date, datetime
from typing import Any, Final

import msgspec

from flaas.domain.errors import Invalid
from flaas.domain.project import INT_MAX
from flaas.operations.operation import REQUIRED, Arguments, Kind, Operation, Parameter

_TYPES: Final[dict[Kind, type]] = {
    Kind.TEXT: str,
    Kind.NUMBER: int,
    Kind.DECIMAL: float,
    Kind.FLAG: bool,
    Kind.DATE: date,
    Kind.MOMENT: str,
}


def read_arguments(
    operation: Operation, positional: Sequence[str], named: Mapping[str, Any]
) -> Arguments:
    """The arguments in a request: pieces of the path, and a query, a form or a JSON object.

    A positional one may be named too. A value is text, or of its own type, or a list of them.
    Raises `Invalid` with every message of every parameter at once.
    """
    given = dict(named)
    wrong: dict[str, list[str]] = {}
    places = [one for one in operation.parameters if one.positional]
    rest = list(positional)
    for place in places:
        if rest:
            given[place.name] = rest if place.many else rest.pop(0)
            rest = [] if place.many else rest
    if rest:
        wrong["non_field_errors"] = [f"Too many arguments: {', '.join(rest)}."]
    known = {one.name for one in operation.parameters}
    for name in given.keys() - known:
        wrong[name] = ["Unknown option."]
    arguments: dict[str, Any] = {}
    for parameter in operation.parameters:
        try:
            arguments[parameter.key] = _read(parameter, given.get(parameter.name, REQUIRED))
        except msgspec.ValidationError as error:
            wrong[parameter.name] = [f"{error}."]
    if wrong:
        raise Invalid(wrong)
    return arguments


def _read(parameter: Parameter, raw: Any) -> Any:
    if raw is REQUIRED or (raw is None and parameter.default is not REQUIRED):
        if parameter.default is REQUIRED:
            raise msgspec.ValidationError("This argument is required")
        return parameter.default
    if parameter.many:
        return [_convert(parameter, one) for one in (raw if isinstance(raw, list) else [raw])]
    if isinstance(raw, list):
        if len(raw) != 1:
            raise msgspec.ValidationError("Expected one value")
        (raw,) = raw
    return _convert(parameter, raw)


def read_moment(text: str) -> datetime:
    """Raises `msgspec.ValidationError`."""
    expected = msgspec.ValidationError("Expected a time such as 2021-11-05 or 2021-11-05T14:30")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise expected from None
    # A day away from the first and the last year, so that it is a time in every zone.
    if not MINYEAR < moment.year < MAXYEAR:
        raise expected
    return moment


def _convert(parameter: Parameter, raw: Any) -> Any:
    # Text is what a query and a form can say; JSON says numbers and booleans themselves.
    if parameter.kind is Kind.FLAG and raw == "":
        return True
    value: Any = msgspec.convert(raw, _TYPES[parameter.kind], strict=not isinstance(raw, str))
    if isinstance(value, str) and "\0" in value:
        raise msgspec.ValidationError("Null characters are not allowed")
    if parameter.kind is Kind.MOMENT:
        return read_moment(value)
    if parameter.choices and value not in parameter.choices:
        raise msgspec.ValidationError(f"Expected one of {', '.join(parameter.choices)}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not -INT_MAX <= value <= INT_MAX:
            raise msgspec.ValidationError(f"Expected a number up to {INT_MAX}")
        if parameter.least is not None and value < parameter.least:
            raise msgspec.ValidationError(f"Expected a number >= {parameter.least:g}")
    return value
