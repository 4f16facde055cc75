"""How the parts may know of each other: imports point one way, and every route has a guard."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.routing import PathMatches
from tornado.web import RequestHandler

import flaas
from flaas.web.access import Access, allow
from flaas.web.base import Handler, UnknownRoute
from flaas.web.routes import ROUTES, pattern

ROOT: Final = Path(flaas.__file__).parent.parent

MODULES: Final = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "flaas").rglob("*.py"))
}

ANY: Final = "*"

# Part of flaas: the parts of flaas that it may import | the packages of others.
# A part may import itself, and everybody the standard library.
ARROWS: Final = """
    domain       |                                                    | msgspec
    aggregation  |                                                    | numpy
    services     | domain aggregation                                 | argon2 jwt msgspec numpy
    store        | domain                                             | motor pymongo bson msgspec
    files        | domain                                             | aiobotocore botocore aiohttp
    push         | domain                                             | aiohttp msgspec
    operations   | services domain                                    | msgspec
    web          | operations services domain                         | tornado msgspec
    scheduler    | services domain                                    | tornado
    settings     |                                                    | msgspec
    fleet        | domain.project                                     | *
    app          | *                                                  | *
    lifecycle    | app settings domain web                            | *
    demo         | app settings domain services lifecycle fleet       | *
    cli          | app settings domain services operations lifecycle fleet demo \
                   store.embedded store.mongo files.errors            | *
"""

OWNERS: Final = {
    "motor": "store",
    "pymongo": "store",
    "bson": "store",
    "aiobotocore": "files",
    "botocore": "files",
}
"""Packages that one part alone may import, whatever the table allows."""


def _read_arrows() -> dict[str, tuple[set[str], set[str]]]:
    arrows = {}
    for line in ARROWS.strip().splitlines():
        part, ours, theirs = (cell.split() for cell in line.split("|"))
        arrows[part[0]] = ({*part, *ours}, set(theirs))
    return arrows


def imports(module: str, source: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """(line, full name of what is imported) for every import, wherever in the file it is.

    `from package import name` imports the module `package.name` where there is one.
    """
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield node.lineno, inner if inner in MODULES else base


def may_import(part: str, target: str) -> bool:
    """Whether an arrow from a part of flaas to a module, ours or another's, is allowed."""
    package, _, inside = target.partition(".")
    ours, theirs = _read_arrows()[part]
    if package == "flaas":
        return ANY in ours or any(inside == one or inside.startswith(f"{one}.") for one in ours)
    if package in sys.stdlib_module_names:
        return True
    if package in OWNERS:
        return OWNERS[package] == part
    return ANY in theirs or package in theirs


def wrong_arrows(module: str, source: str, path: Path) -> list[str]:
    part = module.split(".")[1]
    if part not in _read_arrows():
        return [f"{path.relative_to(ROOT)}: no line in ARROWS says what {part} may import"]
    found = dict.fromkeys(imports(module, source, is_package=path.name == "__init__.py"))
    return [
        f"{path.relative_to(ROOT)}:{line}: {module} → {target}"
        for line, target in found
        if not may_import(part, target)
    ]


@pytest.mark.parametrize("module", [name for name in MODULES if name != "flaas"])
def test_no_arrow_points_back(module: str) -> None:
    wrong = wrong_arrows(module, MODULES[module].read_text(), MODULES[module])

    assert not wrong, "\n".join(["these imports are not allowed:", *wrong])


def test_the_package_itself_imports_nothing() -> None:
    """Or every module would."""
    assert list(imports("flaas", MODULES["flaas"].read_text(), is_package=True)) == []


def test_every_line_of_the_table_is_about_something() -> None:
    assert {f"flaas.{part}" for part in _read_arrows()} <= MODULES.keys()


@pytest.mark.parametrize(
    ("module", "source", "target"),
    [
        ("flaas.domain.round", "import flaas.store.mongo", "flaas.store.mongo"),
        ("flaas.domain.round", "from flaas import services", "flaas.services"),
        ("flaas.domain.round", "from ..store import mongo", "flaas.store.mongo"),
        ("flaas.domain.round", "from .. import store", "flaas.store"),
        ("flaas.domain.round", "import numpy as np", "numpy"),
        ("flaas.domain", "from ..web.base import Handler", "flaas.web.base"),
        ("flaas.aggregation.tree", "import msgspec", "msgspec"),
        ("flaas.aggregation.tree", "from flaas.domain import round", "flaas.domain.round"),
        ("flaas.services.rounds", "def f():\n    from motor import motor_asyncio", "motor"),
        ("flaas.services.rounds", "if TYPE_CHECKING:\n    import flaas.app", "flaas.app"),
        ("flaas.services.rounds", "import tornado.ioloop", "tornado.ioloop"),
        ("flaas.web.base", "from flaas.store.mongo import open_store", "flaas.store.mongo"),
        ("flaas.web.base", "from flaas.files import keys", "flaas.files.keys"),
        ("flaas.store.mongo", "import aiobotocore.session", "aiobotocore.session"),
        ("flaas.store.mongo", "from flaas.services import rounds", "flaas.services.rounds"),
        ("flaas.files.s3", "import bson", "bson"),
        ("flaas.push.log", "from flaas.services import outbox", "flaas.services.outbox"),
        ("flaas.scheduler", "import flaas.store.mongo", "flaas.store.mongo"),
        ("flaas.fleet.phone", "from flaas.domain import round", "flaas.domain.round"),
        ("flaas.fleet.phone", "from flaas.domain import errors", "flaas.domain.errors"),
        ("flaas.app", "import motor.motor_asyncio", "motor.motor_asyncio"),
        ("flaas.cli", "from aiobotocore.session import get_session", "aiobotocore.session"),
        ("flaas.demo", "import pymongo", "pymongo"),
        ("flaas.lifecycle", "from flaas.store import mongo", "flaas.store.mongo"),
    ],
)
def test_a_wrong_arrow_is_found_and_named(module: str, source: str, target: str) -> None:
    path = MODULES[module]
    line = source.count("\n") + 1

    assert wrong_arrows(module, source, path) == [
        f"{path.relative_to(ROOT)}:{line}: {module} → {target}"
    ]


def test_a_part_without_a_line_in_the_table_is_found() -> None:
    (found,) = wrong_arrows("flaas.elsewhere", "", ROOT / "flaas" / "elsewhere.py")

    assert "elsewhere" in found


# --- routes ---

VERBS: Final = ("get", "head", "post", "put", "patch", "delete", "options")

HANDLERS: Final = sorted({handler for _, handler in ROUTES}, key=lambda one: one.__name__)


def answered_verbs(handler: type[RequestHandler]) -> set[str]:
    return {
        verb.upper()
        for verb in VERBS
        if getattr(handler, verb) is not getattr(RequestHandler, verb)
    }


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_handler_says_who_may_call_each_of_its_verbs(handler: type[Handler]) -> None:
    assert issubclass(handler, Handler)
    assert answered_verbs(handler)
    assert handler.access.keys() == answered_verbs(handler)
    assert all(isinstance(access, Access) for access in handler.access.values())


@pytest.mark.parametrize("verb", ["get", "post", "put", "patch", "delete"])
def test_a_handler_that_does_not_say_who_may_call_it_is_refused_at_import(verb: str) -> None:
    async def undeclared(self: Handler) -> None: ...

    undeclared.__name__ = verb

    with pytest.raises(TypeError, match=rf"Careless\.{verb} does not say who may call it"):
        type("Careless", (Handler,), {verb: undeclared})


def test_a_verb_that_is_written_anew_is_declared_anew() -> None:
    class Guarded(Handler):
        @allow(Access.STAFF)
        async def get(self) -> None: ...

    class Inherited(Guarded):
        pass

    assert Inherited.access == {"GET": Access.STAFF}
    with pytest.raises(TypeError, match=r"Careless\.get"):

        class Careless(Guarded):
            async def get(self) -> None: ...


PHONE_CALLS: Final = """
    POST  /api/token/                                          PUBLIC     Token
    POST  /api/token/refresh/                                  PUBLIC     TokenRefresh
    GET   /api/project                                         SIGNED_IN  ProjectList
    GET   /api/project/7                                       SIGNED_IN  ProjectDetail
    GET   /api/project/7/join-round/3/                         SIGNED_IN  JoinRound
    GET   /api/project/7/get-model/3/                          SIGNED_IN  GetModel
    GET   /api/get-samples/IID/0/                              SIGNED_IN  GetSamples
    GET   /api/get-samples/NonIID/2/                           SIGNED_IN  GetSamples
    POST  /api/report-availability                             SIGNED_IN  ReportAvailability
    POST  /api/project/7/submit-model/3/model_weights.bin      SIGNED_IN  SubmitModel
    POST  /api/project/7/submit-results/3/performance.json     SIGNED_IN  SubmitResults
"""


def matches(path: str, address: str) -> bool:
    request = HTTPServerRequest(
        start_line=RequestStartLine("GET", address, "HTTP/1.1"),
        headers=HTTPHeaders({"Host": "localhost"}),
    )
    return PathMatches(pattern(path)).match(request) is not None


def handlers_at(address: str) -> list[type[Handler]]:
    return [handler for path, handler in ROUTES if matches(path, address)]


@pytest.mark.parametrize("call", PHONE_CALLS.strip().splitlines(), ids=lambda call: call.split()[1])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_phone_s_calls_arrive_with_and_without_a_trailing_slash(call: str, slash: str) -> None:
    verb, address, access, name = call.split()

    (handler,) = handlers_at(address.rstrip("/") + slash)

    assert handler.__name__ == name
    assert handler.access[verb] is Access[access]


def filled(path: str) -> str:
    """An address that a route is for."""
    parts = []
    for part in path.split("/"):
        if part.startswith("{"):
            parts.append("2147483647" if part.endswith(":n}") else "model_weights.bin")
        else:
            parts.append(part)
    return "/".join(parts)


@pytest.mark.parametrize(("path", "handler"), ROUTES)
def test_a_route_is_served_with_and_without_a_trailing_slash(
    path: str, handler: type[Handler]
) -> None:
    for address in (filled(path).rstrip("/"), filled(path).rstrip("/") + "/"):
        assert not address or handlers_at(address)[0] is handler


@pytest.mark.parametrize(
    "address",
    [
        "/api/projects",
        "/api/project/7/join-round",
        "/api/project/seven",
        "/api/project/-7",
        "/api/project/7.0",
        "/api/project/7//",
        "/x/api/project/7",
        "/api/project/7/get-model/3/more",
        "/api/project/7/submit-model/3/",
        "/api/project/7/submit-model/3/a/b",
        "/api/get-samples/IID/red",
        "/API/token",
    ],
)
def test_an_address_that_is_no_route_s_matches_none(address: str) -> None:
    assert handlers_at(address) == []


def test_what_no_route_matches_is_answered_by_a_handler_without_verbs() -> None:
    assert UnknownRoute.access == {}
