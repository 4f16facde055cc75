import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest

from flaas.domain.project import DatasetType
from flaas.fleet.client import Account, CallFailed, Client, SignedOut, Tokens

from .fake import FLOW, PASSWORD, USERNAME, FakeServer, Reply

JOIN = "/api/project/7/join-round/3/"
MODEL = "/api/project/7/get-model/3/"
REFRESH = "/api/token/refresh/"


@pytest.fixture
async def client(session: aiohttp.ClientSession, server: FakeServer) -> Client:
    client = Client(session, server.url + "/", Account(USERNAME, PASSWORD))
    await client.sign_in()
    return client


async def test_urls_bodies_and_content_types(client: Client, server: FakeServer) -> None:
    await client.join_round(7, 3)
    assert await client.get_model(7, 3) == server.model
    assert await client.get_samples(DatasetType.IID, 0) == server.samples[0]
    await client.submit_model(7, 3, b"weights")
    await client.report_availability({"request_type": "device-ping"})
    await client.submit_results(7, 3, {"general": {}})

    assert server.flow == [("POST", "/api/token/"), *FLOW]
    posts = [call for call in server.calls if call.method == "POST"]
    assert [(call.content_type, call.body) for call in posts] == [
        ("application/x-www-form-urlencoded", b"username=phone1&password=right"),
        ("application/octet-stream", b"weights"),
        ("application/json", b'{"request_type":"device-ping"}'),
        ("application/json", b'{"general":{}}'),
    ]
    assert [call.authorization for call in server.calls] == [None] + 6 * ["Bearer access-1"]


async def test_a_large_model_is_sent_whole(client: Client, server: FakeServer) -> None:
    model = bytes(range(256)) * 10_000

    await client.submit_model(7, 3, model)

    assert server.calls[-1].body == model


async def test_projects_are_read(client: Client, server: FakeServer) -> None:
    project = {
        "id": 7,
        "create_date": "2024-05-01T10:00:00+02:00",
        "title": "one",
        "description": None,
        "status": "In Progress",
        "model": "CIFAR10_B20",
        "dataset": "CIFAR10",
        "dataset_type": "NonIID",
        "training_mode": "JOINT_MODELS",
        "number_of_rounds": 20,
        "number_of_apps": 3,
        "number_of_samples": 150,
        "number_of_epochs": 20,
        "responses_ratio_threshold": "0.80",
        "max_training_time": 60,
        "valid_round_training_threshold": "0.70",
        "power_plugged_only": True,
        "battery_level_threshold": "0.60",
        "seed": None,
        "current_round": 0,
        "something_new": 1,
    }
    server.script("/api/project", Reply(200, json.dumps([project]).encode()))
    server.script("/api/project/7", Reply(200, json.dumps(project).encode()))

    assert await client.projects() == [await client.project(7)]
    assert server.flow[1:] == [("GET", "/api/project"), ("GET", "/api/project/7")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", None),
        ("id", "663f0c"),
        ("id", 2**31),
        ("create_date", "2024-05-01T10:00:00"),
        ("training_mode", "joint"),
    ],
)
async def test_a_round_that_the_app_cannot_read_fails(
    client: Client, server: FakeServer, name: str, value: object
) -> None:
    server.round[name] = value

    with pytest.raises(CallFailed, match=rf"cannot read the answer: .*\.{name}"):
        await client.join_round(7, 3)


async def test_a_401_refreshes_once_and_repeats_the_request(
    client: Client, server: FakeServer
) -> None:
    server.expire()

    await client.submit_model(7, 3, b"weights")

    first, refresh, again = server.calls[1:]
    assert (first.authorization, first.body) == ("Bearer access-1", b"weights")
    assert refresh.uri == REFRESH
    assert refresh.form == {"refresh": "refresh-1"}
    assert refresh.authorization == "Bearer access-1", "sent even when expired"
    assert (again.uri, again.body) == (first.uri, b"weights")
    assert again.authorization == "Bearer access-2"
    assert client.tokens == Tokens("access-2", "refresh-2")


async def test_a_second_401_is_a_failure(client: Client, server: FakeServer) -> None:
    server.script(JOIN, Reply(401), Reply(401))

    with pytest.raises(CallFailed) as failure:
        await client.join_round(7, 3)
    assert failure.value.status == 401
    assert len(server.calls) == 4


async def test_calls_that_meet_an_expired_token_together_refresh_once(
    client: Client, server: FakeServer
) -> None:
    server.expire()

    await asyncio.gather(*(client.get_model(7, 3) for _ in range(5)))

    assert server.flow.count(("POST", REFRESH)) == 1


@pytest.mark.parametrize("status", [400, 403])
async def test_a_refused_refresh_signs_out(client: Client, server: FakeServer, status: int) -> None:
    server.expire()
    server.script(REFRESH, Reply(status))

    with pytest.raises(SignedOut):
        await client.get_model(7, 3)
    assert client.tokens is None


async def test_a_refresh_that_fails_otherwise_keeps_the_tokens(
    client: Client, server: FakeServer
) -> None:
    server.expire()
    server.script(REFRESH, Reply(503))

    with pytest.raises(CallFailed):
        await client.get_model(7, 3)
    assert client.tokens == Tokens("access-1", "refresh-1")
    await client.get_model(7, 3)


async def test_a_401_from_the_refresh_route_names_the_endless_loop(
    client: Client, server: FakeServer
) -> None:
    server.expire()
    server.script(REFRESH, Reply(401))

    with pytest.raises(CallFailed, match="without end"):
        await client.get_model(7, 3)
    assert server.flow.count(("POST", REFRESH)) == 1


async def test_a_wrong_password_sends_a_blank_refresh_token_and_signs_out(
    session: aiohttp.ClientSession, server: FakeServer
) -> None:
    client = Client(session, server.url, Account(USERNAME, "wrong"))

    with pytest.raises(SignedOut):
        await client.sign_in()
    assert server.flow == [("POST", "/api/token/"), ("POST", REFRESH)]
    assert server.calls[-1].form == {"refresh": ""}


async def test_a_get_follows_a_redirect_and_keeps_the_token_from_another_host(
    client: Client, server: FakeServer
) -> None:
    async with FakeServer() as bucket:
        bucket.script("/presigned", Reply(200, b"model"))
        server.script(MODEL, Reply(302, headers={"Location": f"{bucket.url}/presigned"}))

        assert await client.get_model(7, 3) == b"model"

    assert bucket.calls[0].authorization is None
    assert server.calls[-1].authorization == "Bearer access-1"


async def test_a_redirect_on_the_same_host_keeps_authorization(
    client: Client, server: FakeServer
) -> None:
    server.script(MODEL, Reply(302, headers={"Location": "/elsewhere"}))
    server.script("/elsewhere", Reply(200, b"model"))

    assert await client.get_model(7, 3) == b"model"
    assert server.calls[-1].authorization == "Bearer access-1"


async def test_a_redirected_post_is_a_failure(client: Client, server: FakeServer) -> None:
    server.script("/api/report-availability", Reply(301, headers={"Location": "/elsewhere"}))

    with pytest.raises(CallFailed, match="answered 301"):
        await client.report_availability({})
    assert len(server.calls) == 2


async def test_retry_after_is_read(client: Client, server: FakeServer) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    for header in ("7", date, "soon"):
        server.script(MODEL, Reply(503, b"busy", {"Retry-After": header}))

    failures = []
    for _ in range(3):
        with pytest.raises(CallFailed, match="answered 503: busy") as failure:
            await client.get_model(7, 3)
        failures.append(failure.value.retry_after)

    assert failures[0] == 7
    assert 50 < failures[1] <= 60
    assert failures[2] == 0


async def test_no_answer_at_all_is_a_failure(session: aiohttp.ClientSession) -> None:
    async with FakeServer() as server:
        gone = server.url
    client = Client(session, gone, Account(USERNAME, PASSWORD))

    with pytest.raises(CallFailed) as failure:
        await client.sign_in()
    assert failure.value.status is None


def test_a_password_is_not_shown() -> None:
    assert PASSWORD not in repr(Account(USERNAME, PASSWORD))
