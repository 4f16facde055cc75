"""Downloads and operators' uploads, from a directory and from S3."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable

import pytest

from flaas.lifecycle import running
from flaas.settings import Settings

from ..conftest import TestClock
from ..support import ADMIN, ADMIN_PASSWORD, Caller, Operator, PhoneCaller, Server, floats
from .conftest import Trial

RECORDS = bytes(range(256)) * 12 + b"\0"
SAMPLES = "/api/get-samples/IID/1/"


async def with_samples(server: Server) -> PhoneCaller:
    answer = await server.operator.call("PUT", "/admin/samples/IID/0/1", body=RECORDS)
    assert (answer.status, answer.json) == (201, {"records": 1})
    project_id = await server.operator.create_project()
    (phone,) = await server.phones(1, project_id)
    return phone


@pytest.fixture
async def phone(server: Server) -> AsyncIterator[PhoneCaller]:
    await server.operator.put_model("M", [1.0, 2.0])
    async with await with_samples(server) as one:
        yield one


@pytest.mark.parametrize(
    ("requested", "status", "start", "end"),
    [
        (None, 200, 0, 3073),
        ("bytes=0-99", 206, 0, 100),
        ("bytes=3000-", 206, 3000, 3073),
        ("bytes=-73", 206, 3000, 3073),
        ("bytes=3072-9999", 206, 3072, 3073),
        ("bytes=-9999", 206, 0, 3073),
        ("bytes=5-2", 200, 0, 3073),
        ("bytes=0-1,5-6", 200, 0, 3073),
        ("lines=1-2", 200, 0, 3073),
    ],
)
async def test_a_part_of_a_file(
    phone: PhoneCaller, requested: str | None, status: int, start: int, end: int
) -> None:
    headers = {"Range": requested} if requested else {}
    answer = await phone.call("GET", SAMPLES, headers=headers)
    assert (answer.status, answer.body) == (status, RECORDS[start:end])
    assert answer.headers["Content-Length"] == str(end - start)
    if status == 206:
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/3073"


@pytest.mark.parametrize("requested", ["bytes=3073-", "bytes=9999-10000", "bytes=-0"])
async def test_a_part_after_the_end(phone: PhoneCaller, requested: str) -> None:
    answer = await phone.call("GET", SAMPLES, headers={"Range": requested})
    assert answer.status == 416
    assert answer.headers["Content-Range"] == "bytes */3073"


async def test_a_file_that_has_not_changed_is_not_sent_again(phone: PhoneCaller) -> None:
    etag = (await phone.call("GET", SAMPLES)).headers["ETag"]
    answer = await phone.call("GET", SAMPLES, headers={"If-None-Match": etag})
    assert (answer.status, answer.body) == (304, b"")
    stale = {"Range": "bytes=0-9", "If-Range": '"other"'}
    assert (await phone.call("GET", SAMPLES, headers=stale)).status == 200
    fresh = {"Range": "bytes=0-9", "If-Range": etag}
    assert (await phone.call("GET", SAMPLES, headers=fresh)).status == 206


@pytest.mark.parametrize(
    "path",
    [
        "/api/get-samples/IID/0/",
        "/api/get-samples/NonIID/1/",
        "/api/get-samples/IID/3/",
        "/api/get-samples/OTHER/1/",
        "/api/get-samples/..%2f..%2fmodels/1/",
    ],
)
async def test_samples_that_are_not_there(phone: PhoneCaller, path: str) -> None:
    assert (await phone.call("GET", path)).status == 404


@pytest.mark.parametrize("redirect", ["true", "false"])
async def test_s3_downloads_are_redirected_or_passed_through(
    make_settings: Callable[..., Settings],
    s3_environment: dict[str, str],
    clock: TestClock,
    redirect: str,
) -> None:
    settings = make_settings(**s3_environment, FLAAS_S3_REDIRECT=redirect)
    async with running(settings, clock) as (app, url), Operator(url) as operator:
        await operator.put_model("M", [1.0, 2.0])
        async with await with_samples(Server(app, url, operator, clock)) as phone:
            answer = await phone.call("GET", SAMPLES)
            if redirect == "true":
                assert answer.status == 302
                assert answer.headers["Location"].startswith(s3_environment["AWS_ENDPOINT_URL"])
                # Whoever has the link needs no token.
                async with Caller("") as anybody:
                    answer = await anybody.call("GET", answer.headers["Location"])
            assert (answer.status, answer.body) == (200, RECORDS)
            if redirect == "false":
                part = await phone.call("GET", SAMPLES, headers={"Range": "bytes=10-19"})
                assert (part.status, part.body) == (206, RECORDS[10:20])
            assert (await phone.call("GET", "/api/get-samples/IID/0/")).status == 404


async def test_a_model_is_registered_by_its_first_upload(server: Server) -> None:
    async with Caller(server.url) as curl:
        basic = {"Authorization": _basic(ADMIN, ADMIN_PASSWORD)}
        body = floats([1, 2, 3])
        answer = await curl.call("PUT", "/admin/models/ANY", body=body, headers=basic)
    assert answer.status == 201
    assert answer.json["parameters"] == 3


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/admin/models/M", b"", 400),
        ("/admin/models/M", b"12345", 400),
        ("/admin/models/M", floats([float("nan")]), 400),
        ("/admin/models/.hidden", floats([1]), 400),
        ("/admin/models/a%2Fb", floats([1]), 400),
        ("/admin/models/" + "x" * 65, floats([1]), 400),
        ("/admin/samples/IID/0/0", bytes(3072), 400),
        ("/admin/samples/IID/0/3", RECORDS, 400),
        ("/admin/samples/OTHER/0/0", RECORDS, 400),
        ("/admin/samples/IID/2147483648/0", RECORDS, 404),
    ],
)
async def test_a_bad_upload_leaves_nothing(
    server: Server, path: str, body: bytes, status: int
) -> None:
    answer = await server.operator.call("PUT", path, body=body)
    assert answer.status == status
    assert [info.key async for info in server.app.services.files.walk("")] == []
    assert await server.app.services.store.models.get("M") is None


async def test_a_model_in_use_keeps_its_length(trial: Trial) -> None:
    operator = trial.server.operator
    answer = await operator.call("PUT", "/admin/models/M", body=floats([1]))
    assert answer.status == 409
    answer = await operator.call("PUT", "/admin/models/M", body=floats([4, 3, 2, 1]))
    assert answer.status == 201


async def test_a_model_that_lies_in_an_existing_bucket_counts_as_registered(
    server: Server,
) -> None:
    async with server.app.services.files.create("models/OLD.bin") as out:
        await out.write(floats([1, 2]))
        await out.commit()
    await server.operator.create_project(model="OLD")


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("Basic !!!", 401),
        ("Basic cm9vdDp3cm9uZw==", 401),
        ("Basic \xe9\xe9", 401),
        ("Bearer nonsense", 401),
        ("Negotiate x", 401),
    ],
)
async def test_nobody_else_uploads(server: Server, authorization: str | None, status: int) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    async with Caller(server.url) as anybody:
        answer = await anybody.call("PUT", "/admin/models/M", body=floats([1]), headers=headers)
    assert answer.status == status
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def _basic(username: str, password: str) -> str:
    import base64

    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


async def test_models_sent_at_once_leave_file_and_record_alike(server: Server) -> None:
    bodies = [floats([1.0] * count) for count in (1, 2, 3, 4)]
    for _ in range(5):
        answers = await asyncio.gather(
            *(server.operator.call("PUT", "/admin/models/R", body=body) for body in bodies)
        )
        assert {answer.status for answer in answers} <= {201, 409}
        model = await server.app.services.store.models.get("R")
        read = server.app.services.files.read("models/R.bin")
        stored = b"".join([piece async for piece in read])
        assert model
        assert model.sha256 == hashlib.sha256(stored).hexdigest()
        assert model.parameters * 4 == len(stored)


async def test_samples_that_are_replaced_during_downloads_come_whole(
    server: Server, phone: PhoneCaller
) -> None:
    """Either the old ones or the new ones, never a part of one with the length of the other."""
    contents = [bytes([fill]) * (3073 * count) for fill, count in ((1, 1), (2, 300))]
    stop = asyncio.Event()

    async def replace() -> None:
        for turn in range(200):
            if stop.is_set():
                return
            body = contents[turn % 2]
            answer = await server.operator.call("PUT", "/admin/samples/IID/0/1", body=body)
            assert answer.status == 201

    replacing = asyncio.create_task(replace())
    for _ in range(100):
        answer = await phone.call("GET", SAMPLES)
        assert answer.status == 200
        assert answer.body in [*contents, RECORDS]
    stop.set()
    await replacing
