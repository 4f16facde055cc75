"""Tokens with simplejwt's claims: what is taken, what is refused, and how refreshing rotates."""

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from pymongo import MongoClient

from flaas.app import App
from flaas.domain.errors import Forbidden, NotAuthenticated
from flaas.services.tokens import TokenPair, Tokens
from flaas.settings import Settings

from ..conftest import TestClock
from ..store.records import user

OTHER = "another secret that is long enough for HS256"


@pytest.fixture
async def tokens(app: App) -> Tokens:
    await app.services.store.users.insert([user(7)])
    return app.services.tokens


@pytest.fixture
def pair(tokens: Tokens) -> TokenPair:
    return tokens.issue(user(7))


def claims(token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return decoded


async def refused(tokens: Tokens, refresh: str) -> None:
    with pytest.raises(Forbidden) as caught:
        await tokens.refresh(refresh)
    assert caught.value.detail == "Token is invalid or expired"
    assert caught.value.error_code == "token_not_valid"


async def denied(tokens: Tokens, access: str) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        await tokens.user_of(access)
    assert caught.value.error_code == "token_not_valid"


async def events(settings: Settings) -> list[dict[str, Any]]:
    assert settings.mongodb_uri
    with MongoClient(settings.mongodb_uri.reveal()) as client:
        return list(client.get_default_database()["events"].find())


@pytest.mark.parametrize(("kind", "days"), [("access", 30), ("refresh", 60)])
def test_the_claims_are_simplejwt_s(pair: TokenPair, kind: str, days: int) -> None:
    token = getattr(pair, kind)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    found = claims(token)
    assert found.keys() == {"token_type", "exp", "iat", "jti", "user_id"}
    assert (found["token_type"], found["user_id"]) == (kind, 7)
    assert type(found["user_id"]) is type(found["exp"]) is type(found["iat"]) is int
    assert found["exp"] - found["iat"] == days * 24 * 3600
    assert len(found["jti"]) == 32


def test_no_two_tokens_are_alike(tokens: Tokens) -> None:
    pairs = [tokens.issue(user(7)) for _ in range(10)]
    assert len({claims(token)["jti"] for one in pairs for token in (one.access, one.refresh)}) == 20


def test_the_secret_does_not_show(tokens: Tokens) -> None:
    assert tokens.secret not in repr(tokens)


async def test_an_access_token_speaks_for_its_user(tokens: Tokens, pair: TokenPair) -> None:
    assert await tokens.user_of(pair.access) == user(7)
    again = await tokens.refresh(pair.refresh)
    assert await tokens.user_of(again.access) == user(7)


async def test_one_kind_is_not_taken_for_the_other(tokens: Tokens, pair: TokenPair) -> None:
    await denied(tokens, pair.refresh)
    await refused(tokens, pair.access)


# --- tokens made elsewhere ---

Signed = Callable[..., str]


@pytest.fixture
def signed(tokens: Tokens, clock: TestClock) -> Signed:
    """A refresh or access token as another server signed it, with `changes` to its claims."""

    def sign(kind: str, secret: str = tokens.secret, /, **changes: Any) -> str:
        now = int(clock().timestamp())
        made = {
            "token_type": kind,
            "exp": now + 3600,
            "iat": now,
            "jti": "2b53e1f6f9d34f0e8b0f0d2a7c1e4d55",
            "user_id": 7,
        }
        made |= changes
        return jwt.encode({k: v for k, v in made.items() if v is not None}, secret, "HS256")

    return sign


@pytest.mark.parametrize("user_id", [7, "7"])
async def test_another_simplejwt_s_tokens_are_taken(
    tokens: Tokens, signed: Signed, user_id: int | str
) -> None:
    assert await tokens.user_of(signed("access", user_id=user_id)) == user(7)
    again = await tokens.refresh(signed("refresh", user_id=user_id))
    assert claims(again.refresh)["user_id"] == 7
    assert await tokens.user_of(again.access) == user(7)


@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": None},
        {"user_id": 8},
        {"user_id": "seven"},
        {"user_id": [7]},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 10**18},
        {"iat": None},
        {"iat": "now"},
        {"jti": None},
        {"jti": 5},
        {"jti": {"$ne": ""}},
        {"token_type": None},
        {"token_type": "sliding"},
    ],
    ids=repr,
)
async def test_wrong_claims_are_refused(
    tokens: Tokens, signed: Signed, changes: dict[str, Any]
) -> None:
    await refused(tokens, signed("refresh", **changes))
    await denied(tokens, signed("access", **changes))


def unsigned(kind: str, user_id: int = 7) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    body = {"token_type": kind, "exp": 9_999_999_999, "iat": 1, "jti": "a", "user_id": user_id}
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(body)}."


async def test_a_wrong_signature_is_refused(tokens: Tokens, signed: Signed) -> None:
    for kind, check in (("refresh", refused), ("access", denied)):
        await check(tokens, signed(kind, OTHER))
        await check(tokens, unsigned(kind))
        await check(tokens, signed(kind)[:-2])


@pytest.mark.parametrize("text", ["", "a", "a.b.c", "..", "\ud800", "é.é.é", "a" * 100_000])
async def test_what_is_no_token_is_refused(tokens: Tokens, text: str) -> None:
    await refused(tokens, text)
    await denied(tokens, text)


# --- time ---


async def test_tokens_expire_by_the_clock(
    tokens: Tokens, pair: TokenPair, clock: TestClock
) -> None:
    clock.pass_(days=29, hours=23)
    await tokens.user_of(pair.access)
    clock.pass_(hours=2)
    await denied(tokens, pair.access)
    clock.pass_(days=29)
    await tokens.refresh(pair.refresh)
    clock.pass_(days=2)
    await refused(tokens, pair.refresh)


# --- rotation ---


async def test_an_old_token_is_good_until_its_successor_was_used(
    tokens: Tokens, pair: TokenPair, clock: TestClock, app: App
) -> None:
    lost = await tokens.refresh(pair.refresh)
    clock.pass_(days=5)
    again = await tokens.refresh(pair.refresh)
    assert again.refresh != lost.refresh
    third = await tokens.refresh(again.refresh)
    assert await events(app.settings) == []

    await refused(tokens, pair.refresh)
    await refused(tokens, lost.refresh)
    assert await tokens.user_of((await tokens.refresh(again.refresh)).access)
    assert await tokens.user_of((await tokens.refresh(third.refresh)).access)

    recorded = await events(app.settings)
    assert len(recorded) == 2
    assert all("7" in one["who"] and "retired" in one["what"] for one in recorded)
    assert not any(pair.refresh in str(one) for one in recorded)


async def test_a_long_chain_leaves_the_last_two(tokens: Tokens, pair: TokenPair) -> None:
    chain = [pair.refresh]
    for _ in range(5):
        chain.append((await tokens.refresh(chain[-1])).refresh)
    for old in chain[:4]:
        await refused(tokens, old)
    assert (await tokens.refresh(chain[4])).refresh
    await tokens.refresh(chain[5])
    await refused(tokens, chain[4])


async def test_a_token_that_was_made_elsewhere_rotates_alike(
    tokens: Tokens, signed: Signed
) -> None:
    imported = signed("refresh", user_id="7")
    first = await tokens.refresh(imported)
    await tokens.refresh(first.refresh)
    await refused(tokens, imported)


async def test_a_retired_token_stays_retired_for_as_long_as_it_would_be_good(
    tokens: Tokens, signed: Signed, clock: TestClock, app: App
) -> None:
    """An imported one may outlive those that are made here, and what is known of it with it."""
    expires = clock() + timedelta(days=365)
    imported = signed("refresh", exp=int(expires.timestamp()))
    first = await tokens.refresh(imported)
    await tokens.refresh(first.refresh)
    await refused(tokens, imported)
    assert app.settings.mongodb_uri
    with MongoClient(app.settings.mongodb_uri.reveal(), tz_aware=True) as client:
        known = client.get_default_database()["refresh_tokens"]
        kept = known.find_one({"_id": claims(imported)["jti"]})
    assert kept is not None
    assert kept["expires"] >= expires - timedelta(seconds=1)


async def test_an_access_token_stays_good_while_its_refresh_token_rotates(
    tokens: Tokens, pair: TokenPair
) -> None:
    await tokens.refresh((await tokens.refresh(pair.refresh)).refresh)
    assert await tokens.user_of(pair.access) == user(7)


# --- sessions that end ---


async def test_a_deactivated_user_s_tokens_end_at_once(tokens: Tokens, pair: TokenPair) -> None:
    await tokens.store.users.change_access(7, {"is_active": False}, 0)
    await denied(tokens, pair.access)
    await refused(tokens, pair.refresh)
    await tokens.store.users.change_access(7, {"is_active": True}, 0)
    await tokens.user_of(pair.access)


async def test_a_new_password_ends_the_tokens_before_it_and_not_those_after(
    app: App, tokens: Tokens, clock: TestClock
) -> None:
    accounts = app.services.accounts
    await accounts.ensure_staff("boss", "one")
    before = tokens.issue(await accounts.authenticate("boss", "one"))
    await tokens.user_of(before.access)
    await accounts.ensure_staff("boss", "two")
    await denied(tokens, before.access)
    await refused(tokens, before.refresh)
    clock.pass_(seconds=2)
    after = tokens.issue(await accounts.authenticate("boss", "two"))
    await tokens.user_of(after.access)
    await tokens.refresh(after.refresh)


async def test_a_second_new_password_in_one_second_ends_what_began_between_them(
    app: App, tokens: Tokens
) -> None:
    accounts = app.services.accounts
    await accounts.ensure_staff("boss", "one")
    await accounts.ensure_staff("boss", "two")
    between = tokens.issue(await accounts.authenticate("boss", "two"))
    await accounts.ensure_staff("boss", "three")
    await denied(tokens, between.access)
    await refused(tokens, between.refresh)


async def test_a_token_of_a_server_whose_clock_is_ahead_ends_too(
    app: App, tokens: Tokens, clock: TestClock
) -> None:
    accounts = app.services.accounts
    await accounts.ensure_staff("boss", "one")
    ahead = replace(tokens, clock=lambda: clock() + timedelta(seconds=60))
    before = ahead.issue(await accounts.authenticate("boss", "one"))
    await tokens.user_of(before.access)
    await accounts.ensure_staff("boss", "two")
    await denied(tokens, before.access)


async def test_who_signs_in_right_after_a_new_password_stays_signed_in(
    app: App, tokens: Tokens
) -> None:
    accounts = app.services.accounts
    await accounts.ensure_staff("boss", "one")
    await accounts.ensure_staff("boss", "two")
    after = tokens.issue(await accounts.authenticate("boss", "two"))
    await tokens.user_of(after.access)
    await tokens.refresh(after.refresh)


async def test_an_old_token_and_its_successor_at_once_leave_one_family(
    tokens: Tokens, pair: TokenPair
) -> None:
    """Whoever is answered with a pair can go on with it; the others are refused."""
    first = await tokens.refresh(pair.refresh)
    sent = [pair.refresh, first.refresh] * 10
    answers = await asyncio.gather(*(tokens.refresh(one) for one in sent), return_exceptions=True)
    given = [
        answer
        for one, answer in zip(sent, answers, strict=True)
        if isinstance(answer, TokenPair) and one == pair.refresh
    ]
    # The successor was used: nothing that was handed out for the old token is good any more.
    for one in given:
        await refused(tokens, one.refresh)
    await refused(tokens, pair.refresh)
