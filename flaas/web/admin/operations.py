"""Reports and commands over HTTP: the twins of the command line."""

from collections.abc import AsyncIterator
from typing import Any, Final

from flaas.domain.errors import Invalid, Malformed, NotFound
from flaas.operations.arguments import read_arguments
from flaas.operations.catalogue import OPERATIONS
from flaas.operations.formats import as_csv, as_json, as_text
from flaas.operations.operation import REQUIRED, Arguments, Operation, Parameter
from flaas.web.access import Access, allow
from flaas.web.admin.base import AdminHandler
from flaas.web.forms import FORM, read_form

_CSV: Final = "text/csv; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"

_FLUSH_CHARACTERS: Final = 1 << 16
"""A report goes out as it is made: this much of it is held."""


class ReportList(AdminHandler):
    @allow(Access.STAFF)
    async def get(self) -> None:
        self.write_json([_described(one) for one in OPERATIONS.values() if not one.changes])


class _OperationHandler(AdminHandler):
    """Runs an operation and writes what it says."""

    def operation(self, name: str, *, changes: bool) -> Operation:
        found = OPERATIONS.get(name)
        if found is None or found.changes is not changes:
            raise NotFound(f"There is no {'command' if changes else 'report'} {name!r}.")
        return found

    async def answer(self, operation: Operation, arguments: Arguments, form: str) -> None:
        desk = self.context.desk()
        if form == "csv":
            media, pieces = _CSV, as_csv(operation, desk, arguments)
        elif form == "json":
            media, pieces = _JSON, as_json(operation, desk, arguments)
        else:
            media = _CSV if operation.is_table else _JSON if operation.prints_json else _TEXT
            pieces = as_text(operation, desk, arguments)
        await self._send(media, pieces)

    async def _send(self, media: str, pieces: AsyncIterator[str]) -> None:
        # What is wrong with the arguments comes out with the first piece, before any header.
        held, length = [await anext(pieces, "")], 0
        self.set_header("Content-Type", media)
        async for piece in pieces:
            held.append(piece)
            length += len(piece)
            if length >= _FLUSH_CHARACTERS:
                self.write("".join(held))
                await self.flush()
                held, length = [], 0
        self.finish("".join(held))


class Report(_OperationHandler):
    @allow(Access.STAFF)
    async def get(self, name: str, arguments: str = "") -> None:
        operation = self.operation(name, changes=False)
        named: dict[str, Any] = {
            option: [self.decode_argument(value, option) for value in values]
            for option, values in self.request.query_arguments.items()
        }
        form = _form(named.pop("format", ["text"]))
        positional = arguments.split("/") if arguments else []
        await self.answer(operation, read_arguments(operation, positional, named), form)


class Command(_OperationHandler):
    @allow(Access.STAFF)
    async def post(self, name: str) -> None:
        operation = self.operation(name, changes=True)
        named = self._fields()
        form = _form(named.pop("format", "text"))
        await self.answer(operation, read_arguments(operation, [], named), form)

    def _fields(self) -> dict[str, Any]:
        if not self.body:
            return {}
        if self.media_type == FORM:
            return dict(read_form(self.body))
        document = self.json()
        if not isinstance(document, dict):
            raise Malformed("Expected a JSON object.")
        return document


def _form(value: Any) -> str:
    (form,) = value if isinstance(value, list) and len(value) == 1 else [value]
    if form not in ("text", "csv", "json"):
        raise Invalid({"format": ["Expected text, csv or json."]})
    return str(form)


def _described(operation: Operation) -> dict[str, Any]:
    return {
        "name": operation.name,
        "help": operation.help,
        "columns": operation.columns,
        "parameters": [_parameter(one) for one in operation.parameters],
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    required = parameter.default is REQUIRED
    return {
        "name": parameter.name,
        "help": parameter.help,
        "type": parameter.kind.name.lower(),
        "positional": parameter.positional,
        "many": parameter.many,
        "required": required,
        "default": None if required else parameter.default,
    }
