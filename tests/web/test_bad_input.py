"""Bad requests, picked by hand: on bare sockets, since no client library would send them."""

import gzip
import json
import re
import time
from collections.abc import Iterator

import pytest

from .wire import Reply, everything, message
from .world import MODEL, RECORD, World

JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"

MEBIBYTE = 1 << 20


@pytest.fixture(autouse=True)
def _unharmed(world: World) -> Iterator[None]:
    """After every test: the server still answers, and nothing in its log is a surprise to it."""
    yield
    assert world.call("GET", "/healthz").status == 200
    logged = world.new_in_log()
    if world.changes():
        world.restore()
        world.new_in_log()
    assert "Traceback" not in logged, logged


def refused(world: World, reply: Reply, *statuses: int) -> None:
    assert reply.status in statuses, reply
    assert isinstance(reply.json, dict)
    assert world.changes() == []


# --- names and numbers in paths ---

ODD_NAMES = [
    "..",
    "%2e%2e",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%2f..%2f..%2f..%2ftmp%2fx",
    "..%5c..%5cx",
    "%2fetc%2fpasswd",
    ".partial",
    ".partial%2fx",
    "a%00b",
    "%00",
    "a%0ab",
    "a%0a",
    "%0d%0aX-Injected:%201",
    "%ff",
    "\xff\xfe",
    "%ed%a0%80",
    "caf%C3%A9",
    "%F0%9F%98%80",
    "%E2%80%AE",
    "%zz",
    "x" * 5000,
]

NAMED = [
    ("POST", "/api/project/1/submit-model/0/{}", "phone", MODEL),
    ("POST", "/api/project/1/submit-results/0/{}", "phone", b"{}"),
    ("GET", "/api/get-samples/{}/0", "phone", b""),
    ("GET", "/api/project/1/get-model/{}", "phone", b""),
    ("GET", "/api/project/1/join-round/{}", "phone", b""),
    ("PUT", "/admin/models/{}", "staff", MODEL),
    ("PUT", "/admin/samples/{}/0/0", "staff", RECORD),
    ("GET", "/admin/reports/{}", "staff", b""),
    ("GET", "/admin/reports/roundstats/{}", "staff", b""),
    ("GET", "/admin/reports/extract-projects-start/{}", "staff", b""),
    ("GET", "/admin/reports/extract-train-responses/1/{}", "staff", b""),
    ("POST", "/admin/commands/{}", "staff", b"{}"),
]


@pytest.mark.parametrize(("method", "path", "who", "body"), NAMED, ids=lambda part: str(part)[:60])
def test_odd_names_reach_nothing(
    world: World, method: str, path: str, who: str, body: bytes
) -> None:
    token = world.staff if who == "staff" else world.phones[0]
    for name in ODD_NAMES:
        reply = world.call(method, path.format(name), token, body)
        refused(world, reply, 400, 404)
        assert "x-injected" not in reply.headers


NUMBERS = ["2147483648", "4294967296", "9223372036854775808", "9" * 5000, "00000000001"]
NO_NUMBERS = ["-1", "+1", "1.0", "1e0", "0x1", "%31", "%D9%A1", "1%00", "1%0a", "NaN", "%20"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/project/{}"),
        ("DELETE", "/api/project/{}"),
        ("PATCH", "/api/project/{}"),
        ("GET", "/api/project/{}/get-model/0"),
        ("GET", "/api/project/1/get-model/{}"),
        ("GET", "/api/project/1/join-round/{}"),
        ("POST", "/api/project/1/submit-model/{}/model_weights.bin"),
        ("POST", "/api/project/{}/submit-results/0/performance.json"),
        ("GET", "/api/get-samples/IID/{}"),
        ("PUT", "/admin/samples/IID/{}/0"),
        ("PUT", "/admin/samples/IID/0/{}"),
    ],
)
def test_what_is_no_id_of_a_phone_names_nothing(world: World, method: str, path: str) -> None:
    for number in NUMBERS + NO_NUMBERS:
        for token in (world.staff, world.phones[0]):
            reply = world.call(method, path.format(number), token, b"")
            # A phone may not ask everywhere; where it may, there is nothing of that number.
            refused(world, reply, 403 if token != world.staff else 404, 404)


@pytest.mark.parametrize("number", ["2147483648", "-1", "1.5", '"1"', "true", "1e400", "9" * 5000])
def test_an_odd_request_id_is_refused(world: World, number: str) -> None:
    body = f'{{"request_type": "device-train", "request_id": {number}, "device_info": '
    body += '{"device_details": {}}}'
    path = "/api/report-availability"
    refused(world, world.call("POST", path, world.phones[0], body.encode(), JSON), 400)


@pytest.mark.parametrize("status", ["2147483648", "-1", "1.0", "%ff", "%00", "%D9%A1", "1&status="])
def test_an_odd_join_status_is_refused(world: World, status: str) -> None:
    path = f"/api/project/1/join-round/0/?status={status}"
    refused(world, world.call("GET", path, world.phones[0]), 400)


# --- documents ---

JSON_ROUTES = [
    ("POST", "/api/token"),
    ("POST", "/api/token/refresh"),
    ("POST", "/admin/login"),
    ("POST", "/api/project"),
    ("PUT", "/api/project/1"),
    ("PATCH", "/api/project/1"),
    ("POST", "/api/report-availability"),
    ("POST", "/api/project/1/submit-results/0/performance.json"),
    ("POST", "/admin/commands/assign"),
]

NO_JSON = {
    "deep list": b"[" * 200_000,
    "deep object": b'{"a":' * 100_000,
    "deep and whole": b"[" * 50_000 + b"]" * 50_000,
    "NaN": b'{"username": NaN, "title": NaN, "device_info": NaN}',
    "Infinity": b'{"username": -Infinity}',
    "too large a float": b'{"username": 1e999}',
    "too long an integer": b'{"username": ' + b"9" * 100_000 + b"}",
    "invalid UTF-8": b'{"username": "\xff\xfe"}',
    "overlong UTF-8": b'{"username": "\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"username": "\xed\xa0\x80"}',
    "half a surrogate pair": b'{"username": "\\ud800", "password": "x"}',
    "UTF-16": '{"username": "a"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"username": "a"}',
    "a null character": b'{"username": "a\x00b"}',
    "two documents": b"{}{}",
    "a comment": b"{} // end",
    "single quotes": b"{'username': 'a'}",
    "cut off": b'{"username": "a',
}


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
@pytest.mark.parametrize(("method", "path"), JSON_ROUTES)
def test_what_is_no_json_is_refused(world: World, method: str, path: str, body: bytes) -> None:
    phones = "report" in path or "submit" in path
    token = world.phones[0] if phones else world.staff
    reply = world.call(method, path, token, body, JSON)
    refused(world, reply, 400, 413)
    assert reply.json["code"] in ("malformed", "too_large")


@pytest.mark.parametrize(("method", "path"), JSON_ROUTES)
def test_ten_megabytes_are_refused_and_the_refusal_is_read(
    world: World, method: str, path: str
) -> None:
    token = world.phones[0] if "report" in path or "submit" in path else world.staff
    body = b'{"title": "' + b"x" * (10 * MEBIBYTE) + b'"}'
    for chunked in (False, True):
        headers = [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json")]
        reply = world.send(message(method, path, headers, body, chunked=chunked))
        assert reply
        refused(world, reply, 413)
        assert reply.json["code"] == "too_large"


def test_of_a_key_that_comes_twice_the_last_counts(world: World) -> None:
    body = b'{"title": {"$ne": ""}, "description": "first", "title": "T", "description": "last"}'
    reply = world.call("PATCH", "/api/project/2", world.staff, body, JSON)
    assert reply.status == 200
    assert (reply.json["title"], reply.json["description"]) == ("T", "last")


OPERATORS = [
    {"$ne": ""},
    {"$gt": ""},
    {"$regex": ".*"},
    {"$in": ["root", "phone1"]},
    {"$where": "sleep(10000)"},
    {"$exists": True},
    ["root"],
    [{"$ne": ""}],
]


@pytest.mark.parametrize("operator", OPERATORS, ids=json.dumps)
def test_operators_of_the_database_are_no_values(world: World, operator: object) -> None:
    right = {"username": "phone1", "password": world.password}
    for path in ("/api/token", "/admin/login"):
        for name in right:
            reply = world.call("POST", path, None, {**right, name: operator})
            refused(world, reply, 400)
            assert reply.json == {name: ["Not a valid string."]}
    refused(world, world.call("POST", "/api/token/refresh", None, {"refresh": operator}), 400)

    project = world.call("GET", "/api/project/1", world.staff).json
    for name in project.keys() - {"id", "create_date", "current_round"}:
        for method, document in (("PATCH", {name: operator}), ("PUT", {**project, name: operator})):
            reply = world.call(method, "/api/project/1", world.staff, document)
            refused(world, reply, 400)
            assert reply.json.keys() == {name}
    refused(world, world.call("PATCH", "/api/project/1", world.staff, {"$set": operator}), 400)

    for name in ("project", "prefix"):
        members = {"project": 1, "prefix": "phone", name: operator}
        reply = world.call("POST", "/admin/commands/assign", world.staff, members)
        # A list of one value is that value: a name that nobody has.
        refused(world, reply, 404 if name == "prefix" and operator == ["root"] else 400)
    for name in ("request_type", "request_id"):
        report = {"request_type": "device-train", "request_id": world.request_id}
        document = {**report, "device_info": {"device_details": {}}, name: operator}
        reply = world.call("POST", "/api/report-availability", world.phones[1], document)
        refused(world, reply, 400)


def test_operators_in_a_form_or_a_query_are_text(world: World) -> None:
    form = f"username[$ne]=&password={world.password}".encode()
    refused(world, world.call("POST", "/api/token", None, form, FORM), 400)
    form = f"username=%7B%22$ne%22:%22%22%7D&password={world.password}".encode()
    refused(world, world.call("POST", "/api/token", None, form, FORM), 401)
    path = "/admin/reports/countresponses?usernames[$ne]=x"
    refused(world, world.call("GET", path, world.staff), 400)
    path = "/admin/reports/countresponses/%7B%22$ne%22:%22%22%7D"
    refused(world, world.call("GET", path, world.staff), 404)


# --- device_info, which is kept as it comes ---

KEPT = {
    "operators": {"$where": "1", "$set": {"a": 1}, "$ne": None, "$": 1},
    "dots": {"a.b": 1, ".": {"..": 2}, "battery_status.level": 1},
    "references": {"$ref": 5, "$id": {"$oid": "x"}, "$db": [1]},
    "names of ours": {"_id": 1, "user_id": 1, "at": "never", "request_id": -1},
    "odd names": {"": 1, " ": 2, "\N{GRINNING FACE}": 3, "x" * 5000: 4, "__proto__": 5},
    "odd values": {"a": "\0", "b": -0.0, "c": 1e308, "d": 2**63 - 1, "e": -(2**63), "f": [[]]},
}


@pytest.mark.parametrize("odd", KEPT.values(), ids=KEPT)
def test_odd_names_in_device_info_are_kept_and_harm_nothing(
    world: World, odd: dict[str, object]
) -> None:
    info = {"device_details": {**odd, "os": "Android"}, "battery_status": odd, **odd}
    report = {"request_type": "device-ping", "device_info": info}
    world.succeed("POST", "/api/report-availability", world.phones[2], report)
    raw = world.database["device_statuses"].find_one(sort=[("at", -1)])
    assert raw
    assert dict(raw["device_info"]).keys() == info.keys()
    assert raw["request_id"] is None
    for form in ("text", "csv", "json"):
        path = f"/admin/reports/responses-per-user/phone3?format={form}"
        assert world.call("GET", path, world.staff).status == 200
    world.settle()


@pytest.mark.parametrize("value", [2**31, 2**63 - 1, -(2**31) - 1, 1.5, "12", True, [1], None])
def test_an_odd_version_reads_as_none(world: World, value: object) -> None:
    """It came from one phone; the report is on all of them."""
    info = {
        "device_details": {"version": value},
        "app_details": {"version_code": value},
        "usage_stats_details": {"app_standby_bucket": value},
    }
    report = {"request_type": "device-ping", "device_info": info}
    world.succeed("POST", "/api/report-availability", world.phones[2], report)
    path = "/admin/reports/responses-per-user/phone3"
    newest = world.succeed("GET", f"{path}?format=json", world.staff)[0]
    assert (newest["version_code"], newest["bucket"]) == (0, -1)
    assert world.call("GET", f"{path}?format=csv", world.staff).status == 200


REFUSED_INFO = {
    "a null character in a name": b'{"device_details": {}, "a": [{"b\\u0000c": 1}]}',
    "an integer of 65 bits": b'{"device_details": {"a": 18446744073709551616}}',
    "33 levels": b'{"device_details": {}, "a": ' + b"[" * 33 + b"]" * 33 + b"}",
    "no object": b"[]",
    "a list of details": b'{"device_details": []}',
    "70 KB": b'{"device_details": {"a": "' + b"x" * 70_000 + b'"}}',
}


@pytest.mark.parametrize("info", REFUSED_INFO.values(), ids=REFUSED_INFO)
def test_device_info_that_cannot_be_kept_is_refused(world: World, info: bytes) -> None:
    body = b'{"request_type": "device-ping", "device_info": ' + info + b"}"
    reply = world.call("POST", "/api/report-availability", world.phones[0], body, JSON)
    refused(world, reply, 400, 413)


# --- arguments of reports and commands ---


@pytest.mark.parametrize(
    "query", ["format=%ff", "past-minutes=%ff", "usernames=%ed%a0%80", "%ff=1", "usernames=a%00b"]
)
def test_a_query_that_is_no_text_is_refused(world: World, query: str) -> None:
    path = f"/admin/reports/countresponses?{query}"
    refused(world, world.call("GET", path, world.staff), 400)


@pytest.mark.parametrize(
    "path",
    [
        "countresponses?past-minutes=2147483647",
        "responses-per-user?past-minutes=2147483647&battery-level=0",
        "extract-device-status-responses/2020-01-01/9999-12-31?filename=x",
        "extract-device-status-responses/0001-01-01/9999-12-31/x",
        "extract-device-status-responses/9999-12-31/0001-01-01/x",
    ],
)
def test_a_window_may_be_as_wide_as_the_calendar(world: World, path: str) -> None:
    assert world.call("GET", f"/admin/reports/{path}", world.staff).status == 200


def test_a_prefix_of_any_length_is_compared(world: World) -> None:
    for prefix in ("x" * 40_000, "phone1.*", "^", "(", "\N{GRINNING FACE}"):
        members = {"project": 2, "prefix": prefix}
        refused(world, world.call("POST", "/admin/commands/assign", world.staff, members), 404)


def test_more_accounts_than_can_be_made_are_refused(world: World) -> None:
    for accounts in (100_001, 2**31 - 1, 2**31, 2**63, -1, 0, 1.5, "1e9"):
        body = {"accounts": accounts, "prefix": "new"}
        reply = world.call("POST", "/admin/commands/createusers", world.staff, body)
        refused(world, reply, 400)


def test_a_range_behind_the_end_is_refused_in_json(world: World) -> None:
    path = "/api/get-samples/IID/0"
    reply = world.call("GET", path, world.phones[0], None, "Range: bytes=999999-")
    refused(world, reply, 416)
    assert reply.headers["content-range"] == f"bytes */{len(RECORD)}"
    assert reply.headers["content-type"] == "application/json"


# --- framing ---

LIES = {
    "too long": ("Content-Length: 100", MODEL),
    "negative": ("Content-Length: -1", MODEL),
    "with a sign": ("Content-Length: +16", MODEL),
    "no number": ("Content-Length: many", MODEL),
    "empty": ("Content-Length: ", MODEL),
    "hexadecimal": ("Content-Length: 0x10", MODEL),
    "with an underscore": ("Content-Length: 1_6", MODEL),
    "a float": ("Content-Length: 16.0", MODEL),
    "a list": ("Content-Length: 16, 17", MODEL),
    "two that differ": ("Content-Length: 16\r\nContent-Length: 17", MODEL),
    "2^31": ("Content-Length: 2147483652", MODEL),
    "2^63": ("Content-Length: 9223372036854775808", MODEL),
    "5,000 digits": (f"Content-Length: {'9' * 5000}", MODEL),
    "both": (
        "Content-Length: 16\r\nTransfer-Encoding: chunked",
        b"10\r\n" + MODEL + b"\r\n0\r\n\r\n",
    ),
    "another coding": ("Transfer-Encoding: gzip, chunked", b"10\r\n" + MODEL + b"\r\n0\r\n\r\n"),
    "identity": ("Transfer-Encoding: identity", MODEL),
    "chunked twice": ("Transfer-Encoding: chunked, chunked", b"10\r\n" + MODEL + b"\r\n0\r\n\r\n"),
    "an odd chunk": ("Transfer-Encoding: chunked", b"zz\r\n" + MODEL + b"\r\n0\r\n\r\n"),
    "a negative chunk": ("Transfer-Encoding: chunked", b"-10\r\n" + MODEL + b"\r\n0\r\n\r\n"),
    "a huge chunk": ("Transfer-Encoding: chunked", b"f" * 16 + b"\r\n" + MODEL),
    "a chunk that is longer": ("Transfer-Encoding: chunked", b"8\r\n" + MODEL + b"\r\n0\r\n\r\n"),
    "a chunk that is cut": ("Transfer-Encoding: chunked", b"10\r\n" + MODEL[:8]),
    "a chunk that says much": ("Transfer-Encoding: chunked", b"10;" + b"a" * 200 + b"\r\n" + MODEL),
    "no last chunk": ("Transfer-Encoding: chunked", b"10\r\n" + MODEL + b"\r\n"),
}


@pytest.mark.parametrize(("header", "body"), LIES.values(), ids=LIES)
def test_a_body_that_is_not_as_announced_is_not_stored(
    world: World, header: str, body: bytes
) -> None:
    for path, method, token in (
        ("/admin/models/NEW", "PUT", world.staff),
        ("/api/project/1/submit-model/0/model_weights.bin", "POST", world.phones[0]),
        ("/api/project/1/submit-results/0/performance.json", "POST", world.phones[0]),
        ("/api/token", "POST", ""),
    ):
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{header}"
        reply = world.send(f"{head}\r\n\r\n".encode() + body, half_close=True)
        assert reply is None or 400 <= reply.status < 500
        assert world.changes() == []
    deadline = time.monotonic() + 30
    while world.partials and time.monotonic() < deadline:
        time.sleep(0.02)
    assert world.partials == []


def test_what_follows_a_body_that_is_announced_too_short_is_a_request_of_its_own(
    world: World,
) -> None:
    """Nothing of it is stored, and it does not borrow the credentials of what it came behind."""
    behind = b"DELETE /api/project/2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head = f"Host: x\r\nAuthorization: Bearer {world.staff}\r\nContent-Length: 16"
    sent = f"PUT /admin/models/NEW HTTP/1.1\r\n{head}\r\n\r\n".encode() + MODEL + behind
    answered = everything(world.url, sent)
    assert re.findall(rb"HTTP/1.1 (\d+)", answered) == [b"201", b"401"]
    assert (world.files / "models" / "NEW.bin").read_bytes() == MODEL
    assert world.call("GET", "/api/project/2", world.staff).status == 200


def test_a_chunked_body_is_as_good_as_another(world: World) -> None:
    path = "/api/project/1/submit-model/0/model_weights.bin"
    sent = message(
        "POST", path, [("Authorization", f"Bearer {world.phones[0]}")], MODEL, chunked=True
    )
    reply = world.send(sent)
    assert reply
    assert reply.status == 201


HEADS = {
    "many": "".join(f"X-{number}: 1\r\n" for number in range(50_000)),
    "many of one name": "X: 1\r\n" * 50_000,
    "a long one": f"X: {'1' * 100_000}\r\n",
    "one without an end": f"X: {'1' * (5 * MEBIBYTE)}",
    "many cookies": f"Cookie: {';'.join(f'a{number}=1' for number in range(20_000))}\r\n",
    "a null character": "X: a\0b\r\n",
    "no colon": "X\r\n",
    "a space before the colon": "X : 1\r\n",
    "a folded one": "X: 1\r\n 2\r\n",
    "a second host": "Host: y\r\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_odd_heads_are_turned_away(world: World, head: str) -> None:
    sent = f"GET /healthz HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode()
    reply = world.send(sent, half_close=True)
    assert reply is None or 400 <= reply.status < 500


@pytest.mark.parametrize("head", ["X: 1\r\n" * 9000, f"X: {'1' * 60_000}\r\n"])
def test_what_fits_into_a_head_is_read(world: World, head: str) -> None:
    reply = world.send(f"GET /healthz HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
    assert reply
    assert reply.status == 200


LINES = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "a space in the path": b"GET /health z HTTP/1.1\r\nHost: x\r\n\r\n",
    "a null character in the path": b"GET /health\0z HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long method": b"A" * 50_000 + b" / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a proxy's": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "another server's": b"GET http://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "of no path": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "up and down": b"GET /api/../healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "too many arguments": b"GET /healthz?" + b"a&" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("sent", LINES.values(), ids=LINES)
def test_odd_requests_are_turned_away(world: World, sent: bytes) -> None:
    reply = world.send(sent, half_close=True)
    assert reply is None or 400 <= reply.status < 500
    assert reply is None or b"Traceback" not in reply.body


# --- packed bodies ---


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", "deflate", "br", "identity, gzip"])
def test_a_packed_body_is_refused(world: World, coding: str) -> None:
    """Stored as it comes it would be no model, although its length may be that of one."""
    packed = gzip.compress(b"{}", mtime=0)
    packed += bytes(-len(packed) % 4)
    for method, path, token in (
        ("PUT", "/admin/models/NEW", world.staff),
        ("PUT", "/admin/samples/IID/1/0", world.staff),
        ("PATCH", "/api/project/1", world.staff),
        ("POST", "/api/report-availability", world.phones[0]),
        ("POST", "/api/token", None),
        ("POST", "/api/project/1/submit-model/0/model_weights.bin", world.phones[0]),
        ("POST", "/api/project/1/submit-results/0/performance.json", world.phones[0]),
    ):
        reply = world.call(method, path, token, packed, f"Content-Encoding: {coding}")
        refused(world, reply, 415)


def test_a_bomb_is_not_unpacked(world: World) -> None:
    """Less than a megabyte that would be 800."""
    bomb = gzip.compress(bytes(MEBIBYTE), mtime=0) * 800
    bomb += bytes(-len(bomb) % 4)
    assert len(bomb) < MEBIBYTE
    before = world.memory
    for method, path, token, header in (
        ("POST", "/api/token", None, "Content-Encoding: gzip"),
        ("POST", "/api/token", None, "Content-Type: application/gzip"),
        ("POST", "/api/project", world.staff, "Content-Encoding: gzip"),
        ("POST", "/api/project", world.staff, "Content-Type: application/gzip"),
        ("PUT", "/admin/models/NEW", world.staff, "Content-Encoding: gzip"),
    ):
        refused(world, world.call(method, path, token, bomb, header), 413, 415)
    assert world.memory - before < 200 * MEBIBYTE
