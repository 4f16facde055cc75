"""What the fuzzer sends: requests that a client might make, made wrong in some places or in all.

Everything is built from what the server knows of itself (the routes, the operations, the fields
of a project), so that a new route or a new option is tried without a line here.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import msgspec
from hypothesis import strategies as st

from flaas.domain.project import ProjectSettings
from flaas.operations.catalogue import OPERATIONS
from flaas.operations.operation import Operation
from flaas.web.access import Access
from flaas.web.base import Handler
from flaas.web.uploads import UploadHandler

from ..support import ADMIN, ADMIN_PASSWORD, DEVICE_INFO
from .wire import Headers, message
from .world import MODEL, RECORD, UPDATE, World


class Route(NamedTuple):
    """A line of the table of routes."""

    path: str
    handler: type[Handler]


# --- values ---

ODD_NUMBERS: Final = [0, 1, 2, 7, -1, 2**31 - 1, 2**31, 2**32, -(2**31) - 1, 2**63, 2**64, 10**30]
"""None between ten and two billions: a command that makes that many accounts may succeed."""

ODD_TEXTS: Final = [
    "",
    " ",
    "\0",
    "a\0b",
    "../../etc/passwd",
    "..",
    "$ne",
    "a.b",
    "\r\nX-Injected: 1",
    "\N{GRINNING FACE}",
    "\ud800",
    "e\N{COMBINING ACUTE ACCENT}",
    "x" * 300,
    "y" * 70_000,
    "1e9",
    "NaN",
    "٣",
    "0000-00-00",
    "9999-12-31",
    "0001-01-01",
]

numbers = st.sampled_from(ODD_NUMBERS) | st.floats()
texts = st.sampled_from(ODD_TEXTS) | st.text(max_size=8)
operators = st.sampled_from(["$ne", "$gt", "$where", "$regex", "$set", "$ref", "a.b", "", "\0"])
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(operators | texts, inner),
    max_leaves=6,
)


@st.composite
def deep(draw: st.DrawFn) -> Any:
    value: Any = draw(anything)
    for _ in range(draw(st.sampled_from([0, 0, 0, 30, 40, 300]))):
        value = [value] if draw(st.booleans()) else {"a": value}
    return value


# --- documents that are right ---

RIGHT_ARGUMENTS: Final[dict[str, Any]] = {
    "accounts": 2,
    "prefix": "phone",
    "username": "somebody",
    "usernames": ["phone1"],
    "length": 10,
    "filename": "extract.json",
    "start": "2020-01-01",
    "end": "2030-01-01",
    "type": "replied",
    "plugged-only": True,
    "once": True,
    "format": "json",
}
"""Of operations; any other is 1."""

FIELDS: Final = sorted(
    {one.name for one in msgspec.structs.fields(ProjectSettings)}
    | {one.name for operation in OPERATIONS.values() for one in operation.parameters}
    | {"username", "password", "refresh", "format", "status", "id", "create_date"}
    | {"request_type", "request_id", "device_info", "device_details", "battery_status"}
)


def right_documents(world: World, path: str) -> list[dict[str, Any]]:
    """What the route takes; of a route that is not named here, whatever any takes."""
    credentials = [
        {"username": "phone1", "password": world.password},
        {"username": ADMIN, "password": ADMIN_PASSWORD},
    ]
    projects = [
        {"title": "New", "model": "M", "status": "In Progress", "seed": 1},
        {"title": "Project 1", "model": "M", "responses_ratio_threshold": "0.10"},
        {"title": "Project 1", "model": "M", "dataset": "X", "description": "Y"},
    ]
    reports = [
        {"request_type": "device-ping", "device_info": DEVICE_INFO},
        {
            "request_type": "device-train",
            "request_id": world.request_id,
            "device_info": DEVICE_INFO,
        },
    ]
    results = [{"local_training_worker": {"epochs": [2.0, 1.0]}, "evaluation": {"accuracy": 0.5}}]
    known = {
        "/api/token": credentials,
        "/admin/login": credentials,
        "/api/token/refresh": [{"refresh": world.refresh}],
        "/api/project": projects,
        "/api/project/{project_id:n}": projects,
        "/api/report-availability": reports,
        "/api/project/{project_id:n}/submit-results/{number:n}/{file_name}": results,
    }
    return known.get(path) or [one for documents in known.values() for one in documents]


@st.composite
def documents(
    draw: st.DrawFn, world: World, path: str, operation: Operation | None
) -> dict[str, Any]:
    """A right one with a few fields taken out, made odd, or put in."""
    if operation is None:
        document = dict(draw(st.sampled_from(right_documents(world, path))))
    else:
        named = {one.name: RIGHT_ARGUMENTS.get(one.name, 1) for one in operation.parameters}
        document = {**named, "format": "json"}
    # One most often: of two things that are wrong, the first hides the second.
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 1, 1, 2, 3]))):
        likely = draw(st.integers(0, 7)) > 0
        name = draw(st.sampled_from(sorted(document) or FIELDS) if likely else names)
        if draw(st.integers(0, 7)):
            document[name] = draw(numbers | texts | deep())
        else:
            document.pop(name, None)
    return document


# --- parts of a request ---

ODD_PIECES: Final = [
    "..",
    ".",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..%5c",
    "%00",
    "M%00.bin",
    "%ff",
    "%ed%a0%80",
    "\xff\xfe",
    "%0a",
    "%0d%0aX-Injected:%201",
    "%F0%9F%98%80",
    "%zz",
    "%",
    ".partial",
    "$ne",
    "x" * 300,
    "2147483648",
    "9" * 400,
    "-1",
    "1.5",
    "1e3",
    "%31",
    "%D9%A3",
]

RIGHT_PIECES: Final[dict[str, list[str]]] = {
    "project_id": ["1", "1", "1", "2"],
    "number": ["0", "0", "0", "1"],
    "dataset_type": ["IID", "NonIID"],
    "app": ["0", "1"],
    "index": ["0", "1"],
}

FILE_NAMES: Final = {"submit-model": "model_weights.bin", "submit-results": "performance.json"}

odd_pieces = st.sampled_from(ODD_PIECES) | st.text(min_size=1, max_size=6).map(
    lambda text: quote(text.encode("utf-8", "surrogatepass"))
)
names = st.sampled_from(FIELDS) | texts


def right_pieces(name: str, path: str, operation: Operation | None) -> list[str]:
    if name in RIGHT_PIECES:
        return RIGHT_PIECES[name]
    if name == "file_name":
        return [right for part, right in FILE_NAMES.items() if part in path]
    if operation is None:
        return ["M", "NEW"]
    if name == "name":
        return [operation.name]
    filled = [RIGHT_ARGUMENTS.get(one.name, 1) for one in operation.parameters if one.positional]
    return ["/".join(str(one[0] if isinstance(one, list) else one) for one in filled) or "1"]


@st.composite
def targets(draw: st.DrawFn, path: str, operation: Operation | None) -> str:
    """The path of a route with its parameters filled in, and perhaps a query."""
    odd = draw(st.integers(0, 3)) == 0
    parts = []
    for part in path.split("/"):
        name, _, kind = part.strip("{}").partition(":")
        if not part.startswith("{"):
            parts.append(part)
        elif odd and draw(st.booleans()):
            many = st.lists(odd_pieces, min_size=1, max_size=4).map("/".join)
            parts.append(draw(many if kind == "rest" else odd_pieces))
        else:
            right = draw(st.sampled_from(right_pieces(name, path, operation)))
            # One of several arguments may be odd.
            arguments = right.split("/")
            if len(arguments) > 1 and draw(st.booleans()):
                arguments[draw(st.integers(0, len(arguments) - 1))] = draw(odd_pieces)
            parts.append("/".join(arguments))
    target = "/".join(parts) + draw(st.sampled_from(["", "/"]))
    return target + draw(st.just("") | queries(operation))


@st.composite
def queries(draw: st.DrawFn, operation: Operation | None) -> str:
    own = [one.name for one in operation.parameters] if operation else ["status"]
    pairs = []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        likely = draw(st.integers(0, 7)) > 0
        name = draw(st.sampled_from([*own, "format"]) if likely else names)
        odd = draw(st.integers(0, 3)) > 0
        value = draw(numbers | texts) if odd else RIGHT_ARGUMENTS.get(name, 1)
        pairs.append((name[:300], str(value)[:300]))
    query = urlencode(pairs, errors="surrogatepass")
    return "?" + query + draw(st.sampled_from([""] * 6 + ["&%ff=%ff", "&format=%ff", "&&=&", "%"]))


@st.composite
def credentials(draw: st.DrawFn, world: World, access: Access | None) -> list[tuple[str, str]]:
    """Mostly of somebody who may call; else of nobody, of somebody else, or of nobody there is."""
    phone = [("Authorization", f"Bearer {world.phones[0]}")]
    other = [("Authorization", f"Bearer {world.phones[1]}")]
    staff = [("Authorization", f"Bearer {world.staff}")]
    basic = [("Authorization", world.basic)]
    wrong = [
        [("Authorization", "Bearer")],
        [("Authorization", f"Bearer {world.refresh}")],
        [("Authorization", f"Bearer {world.staff}x")],
        [("Authorization", "Bearer " + "e30." * 3)],
        [("Authorization", "Basic \xff")],
        [("Authorization", "Basic AAAA")],
        [("Cookie", "flaas_session=2|1:0|10:1|13:flaas_session|4:e30=|x; _xsrf=\xff")],
    ]
    may = {
        Access.STAFF: [staff, staff, staff, basic],
        Access.SIGNED_IN: [phone, phone, other, staff],
    }
    likely = draw(st.integers(0, 4)) > 0
    if likely and access in may:
        return draw(st.sampled_from(may[access]))
    return draw(st.sampled_from([[], phone, other, staff, *wrong]))


visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"))
values = visible.map(lambda text: "".join(one for one in text if not 0x7F <= ord(one) < 0xA0))

HEADERS: Final = {
    "Range": [
        "bytes=0-1",
        "bytes=9999-",
        "bytes=-0",
        "bytes=\xb2-",
        "bytes=5-2",
        "bytes=" + "9" * 40,
    ],
    "If-None-Match": ["*", '"x"', "W/", '"'],
    "If-Range": ['"x"', "Wed, 21 Oct 2015 07:28:00 GMT"],
    "Content-Encoding": ["gzip", "deflate, gzip", "identity", "\xff"],
    "Cookie": ["_xsrf=2|a|b|1", "a=b; a=c; =;;", "\xff=\xff"],
    "X-XSRFToken": ["2|a|b|1", "\xff"],
    "X-Forwarded-For": ["10.0.0.1", "\xff"],
    "X-HTTP-Method-Override": ["DELETE"],
    "Accept": ["text/html", "*/*", "\xff"],
    "Expect": ["100-continue", "200-ok"],
    "Connection": ["close", "upgrade"],
    "Upgrade": ["websocket", "h2c"],
}


@st.composite
def headers(draw: st.DrawFn) -> list[tuple[str, str]]:
    names = draw(st.lists(st.sampled_from(sorted(HEADERS)), max_size=2, unique=True))
    return [(name, draw(st.sampled_from(HEADERS[name]) | values)) for name in names]


@st.composite
def bodies(
    draw: st.DrawFn, world: World, route: Route, operation: Operation | None
) -> tuple[str, bytes]:
    """A media type and a body, which mostly go together."""
    right = documents(world, route.path, operation)
    usual = ["file"] if issubclass(route.handler, UploadHandler) else ["json", "json", "form"]
    kind = draw(st.sampled_from(usual * 3 + ["json", "form", "file", "bytes", "none"]))
    if kind == "json":
        body = json.dumps(draw(right if draw(st.integers(0, 4)) else deep())).encode()
        if draw(st.integers(0, 4)) == 0:
            body = draw(st.sampled_from([body[:-1], body + b"}", body + b"\0", b"\xff" + body]))
        media = "application/json"
    elif kind == "form":
        body = urlencode(list(draw(right).items()), doseq=True, errors="surrogatepass").encode()
        body += draw(st.sampled_from([b"", b"", b"&%ff=1", b"&=&&", b"\xff"]))
        media = "application/x-www-form-urlencoded"
    elif kind == "file":
        nan, short = b"\0\0\xc0\x7f" * 4, MODEL[:-1]
        body = draw(st.sampled_from([UPDATE, UPDATE, MODEL, RECORD, MODEL * 2, nan, short]))
        media = "application/octet-stream"
    else:
        body = draw(st.binary(max_size=64)) if kind == "bytes" else b""
        media = ""
    if draw(st.integers(0, 15)) == 0:
        odd = ["", "text/xml", "multipart/form-data; boundary=x", "application/json; charset=x"]
        media = draw(st.sampled_from(odd) | values)
    return media, body


# --- the whole ---


@dataclass(frozen=True)
class Request:
    """One request; its repr is what a failed test shows."""

    method: str
    target: str
    headers: Headers
    body: bytes
    chunked: bool

    @property
    def sent(self) -> bytes:
        return message(self.method, self.target, self.headers, self.body, chunked=self.chunked)


@st.composite
def requests(
    draw: st.DrawFn, world: World, verb: str, route: Route, operation: Operation | None = None
) -> Request:
    """For a verb and a route. `operation` is the one to run, where the route runs one."""
    with_body = verb != "GET" or draw(st.integers(0, 7)) == 0
    media, body = draw(bodies(world, route, operation)) if with_body else ("", b"")
    sent = list(draw(credentials(world, route.handler.access.get(verb))))
    if draw(st.integers(0, 3)) == 0:
        sent += draw(headers())
    if media:
        sent.append(("Content-Type", media))
    target = draw(targets(route.path, operation))
    return Request(verb, target, sent, body, draw(st.integers(0, 5)) == 0)
