"""Signing in with a cookie."""

from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from flaas.app import App
from flaas.lifecycle import running
from flaas.settings import Settings

from ..support import ADMIN, ADMIN_PASSWORD, Server

CREDENTIALS = {"username": ADMIN, "password": ADMIN_PASSWORD}


@pytest.fixture
async def browser(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(server.url, cookie_jar=jar) as session:
        yield session


async def sign_in(browser: aiohttp.ClientSession) -> str:
    async with browser.post("/admin/login", json=CREDENTIALS) as answer:
        assert answer.status == 200
        cookies = {morsel.key: morsel for morsel in answer.cookies.values()}
        session = cookies["flaas_session"]
        assert session["httponly"]
        assert session["samesite"] == "Strict"
        assert cookies["_xsrf"]["samesite"] == "Strict"
        return str((await answer.json())["xsrf"])


async def reports(browser: aiohttp.ClientSession) -> int:
    async with browser.get("/admin/reports") as answer:
        return answer.status


async def test_a_cookie_reads_reports_until_it_is_cleared(browser: aiohttp.ClientSession) -> None:
    assert await reports(browser) == 401
    await sign_in(browser)
    assert await reports(browser) == 200
    async with browser.post("/admin/logout") as answer:
        assert answer.status == 204
    assert await reports(browser) == 401


async def test_a_change_needs_the_xsrf_value(browser: aiohttp.ClientSession) -> None:
    value = await sign_in(browser)
    body = {"accounts": 1, "prefix": "new"}
    path = "/admin/commands/createusers"
    for shown, status in ((None, 403), ("2|a|b|1", 403), (value, 200)):
        headers = {"X-XSRFToken": shown} if shown else {}
        async with browser.post(path, json=body, headers=headers) as answer:
            assert answer.status == status
            if status == 403:
                assert "_xsrf" in (await answer.json())["detail"]


async def test_a_phone_gets_no_cookie(server: Server, browser: aiohttp.ClientSession) -> None:
    (made,) = await server.app.services.accounts.create_users(1, prefix="phone")
    credentials = {"username": made.username, "password": made.password}
    async with browser.post("/admin/login", json=credentials) as answer:
        assert answer.status == 403
        assert not answer.cookies
    async with browser.post("/admin/login", data={"username": ADMIN, "password": "x"}) as answer:
        assert answer.status == 401
    async with browser.post("/admin/login", json={"username": ADMIN}) as answer:
        assert await answer.json() == {"password": ["This field is required."]}


async def test_a_new_password_ends_the_session(
    server: Server, browser: aiohttp.ClientSession
) -> None:
    await sign_in(browser)
    server.clock.pass_(seconds=5)
    await server.app.services.accounts.ensure_staff(ADMIN, "a new password")
    assert await reports(browser) == 401


async def test_a_forged_or_borrowed_cookie_is_none(
    server: Server, browser: aiohttp.ClientSession
) -> None:
    for value in (server.operator.token, "x", '{"user_id": 1, "issued": 9999999999}'):
        browser.cookie_jar.update_cookies({"flaas_session": str(value)})
        assert await reports(browser) == 401


async def test_the_cookie_opens_nothing_of_the_api(browser: aiohttp.ClientSession) -> None:
    await sign_in(browser)
    async with browser.get("/api/project") as answer:
        assert answer.status == 401


@pytest.mark.parametrize(
    ("proxies", "protocol", "secure"),
    [("1", "https", True), ("1", "http", False), ("0", "https", False)],
)
async def test_behind_tls_cookies_never_travel_without(
    make_settings: Callable[..., Settings], proxies: str, protocol: str, secure: bool
) -> None:
    async with (
        running(make_settings(FLAAS_PROXIES=proxies)) as (_, url),
        aiohttp.ClientSession(url) as browser,
    ):
        headers = {"X-Forwarded-Proto": protocol}
        for path, count in (("/admin/login", 2), ("/admin/logout", 1)):
            async with browser.post(path, json=CREDENTIALS, headers=headers) as answer:
                cookies = list(answer.cookies.values())

            assert len(cookies) == count
            assert [bool(one["secure"]) for one in cookies] == [secure] * count
            assert [one["samesite"] for one in cookies] == ["Strict"] * count


@pytest.mark.parametrize("path", ["/admin/login", "/admin/logout"])
@pytest.mark.parametrize(
    ("site", "refused"),
    [("cross-site", True), ("same-site", True), ("same-origin", False), ("none", False)],
)
async def test_another_site_signs_nobody_in_or_out(
    browser: aiohttp.ClientSession, path: str, site: str, refused: bool
) -> None:
    headers = {"Sec-Fetch-Site": site}
    async with browser.post(path, json=CREDENTIALS, headers=headers) as answer:
        assert (answer.status == 403) is refused
        assert (not answer.cookies) is refused


def test_the_secret_does_not_show(app: App) -> None:
    assert app.cookie_secret not in repr(app)
