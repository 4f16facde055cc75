"""An object store that fails in every way that it can, between the server and a real one."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import boto3
import pytest

from flaas.domain.errors import Unavailable
from flaas.domain.round import Participant, Round, RoundStatus
from flaas.files import s3, s3_errors, s3_writer
from flaas.lifecycle import running
from flaas.settings import Settings

from ..conftest import TestClock
from ..support import Answer, Operator, PhoneCaller, Server, advance
from .s3_proxy import Fault, FaultyS3, faulty_s3

UPDATE = r"projects/\d+/0/\d+/model_weights.bin"
NEXT_MODEL = r"projects/\d+/1/model_weights.bin"

SMALL, LARGE = 4 << 10, 9 << 20
"""Bytes: in one request, and in two parts."""


@dataclass
class Trial:
    server: Server
    s3: FaultyS3
    bucket: Any
    project_id: int
    phone: PhoneCaller
    size: int

    async def submit(self) -> Answer:
        async with asyncio.timeout(30):
            return await self.phone.submit_model(self.project_id, 0, _chunks(self.size))  # type: ignore[arg-type]

    async def round(self) -> Round:
        found = await self.server.app.services.store.rounds.by_number(self.project_id, 0)
        assert found
        return found

    async def participant(self) -> Participant:
        participants = self.server.app.services.store.participants
        (participant,) = await participants.all((await self.round()).id)
        return participant

    async def nothing_is_stored(self) -> None:
        assert (await self.participant()).submission is None
        assert await asyncio.to_thread(self._objects) == []
        await self.no_parts_are_left()

    async def no_parts_are_left(self) -> None:
        async with asyncio.timeout(20):
            while await asyncio.to_thread(self._uploads):
                await asyncio.sleep(0.05)

    def _objects(self) -> list[str]:
        """What phones sent."""
        return [one.key for one in self.bucket.objects.all() if re.fullmatch(UPDATE, one.key)]

    def _uploads(self) -> list[Any]:
        return list(self.bucket.multipart_uploads.all())


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for start in range(0, size, 1 << 18):
        yield bytes(min(1 << 18, size - start))


@pytest.fixture(params=[SMALL])
async def trial(
    request: pytest.FixtureRequest,
    make_settings: Callable[..., Settings],
    clock: TestClock,
    s3_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Trial]:
    size: int = request.param
    if size == SMALL:  # a large one takes its time on a slow machine
        monkeypatch.setattr(s3, "_READ_SECONDS", 0.5)
        monkeypatch.setattr(s3, "CALL_SECONDS", 1.5)
    monkeypatch.setattr(s3, "_TRIES", 2)
    monkeypatch.setattr(s3_writer, "_DISCARD_PAUSES", (0.1,) * 50)
    resource = boto3.resource(
        "s3",
        endpoint_url=s3_environment["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    async with faulty_s3(s3_environment["AWS_ENDPOINT_URL"]) as faulty:
        environment = s3_environment | {
            "AWS_ENDPOINT_URL": faulty.url,
            "FLAAS_S3_REDIRECT": "false",
        }
        async with (
            running(make_settings(**environment), clock) as (app, url),
            Operator(url) as operator,
        ):
            server = Server(app, url, operator, clock)
            put = await operator.call("PUT", "/admin/models/M", body=_chunks(size))
            assert put.status == 201, put.body
            project_id = await operator.create_project()
            (phone,) = await server.phones(1, project_id)
            await operator.start(project_id)
            async with phone:
                assert (await phone.ping()).status == 201
                await advance(app, project_id)
                bucket = resource.Bucket(s3_environment["AWS_S3_BUCKET_NAME"])
                yield Trial(server, faulty, bucket, project_id, phone, size)
    resource.meta.client.close()


def told_to_come_back(answer: Answer) -> bool:
    assert answer.status == 503, answer.body
    assert answer.json["code"] == "unavailable"
    return int(answer.headers["Retry-After"]) >= 5


def test_a_phone_hears_of_a_store_that_is_away_before_it_gives_up() -> None:
    phone_waits = 120
    backoffs = 1 + 2
    for longest in (
        s3._TRIES * (s3._CONNECT_SECONDS + s3._READ_SECONDS) + backoffs,
        s3_errors.CALL_SECONDS,
        s3_writer._COMMIT_SECONDS,
    ):
        assert longest + 20 < phone_waits


@pytest.mark.parametrize("fault", [Fault.STATUS_503, Fault.HANG, Fault.RESET])
async def test_an_update_that_cannot_be_stored_is_sent_again_later(
    trial: Trial, fault: Fault
) -> None:
    trial.s3.fail(f"PUT .*{UPDATE}", fault)
    assert told_to_come_back(await trial.submit())
    # aiohttp repeats by itself what a connection that it had used before was reset under.
    assert s3._TRIES <= len(trial.s3.hits) <= 2 * s3._TRIES
    await trial.nothing_is_stored()
    trial.s3.mend()
    assert (await trial.submit()).status == 201
    assert (await trial.participant()).submission


async def test_a_fault_that_passes_is_not_noticed(trial: Trial) -> None:
    trial.s3.fail(f"PUT .*{UPDATE}", Fault.RESET, times=1)
    assert (await trial.submit()).status == 201
    assert len(trial.s3.hits) == 1


async def test_an_update_whose_storing_went_unheard_is_none_until_it_is_sent_again(
    trial: Trial,
) -> None:
    trial.s3.fail(f"PUT .*{UPDATE}", Fault.LOSE)
    assert told_to_come_back(await trial.submit())
    assert (await trial.participant()).submission is None
    report = await trial.phone.report((await trial.round()).request_id)
    assert report.status == 409
    trial.s3.mend()
    assert (await trial.submit()).status == 201


@pytest.mark.parametrize("trial", [LARGE], indirect=True)
@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("PUT .*partNumber=2", Fault.STATUS_503),
        ("POST .*uploadId=", Fault.RESET),
        ("(PUT|DELETE) .*uploadId=", Fault.STATUS_500),
    ],
    ids=["a part", "the end", "a part, and taking it back"],
)
async def test_parts_of_an_update_that_failed_are_taken_back(
    trial: Trial, pattern: str, fault: Fault
) -> None:
    trial.s3.fail(pattern, fault)
    assert told_to_come_back(await trial.submit())
    trial.s3.mend()
    await trial.nothing_is_stored()
    assert (await trial.submit()).status == 201
    assert (await trial.participant()).submission
    await trial.no_parts_are_left()


@pytest.mark.parametrize("fault", [Fault.TRUNCATE, Fault.DRIP])
async def test_a_download_that_breaks_off_does_not_look_whole(trial: Trial, fault: Fault) -> None:
    trial.s3.fail("GET .*/0/model_weights.bin", fault)
    path = f"/api/project/{trial.project_id}/get-model/0"
    try:
        answer = await trial.phone.call("GET", path)
    except aiohttp.ClientError:
        pass
    else:
        assert told_to_come_back(answer)
    trial.s3.mend()
    answer = await trial.phone.call("GET", path)
    assert (answer.status, len(answer.body)) == (200, SMALL)


@pytest.mark.parametrize("pattern", [f"PUT .*{NEXT_MODEL}", f"GET .*{UPDATE}"])
async def test_a_round_completes_when_the_store_is_back(
    trial: Trial, pattern: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await trial.submit()).status == 201
    trial.s3.fail(pattern, Fault.STATUS_503)
    assert (await trial.phone.report((await trial.round()).request_id)).json == {"counted": True}
    async with asyncio.timeout(20):
        while "waits for the next tick" not in caplog.text:
            await asyncio.sleep(0.02)
    assert trial.s3.hits
    assert (await trial.round()).status is RoundStatus.TRAINING
    trial.s3.mend()
    async with asyncio.timeout(20):
        while (await trial.round()).status is not RoundStatus.COMPLETE:
            with contextlib.suppress(Unavailable):
                await advance(trial.server.app, trial.project_id)
            await asyncio.sleep(0.02)
    assert (await trial.participant()).counted
