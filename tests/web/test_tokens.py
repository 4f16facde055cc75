"""Signing in over HTTP, as the app does."""

from collections.abc import AsyncIterator

import jwt
import pytest

from ..support import Caller, Server

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def caller(server: Server) -> AsyncIterator[Caller]:
    await server.app.services.accounts.create_users(1, prefix="phone")
    async with Caller(server.url) as one:
        yield one


@pytest.fixture
async def password(server: Server) -> str:
    (created,) = await server.app.services.accounts.create_users(1, prefix="someone")
    return created.password


async def test_a_form_and_json_both_sign_in(server: Server, caller: Caller, password: str) -> None:
    form = f"username=someone1&password={password}".encode()
    by_form = await caller.call("POST", "/api/token/", body=form, headers=FORM)
    document = {"username": "someone1", "password": password}
    by_json = await caller.call("POST", "/api/token", document)
    for answer in (by_form, by_json):
        assert answer.status == 200
        assert answer.json.keys() == {"access", "refresh"}
    claims = jwt.decode(by_form.json["access"], options={"verify_signature": False})
    assert claims.keys() == {"token_type", "exp", "iat", "jti", "user_id"}
    assert claims["token_type"] == "access"
    assert claims["exp"] - claims["iat"] == 30 * 86_400


@pytest.mark.parametrize(
    ("document", "status", "answer"),
    [
        (
            {"username": "someone1", "password": "wrong"},
            401,
            {
                "detail": "No active account found with the given credentials",
                "code": "no_active_account",
            },
        ),
        (
            {"username": "nobody", "password": "wrong"},
            401,
            {
                "detail": "No active account found with the given credentials",
                "code": "no_active_account",
            },
        ),
        ({"password": "x"}, 400, {"username": ["This field is required."]}),
        ({"username": "x", "password": ""}, 400, {"password": ["This field may not be blank."]}),
        (
            {"username": {"$ne": ""}, "password": "x"},
            400,
            {"username": ["Not a valid string."]},
        ),
    ],
)
async def test_wrong_credentials(
    caller: Caller,
    password: str,
    document: dict[str, object],
    status: int,
    answer: dict[str, object],
) -> None:
    answered = await caller.call("POST", "/api/token/", document)
    assert (answered.status, answered.json) == (status, answer)


async def test_the_token_routes_ignore_a_token_that_is_sent_along(
    caller: Caller, password: str
) -> None:
    stale = {"Authorization": "Bearer expired"}
    document = {"username": "someone1", "password": password}
    signed_in = await caller.call("POST", "/api/token/", document, headers=stale)
    assert signed_in.status == 200
    document = {"refresh": signed_in.json["refresh"]}
    assert (await caller.call("POST", "/api/token/refresh/", document, headers=stale)).status == 200


@pytest.mark.parametrize(
    ("refresh", "status"), [("", 400), ("   ", 400), (None, 400), ("x.y.z", 403), ("nonsense", 403)]
)
async def test_the_refresh_route_never_answers_401(
    caller: Caller, refresh: str | None, status: int
) -> None:
    document = {} if refresh is None else {"refresh": refresh}
    answer = await caller.call("POST", "/api/token/refresh/", document)
    assert answer.status == status
    if status == 403:
        assert answer.json == {"detail": "Token is invalid or expired", "code": "token_not_valid"}


async def test_the_kinds_of_token_are_not_taken_for_one_another(
    caller: Caller, password: str
) -> None:
    document = {"username": "someone1", "password": password}
    pair = (await caller.call("POST", "/api/token/", document)).json
    answer = await caller.call("POST", "/api/token/refresh/", {"refresh": pair["access"]})
    assert answer.status == 403
    caller.token = pair["refresh"]
    answer = await caller.call("GET", "/api/project")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


async def test_an_expired_access_token_is_refreshed_and_works_again(
    server: Server, caller: Caller, password: str
) -> None:
    document = {"username": "someone1", "password": password}
    pair = (await caller.call("POST", "/api/token/", document)).json
    caller.token = pair["access"]
    server.clock.pass_(days=31)
    assert (await caller.call("GET", "/api/project")).status == 401
    fresh = await caller.call("POST", "/api/token/refresh/", {"refresh": pair["refresh"]})
    caller.token = fresh.json["access"]
    assert (await caller.call("GET", "/api/project")).status == 200
    server.clock.pass_(days=61)
    gone = await caller.call("POST", "/api/token/refresh/", {"refresh": fresh.json["refresh"]})
    assert gone.status == 403
