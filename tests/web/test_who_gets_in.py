"""Who gets in: every route against callers that must not. docs/threat-model.md names these."""

import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import encode_basic_auth
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pymongo import MongoClient

from flaas.lifecycle import running
from flaas.settings import Settings
from flaas.web.access import Access
from flaas.web.routes import ROUTES

from ..support import ADMIN, ADMIN_PASSWORD, Answer, Caller, PhoneCaller, Server, floats
from .conftest import MODEL, Trial

PLACES = {
    "{project_id:n}": "1",
    "{number:n}": "0",
    "{index:n}": "0",
    "{app:n}": "0",
    "{dataset_type}": "IID",
    "{file_name}": "model_weights.bin",
    "{name}": "tick",
    "{arguments:rest}": "1",
}

CALLS = [
    (verb, "/".join(PLACES.get(piece, piece) for piece in path.split("/")), access)
    for path, handler in ROUTES
    for verb, access in handler.access.items()
]
"""Every verb of every route, with who may call it."""

GUARDED = [(verb, path) for verb, path, access in CALLS if access is not Access.PUBLIC]
STAFF_ONLY = [(verb, path) for verb, path, access in CALLS if access is Access.STAFF]


async def answers(
    caller: Caller, calls: list[tuple[str, str]], headers: dict[str, str]
) -> dict[str, Answer]:
    """What each of these calls is answered."""
    found = {}
    for verb, path in calls:
        document = None if verb == "GET" else {"title": "Mine"}
        found[f"{verb} {path}"] = await caller.call(verb, path, document, headers=headers)
    return found


async def statuses(
    caller: Caller, calls: list[tuple[str, str]], headers: dict[str, str]
) -> set[int]:
    return {one.status for one in (await answers(caller, calls, headers)).values()}


@pytest.fixture
async def caller(server: Server) -> AsyncIterator[Caller]:
    async with Caller(server.url) as one:
        yield one


def test_only_these_are_open_to_everybody() -> None:
    assert {path for _, path, access in CALLS if access is Access.PUBLIC} == {
        "/healthz",
        "/api/token",
        "/api/token/refresh",
        "/admin/login",
        "/admin/logout",
    }
    assert all(access is Access.STAFF for _, path, access in CALLS if "/admin/re" in path)


# --- tokens ---

Claims = dict[str, Any]
Key = Callable[[str], bytes]


def part(value: bytes | dict[str, Any]) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: dict[str, Any], claims: Claims, key: bytes, digest: str = "sha256") -> str:
    """A token made by hand: libraries refuse to make wrong ones."""
    text = f"{part({'typ': 'JWT', **header})}.{part(claims)}"
    return f"{text}.{part(hmac.new(key, text.encode(), digest).digest())}"


ATTACKER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PRIVATE = ATTACKER.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)
PUBLIC = ATTACKER.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
JWK = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(ATTACKER.public_key()))

HS: dict[str, Any] = {"alg": "HS256"}
FORGED: dict[str, Callable[[Claims, bytes], str]] = {
    "no signature, alg none": lambda c, k: f"{part({'alg': 'none'})}.{part(c)}.",
    "no signature, alg nOnE": lambda c, k: f"{part({'alg': 'nOnE'})}.{part(c)}.",
    "alg none, signed": lambda c, k: signed({"alg": "none"}, c, k),
    "no signature, alg HS256": lambda c, k: f"{part(HS)}.{part(c)}.",
    "no algorithm": lambda c, k: signed({}, c, k),
    "another key": lambda c, k: signed(HS, c, b"another secret that is long enough for it"),
    "an empty key": lambda c, k: signed(HS, c, b""),
    "a public key as the secret": lambda c, k: signed(HS, c, PUBLIC),
    "RS256 of a stranger": lambda c, k: jwt.encode(c, PRIVATE, "RS256"),
    "RS256 with the key inside": lambda c, k: jwt.encode(c, PRIVATE, "RS256", {"jwk": JWK}),
    "RS256 by name, the secret's HMAC": lambda c, k: signed({"alg": "RS256"}, c, k),
    "HS512 of the secret": lambda c, k: signed({"alg": "HS512"}, c, k, "sha512"),
    "HS256 with a key's path": lambda c, k: signed({**HS, "kid": "/dev/null"}, c, b""),
    "expired": lambda c, k: signed(HS, {**c, "exp": c["iat"] - 1}, k),
    "a refresh token": lambda c, k: signed(HS, {**c, "token_type": "refresh"}, k),
    "nobody's": lambda c, k: signed(HS, {**c, "user_id": 2_000_000}, k),
    "claims changed": lambda c, k: ".".join(
        [(good := signed(HS, c, k).split("."))[0], part({**c, "iat": 1}), good[2]]
    ),
}


@pytest.fixture
def claims(server: Server) -> Claims:
    """Those of the operator, who may do everything."""
    now = int(server.clock().timestamp())  # type: ignore[operator]
    return {"token_type": "access", "exp": now + 3600, "iat": now, "jti": "a" * 32, "user_id": 1}


@pytest.fixture
def key(server: Server) -> bytes:
    assert server.app.settings.jwt_secret
    return server.app.settings.jwt_secret.reveal().encode()


async def test_the_tokens_below_would_be_good_if_they_were_not_forged(
    caller: Caller, claims: Claims, key: bytes
) -> None:
    headers = {"Authorization": f"Bearer {signed(HS, claims, key)}"}
    assert (await caller.call("GET", "/admin/reports", headers=headers)).status == 200


@pytest.mark.parametrize("how", FORGED)
async def test_a_forged_token_opens_no_route(
    caller: Caller, claims: Claims, key: bytes, how: str
) -> None:
    token = FORGED[how](claims, key)
    assert await statuses(caller, GUARDED, {"Authorization": f"Bearer {token}"}) == {401}
    refresh = FORGED[how]({**claims, "token_type": "refresh"}, key)
    if how == "a refresh token":
        refresh = signed(HS, claims, key)
    answer = await caller.call("POST", "/api/token/refresh/", {"refresh": refresh})
    assert (answer.status, answer.json["code"]) == (403, "token_not_valid")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer  ",
        "Basic",
        "Basic !",
        "Basic " + base64.b64encode(b"root").decode(),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Token abc",
        encode_basic_auth(ADMIN, "wrong"),
    ],
)
async def test_what_is_no_good_credential_opens_no_route(caller: Caller, header: str) -> None:
    found = await statuses(caller, GUARDED, {"Authorization": header} if header else {})
    # A wrong password too many waits.
    assert found <= {401, 429}


async def test_a_name_and_password_are_for_operators_only(caller: Caller) -> None:
    api = [(verb, path) for verb, path in GUARDED if path.startswith("/api/")]
    basic = {"Authorization": encode_basic_auth(ADMIN, ADMIN_PASSWORD)}
    assert await statuses(caller, api, basic) == {401}


# --- phones ---


async def test_a_phone_opens_no_route_of_the_staff(trial: Trial, caller: Caller) -> None:
    phone = trial.phones[0]
    (made,) = await trial.server.app.services.accounts.create_users(1, prefix="other")
    for credentials in (f"Bearer {phone.token}", encode_basic_auth("other1", made.password)):
        calls = [
            (verb, path)
            for verb, path in STAFF_ONLY
            if credentials.startswith("Bearer") or path.startswith("/admin/")
        ]
        assert await statuses(caller, calls, {"Authorization": credentials}) == {403}
    assert len((await trial.server.operator.call("GET", "/api/project")).json) == 1


@pytest.fixture
async def stranger(trial: Trial) -> AsyncIterator[PhoneCaller]:
    """A phone of another project."""
    other = await trial.server.operator.create_project(title="Another")
    (phone,) = await trial.server.phones(1, other, prefix="stranger")
    async with phone:
        yield phone


async def test_a_phone_reaches_nothing_of_another_s_project(
    trial: Trial, stranger: PhoneCaller
) -> None:
    round_ = await trial.ask_all()
    mine, theirs = trial.phones[0], stranger
    project = trial.project_id
    assert (await mine.submit_model(project, 0, floats(MODEL))).status == 201
    for answer in (
        await theirs.call("GET", f"/api/project/{project}"),
        await theirs.join(project, 0),
        await theirs.get_model(project, 0),
        await theirs.submit_model(project, 0, floats([9.0] * len(MODEL))),
        await theirs.submit_results(project, 0, {"general": {}}),
        await theirs.report(round_.request_id),
    ):
        assert (answer.status, answer.json) == (
            403,
            {"detail": "You are not assigned to this project.", "code": "permission_denied"},
        )
    assert {one["title"] for one in (await theirs.call("GET", "/api/project")).json} == {"Another"}
    # Nothing of it was stored, and what the phone of the project sent is as it was.
    assert (await mine.submit_model(project, 0, floats(MODEL))).status in (200, 201)
    joined = await trial.server.app.services.store.participants.all(round_.id)
    assert {one.username for one in joined} == {one.username for one in trial.phones}
    keys = [
        str(path.relative_to(trial.server.app.settings.data_dir))
        for path in (trial.server.app.settings.data_dir / "files").rglob("*.bin")
    ]
    assert len([one for one in keys if "/projects/1/0/" in one]) == 2


async def test_another_phone_s_update_and_results_are_nobody_s_to_read(trial: Trial) -> None:
    await trial.ask_all()
    first, second = trial.phones[:2]
    assert (await first.submit_model(trial.project_id, 0, floats(MODEL))).status == 201
    assert (
        await first.submit_results(trial.project_id, 0, {"general": {"secret": 1}})
    ).status == 201
    found = await trial.server.app.services.store.users.by_username(first.username)
    assert found
    for path in (
        f"/api/project/1/submit-model/0/model_weights.bin?device={found.device_id}",
        "/api/project/1/submit-results/0/performance.json",
        f"/api/project/1/get-model/0/{found.device_id}",
        f"/api/project/1/get-model/0/{found.device_id}/model_weights.bin",
        f"/files/projects/1/0/{found.device_id}/model_weights.bin",
        f"/api/project/1/get-model/0%2F{found.device_id}",
    ):
        assert (await second.call("GET", path)).status in (404, 405)


async def test_a_phone_reads_its_own_samples_and_no_other_s(trial: Trial) -> None:
    records = {}
    for phone in trial.phones[:2]:
        user = await trial.server.app.services.store.users.by_username(phone.username)
        assert user is not None
        index = user.samples_index
        records[phone.username] = bytes([index or 0]) * 3073
        body = records[phone.username]
        path = f"/admin/samples/IID/{index}/0"
        assert (await trial.server.operator.call("PUT", path, body=body)).status == 201
    for phone in trial.phones[:2]:
        for query in ("", "?samples_index=0", "?samples_index=1", "?index=1&user=1"):
            answer = await phone.call("GET", f"/api/get-samples/IID/0/{query}")
            assert answer.body == records[phone.username]
        for path in ("IID%2F1/0", "..%2FIID/0", "IID/0/1", "IID/1%2F0", "../IID/1/0"):
            assert (await phone.call("GET", f"/api/get-samples/{path}")).status == 404


async def test_a_phone_that_was_moved_has_no_part_in_its_old_project(trial: Trial) -> None:
    phone = trial.phones[0]
    assert (await phone.get_model(trial.project_id, 0)).status == 200
    other = await trial.server.operator.create_project(title="Another")
    await trial.server.app.services.accounts.assign(other, phone.username)
    assert (await phone.get_model(trial.project_id, 0)).status == 403


# --- sessions that end ---


async def sign_in(url: str, username: str, password: str) -> dict[str, str]:
    async with Caller(url) as caller:
        answer = await caller.call(
            "POST", "/api/token/", {"username": username, "password": password}
        )
        assert answer.status == 200
        return dict(answer.json)


ENDINGS = ["deactivate", "set-password", "delete"]


@pytest.mark.parametrize("ending", ENDINGS)
async def test_an_account_s_sessions_end_at_once_on_every_server(
    make_settings: Callable[..., Settings], server: Server, ending: str
) -> None:
    """Tokens, cookies and passwords, of phones and of staff, where the change was not made."""
    accounts = server.app.services.accounts
    (phone,) = await accounts.create_users(1, prefix="phone")
    await accounts.ensure_staff("boss", "the boss's password")
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        running(make_settings(), server.clock) as (_, url),  # type: ignore[arg-type]
        Caller(url) as caller,
        aiohttp.ClientSession(url, cookie_jar=jar) as browser,
    ):
        pairs = [
            await sign_in(url, phone.username, phone.password),
            await sign_in(url, "boss", "the boss's password"),
        ]
        boss = {"username": "boss", "password": "the boss's password"}
        basic = {"Authorization": encode_basic_auth("boss", "the boss's password")}
        await browser.post("/admin/login", json=boss)

        async def open_doors() -> list[int]:
            doors = [
                (
                    await caller.call(
                        "GET", "/api/project", headers={"Authorization": f"Bearer {one['access']}"}
                    )
                ).status
                for one in pairs
            ]
            async with browser.get("/admin/reports") as answer:
                doors.append(answer.status)
            doors.append((await caller.call("GET", "/admin/reports", headers=basic)).status)
            return doors

        assert await open_doors() == [200] * 4
        for username in (phone.username, "boss"):
            await end(server, ending, username)
        assert await open_doors() == [401] * 4
        for pair in pairs:
            document = {"refresh": pair["refresh"]}
            answer = await caller.call("POST", "/api/token/refresh/", document)
            assert answer.status == 403
        answer = await caller.call("POST", "/api/token/", boss)
        assert (answer.status, answer.json["code"]) == (401, "no_active_account")
        if ending == "deactivate":
            # What ended stays ended: whoever has a stolen phone does not get back in with it.
            for username in (phone.username, "boss"):
                await end(server, "activate", username)
            assert await open_doors() == [401, 401, 401, 200]


async def end(server: Server, ending: str, username: str) -> None:
    if ending == "delete":
        assert server.app.settings.mongodb_uri
        with MongoClient(server.app.settings.mongodb_uri.reveal()) as client:
            client.get_default_database()["users"].delete_one({"username": username})
        return
    path, document = f"/admin/commands/{ending}", {"username": username}
    assert (await server.operator.call("POST", path, document)).status == 200


async def test_a_refresh_token_that_is_used_after_its_time_is_refused_and_recorded(
    server: Server, caller: Caller
) -> None:
    (phone,) = await server.app.services.accounts.create_users(1, prefix="phone")
    first = await sign_in(server.url, phone.username, phone.password)

    async def refresh(token: str) -> Answer:
        return await caller.call("POST", "/api/token/refresh/", {"refresh": token})

    second = (await refresh(first["refresh"])).json
    assert (await refresh(first["refresh"])).status == 200
    assert (await refresh(second["refresh"])).status == 200
    assert server.app.settings.mongodb_uri
    with MongoClient(server.app.settings.mongodb_uri.reveal()) as client:
        events = client.get_default_database()["events"]
        query = {"what": "retired refresh token presented"}
        assert events.count_documents(query) == 0
        for times in (1, 2):
            answer = await refresh(first["refresh"])
            assert (answer.status, answer.json["code"]) == (403, "token_not_valid")
            assert events.count_documents(query) == times
        found = events.find_one(query)
        assert found
        assert found["who"] == f"user {jwt_claims(first['access'])['user_id']}"
        assert first["refresh"] not in str(found)


def jwt_claims(token: str) -> Claims:
    decoded: Claims = jwt.decode(token, options={"verify_signature": False})
    return decoded


# --- browsers ---


async def test_no_change_is_made_by_a_cookie_alone(server: Server) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    credentials = {"username": ADMIN, "password": ADMIN_PASSWORD}
    changes = [call for call in STAFF_ONLY if call[0] != "GET" and call[1].startswith("/admin/")]
    assert len(changes) >= 3
    async with aiohttp.ClientSession(server.url, cookie_jar=jar) as browser:
        await browser.post("/admin/login", json=credentials)
        for verb, path in changes:
            async with browser.request(verb, path, json={}) as answer:
                assert answer.status == 403, path
                assert "_xsrf" in (await answer.json())["detail"]


@pytest.mark.parametrize("credentials", ["", "Bearer"])
async def test_every_answer_tells_browsers_what_not_to_do(
    server: Server, caller: Caller, credentials: str
) -> None:
    headers = {"Authorization": f"Bearer {server.operator.token}"} if credentials else {}
    calls = [(verb, path) for verb, path, _ in CALLS] + [("GET", "/nowhere"), ("PUT", "/healthz")]
    found = await answers(caller, calls, headers)
    expected = {200, 400, 404, 405} if credentials else {200, 400, 401, 404, 405}
    assert {one.status for one in found.values()} >= expected
    for call, answer in found.items():
        assert answer.headers["X-Content-Type-Options"] == "nosniff", call
        assert answer.headers["X-Frame-Options"] == "DENY", call
        policy = answer.headers["Content-Security-Policy"]
        rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
        assert rules["default-src"] == "'self'", call
        assert rules["frame-ancestors"] == rules["object-src"] == rules["base-uri"] == "'none'"
        assert "unsafe" not in policy
        assert "Server" not in answer.headers
