"""What is secret shows neither in the log of a whole run, however much is logged, nor in `repr`."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import encode_basic_auth
from pymongo import MongoClient

from flaas.app import App, open_app
from flaas.fleet.pushwoosh import Failure, PushwooshStandIn
from flaas.settings import load

from ..support import Caller, PhoneCaller, floats

ROOT = Path(__file__).parent.parent.parent
MODEL = [1.0, 2.0]

SERVE = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
from flaas.cli import commands
commands(["serve"])
"""
"""The command, with everything logged that its libraries can say."""

TEXT = "s3cret"
"""In every secret that a test may choose, so that parts of one are found as well."""

MONGODB_PASSWORD = f"mongodb/{TEXT}@1"
SECRETS = {
    "JWT_SECRET": f"jwt-{TEXT}-that-is-long-enough-for-HS256",
    "AWS_SECRET_ACCESS_KEY": f"aws-{TEXT}-2",
    "PUSHWOOSH_API_TOKEN": f"pushwoosh-{TEXT}-3",
    "FLAAS_ADMIN_PASSWORD": f"admin-{TEXT}-4",
}


@pytest.fixture
def locked_uri(mongodb_uri: str) -> Iterator[str]:
    """The test's database, by a user with a password."""
    with MongoClient(mongodb_uri) as client:
        database = client.get_default_database()
        database.command("createUser", "flaas", pwd=MONGODB_PASSWORD, roles=["readWrite"])
        yield mongodb_uri.replace("://", f"://flaas:{quote(MONGODB_PASSWORD, safe='')}@")
        database.command("dropUser", "flaas")


@pytest.fixture
async def pushwoosh() -> AsyncIterator[PushwooshStandIn]:
    async with PushwooshStandIn(SECRETS["PUSHWOOSH_API_TOKEN"], "CODE") as standing_in:
        yield standing_in


@pytest.fixture
def environment(
    locked_uri: str, s3_environment: dict[str, str], pushwoosh: PushwooshStandIn, tmp_path: Path
) -> dict[str, str]:
    return {
        "PORT": "0",
        "MONGODB_URI": locked_uri,
        "FLAAS_DATA_DIR": str(tmp_path / "data"),
        "FLAAS_ADMIN_USERNAME": "root",
        "PUSHWOOSH_APPLICATION_CODE": "CODE",
        "PUSHWOOSH_URL": pushwoosh.url,
        **s3_environment,
        **SECRETS,
    }


class Operated:
    """Who calls, and every secret that is given out meanwhile."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.secrets: list[str] = []

    async def sign_in(self, username: str, password: str) -> PhoneCaller:
        """By password, and then by refreshing, twice with the same token."""
        phone = PhoneCaller(self.url, "", username)
        document = {"username": username, "password": password}
        pair = (await phone.call("POST", "/api/token/", document)).json
        for refresh in (pair["refresh"], pair["refresh"]):
            new = (await phone.call("POST", "/api/token/refresh/", {"refresh": refresh})).json
            self.secrets += [*pair.values(), *new.values()]
            pair = {**new, "refresh": refresh}
        # Its successor is used, so that it is retired; then it is shown once more.
        used = await phone.call("POST", "/api/token/refresh/", {"refresh": new["refresh"]})
        self.secrets += used.json.values()
        phone.token = used.json["access"]
        again = await phone.call("POST", "/api/token/refresh/", {"refresh": pair["refresh"]})
        assert again.status == 403
        return phone

    async def browse(self) -> None:
        jar = aiohttp.CookieJar(unsafe=True)
        credentials = {"username": "root", "password": SECRETS["FLAAS_ADMIN_PASSWORD"]}
        async with aiohttp.ClientSession(self.url, cookie_jar=jar) as browser:
            async with browser.post("/admin/login", json=credentials) as answer:
                assert answer.status == 200
                self.secrets += [one.value for one in answer.cookies.values()]
            async with browser.get("/admin/reports") as answer:
                assert answer.status == 200


async def run(url: str, pushwoosh: PushwooshStandIn, uri: str) -> list[str]:
    """Accounts, models, a round with its pushes, and some things that go wrong."""
    operated = Operated(url)
    basic = encode_basic_auth("root", SECRETS["FLAAS_ADMIN_PASSWORD"])
    async with Caller(url) as operator:
        wrong = {"username": "root", "password": f"wrong-{TEXT}"}
        for _ in range(8):
            assert (await operator.call("POST", "/api/token/", wrong)).status in (401, 429)
        headers = {"Authorization": encode_basic_auth("root", wrong["password"])}
        assert (await operator.call("GET", "/admin/reports", headers=headers)).status in (401, 429)
        async with asyncio.timeout(30):
            while (
                answer := await operator.call(
                    "POST",
                    "/api/token/",
                    {"username": "root", "password": SECRETS["FLAAS_ADMIN_PASSWORD"]},
                )
            ).status == 429:
                await asyncio.sleep(0.2)
        operator.token = answer.json["access"]
        operated.secrets += [*answer.json.values(), basic.split()[1]]
        answer = await operator.call("GET", "/admin/reports", headers={"Authorization": basic})
        assert answer.status == 200
        await operated.browse()

        await operator.call("PUT", "/admin/models/M", body=floats(MODEL))
        project = {"title": "P", "model": "M", "status": "In Progress"}
        assert (await operator.call("POST", "/api/project", project)).status == 201
        made = await operator.call(
            "POST", "/admin/commands/createusers", {"accounts": 2, "format": "json"}
        )
        operated.secrets += [one["password"] for one in made.json]
        await operator.call("POST", "/admin/commands/assign", {"project": 1})
        new = await operator.call(
            "POST", "/admin/commands/set-password", {"username": "user2", "format": "json"}
        )
        accounts = [made.json[0], *new.json]
        operated.secrets.append(new.json[0]["password"])

        phones = [await operated.sign_in(one["username"], one["password"]) for one in accounts]
        try:
            await train(operator, phones, pushwoosh)
            # A fault of ours, with its traceback: an account that the database holds wrongly.
            with MongoClient(uri) as client:
                users = client.get_default_database()["users"]
                users.update_one({"username": "user1"}, {"$set": {"samples_index": "x"}})
            assert (await phones[0].ping()).status == 500
        finally:
            for phone in phones:
                await phone.__aexit__(None, None, None)
    return operated.secrets


async def train(operator: Caller, phones: list[PhoneCaller], pushwoosh: PushwooshStandIn) -> None:
    pushwoosh.fail_next(1, Failure.STATUS_500)
    async with asyncio.timeout(30):
        for phone in phones:
            assert (await phone.ping()).status == 201
        while len(pushwoosh.delivered) < len(phones):
            await operator.call("POST", "/admin/commands/tick")
            await asyncio.sleep(0.1)
    for phone in phones:
        joined = await phone.join(1, 0)
        assert (await phone.get_model(1, 0)).body == floats(MODEL)
        assert (await phone.call("GET", "/api/get-samples/IID/0/")).status in (302, 404)
        assert (await phone.submit_model(1, 0, floats([1.0]))).status == 400
        assert (await phone.submit_model(1, 0, floats(MODEL))).status == 201
        assert (await phone.report(joined.json["id"])).status == 201
        assert (await phone.submit_results(1, 0, {"general": {}})).status == 201


async def test_no_secret_is_in_the_log_of_a_run(
    environment: dict[str, str], pushwoosh: PushwooshStandIn, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as out:
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVE, cwd=ROOT, env=environment, stderr=out, stdout=out
        )
        try:
            async with asyncio.timeout(60):
                while b"serving at http://" not in log.read_bytes():
                    assert server.returncode is None, log.read_text()
                    await asyncio.sleep(0.05)
            url = log.read_text().partition("serving at ")[2].split()[0]
            given_out = await run(url, pushwoosh, environment["MONGODB_URI"])
            server.send_signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                assert await server.wait() == 0
        finally:
            if server.returncode is None:
                server.kill()
                await server.wait()

    logged = log.read_text()
    # It did log: every library at its loudest, what went well, and what did not.
    for said in (
        "DEBUG:botocore",
        "DEBUG:pymongo",
        "DEBUG:asyncio",
        "sent to 2 devices",
        "failed, next try at",
        "a retired refresh token of user",
        "401 POST /api/token/",
        "Traceback",
    ):
        assert said in logged, said
    assert TEXT not in logged
    assert "$argon2" not in logged
    assert quote(MONGODB_PASSWORD, safe="") not in logged
    assert len(given_out) > 15
    for secret in given_out:
        assert secret not in logged
        # Nor its signature alone, which is what makes a token good.
        assert secret.rpartition(".")[2] not in logged


def shown(value: Any, seen: set[int], depth: int = 6) -> Iterator[str]:
    """`repr` of a value, and of all that it is made of."""
    if id(value) in seen or depth == 0:
        return
    seen.add(id(value))
    yield repr(value)
    if is_dataclass(value) and not isinstance(value, type):
        inner = [getattr(value, one.name) for one in fields(value)]
    else:
        inner = list(getattr(value, "__dict__", {}).values())
    for one in (one for one in inner if type(one).__module__.startswith(("flaas", "motor"))):
        yield from shown(one, seen, depth - 1)


async def test_no_secret_is_in_the_repr_of_anything(environment: dict[str, str]) -> None:
    async with open_app(load(environment)) as app:
        assert isinstance(app, App)
        texts = list(shown(app, set()))
        (made,) = await app.services.accounts.create_users(1, prefix="phone")
        user = await app.services.accounts.authenticate(made.username, made.password)
        pair = app.services.tokens.issue(user)
        texts += [repr(made), repr([made]), repr(user), repr(pair), f"{pair}"]
    assert len(texts) > 25
    assert any("Pushwoosh" in one for one in texts)
    assert any("AsyncIOMotor" in one for one in texts)
    for text in texts:
        assert TEXT not in text
        assert quote(MONGODB_PASSWORD, safe="") not in text
        for secret in (made.password, user.password_hash, pair.access, pair.refresh):
            assert secret not in text
