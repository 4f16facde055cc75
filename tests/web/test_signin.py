"""Every place where a password is tried, and what too many wrong ones are answered."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import encode_basic_auth

from flaas.domain.signin import PAIR
from flaas.lifecycle import running
from flaas.settings import Settings

from ..support import ADMIN, ADMIN_PASSWORD, Answer, Caller, Server

Try = Callable[[Caller, str, str], Awaitable[Answer]]


async def by_token(caller: Caller, username: str, password: str) -> Answer:
    return await caller.call("POST", "/api/token/", {"username": username, "password": password})


async def by_login(caller: Caller, username: str, password: str) -> Answer:
    return await caller.call("POST", "/admin/login", {"username": username, "password": password})


async def by_basic(caller: Caller, username: str, password: str) -> Answer:
    headers = {"Authorization": encode_basic_auth(username, password)}
    return await caller.call("GET", "/admin/reports", headers=headers)


EVERYWHERE = pytest.mark.parametrize("way", [by_token, by_login, by_basic])


@pytest.fixture
async def caller(server: Server) -> AsyncIterator[Caller]:
    async with Caller(server.url) as one:
        yield one


def throttled(answer: Answer) -> bool:
    if answer.status != 429:
        return False
    seconds = int(answer.headers["Retry-After"])
    assert 1 <= seconds <= 60
    assert answer.json == {
        "detail": f"Too many wrong passwords. Try again in {seconds} s.",
        "code": "throttled",
    }
    assert "WWW-Authenticate" not in answer.headers
    return True


@EVERYWHERE
@pytest.mark.parametrize("name", [ADMIN, "nobody"])
async def test_wrong_passwords_come_to_wait(caller: Caller, way: Try, name: str) -> None:
    answers = [await way(caller, name, "wrong") for _ in range(PAIR.free + 1)]
    assert [one.status for one in answers] == [401] * (PAIR.free + 1)
    # A wait is a second and more: on however slow a machine, some of these come too early.
    assert any([throttled(await way(caller, name, "wrong")) for _ in range(10)])


@EVERYWHERE
async def test_one_place_counts_for_the_others(caller: Caller, way: Try) -> None:
    for other in (by_token, by_login, by_basic, by_token, by_login, by_basic):
        assert (await other(caller, "someone", "wrong")).status == 401
    assert any([throttled(await way(caller, "someone", "wrong")) for _ in range(10)])


async def test_a_refresh_is_not_counted_and_never_told_to_wait(caller: Caller) -> None:
    for _ in range(60):
        answer = await caller.call("POST", "/api/token/refresh/", {"refresh": "x.y.z"})
        assert answer.status == 403


async def test_curl_with_the_right_password_calls_as_often_as_it_likes(caller: Caller) -> None:
    for _ in range(3 * PAIR.free):
        assert (await by_basic(caller, ADMIN, ADMIN_PASSWORD)).status == 200


async def failures(caller: Caller, forwarded: list[str]) -> list[int]:
    """The statuses of a wrong password from each of these addresses."""
    document = {"username": "someone", "password": "wrong"}
    return [
        (
            await caller.call("POST", "/api/token/", document, headers={"X-Forwarded-For": address})
        ).status
        for address in forwarded
    ]


async def test_without_a_proxy_nobody_says_where_they_call_from(caller: Caller) -> None:
    statuses = await failures(caller, [f"192.0.2.{number}" for number in range(20)])
    assert 429 in statuses


async def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_saw(
    make_settings: Callable[..., Settings],
) -> None:
    async with running(make_settings(FLAAS_PROXIES="1")) as (_, url), Caller(url) as caller:
        others = [f"192.0.2.{number}" for number in range(20)]
        assert await failures(caller, others) == [401] * 20
        # What a client claims stands before what the proxy adds.
        claimed = [f"192.0.2.{number}, 198.51.100.1" for number in range(20)]
        assert 429 in await failures(caller, claimed)
