"""A wave of phones: a server in a process of its own, whose memory is watched."""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable
from random import Random
from urllib.parse import urlsplit

from flaas.fleet.retry import Backoff, StepFailed
from flaas.settings import Settings

from ..services.conftest import World
from .process import serving

PHONES = 1_000
SIZE = 256 << 10
AT_A_TIME = 8

MIB = 1 << 20

ONE_UPLOAD = 3 * MIB
ONE_CONNECTION = 100 << 10
LEEWAY = 30 * MIB
"""Code that is loaded with the first request, and what the allocator keeps."""

BOUND = PHONES * ONE_CONNECTION + AT_A_TIME * ONE_UPLOAD + LEEWAY
"""As docs/reliability.md states it."""


async def test_a_wave_of_uploads_stays_within_the_bound_and_no_phone_fails(
    world: World, make_settings: Callable[..., Settings]
) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    assert PHONES * SIZE > BOUND + 80 * MIB, "or a server without a bound would pass"
    body = bytes(SIZE)
    await world.put_model(body)
    project = await world.create_project()
    users = await world.devices(PHONES, project.id)
    await world.services.rounds.advance(project.id)
    settings = make_settings()
    assert settings.mongodb_uri
    assert settings.jwt_secret
    environ = {
        "MONGODB_URI": settings.mongodb_uri.reveal(),
        "JWT_SECRET": settings.jwt_secret.reveal(),
        "FLAAS_UPLOADS_AT_A_TIME": str(AT_A_TIME),
    }
    everyone_sent, sent = asyncio.Event(), 0
    go_on = asyncio.Event()
    answers: Counter[int] = Counter()

    async def upload(host: str, port: int, token: str) -> None:
        """As a phone does it; the first time, all wait before their last byte for each other."""
        nonlocal sent
        reader, writer = await asyncio.open_connection(host, port)
        try:
            lines = [
                f"POST /api/project/{project.id}/submit-model/0/model_weights.bin HTTP/1.1",
                f"Host: x\r\nContent-Length: {SIZE}\r\nAuthorization: Bearer {token}\r\n\r\n",
            ]
            writer.write("\r\n".join(lines).encode() + body[1:])
            sent += 1
            if sent == PHONES:
                everyone_sent.set()
            await go_on.wait()
            writer.write(body[:1])
            answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        except (OSError, asyncio.IncompleteReadError) as error:
            raise StepFailed(str(error)) from error
        finally:
            writer.close()
        status = int(answer.split()[1])
        answers[status] += 1
        if status != 201:
            failure = StepFailed(answer)
            failure.retry_after = float(answer.partition("Retry-After: ")[2].split()[0])
            raise failure

    backoff = Backoff()
    with serving(settings.data_dir, environ) as served:
        address = urlsplit(served.url)
        assert address.hostname
        assert address.port
        before = served.begin_peak()
        async with asyncio.timeout(100), asyncio.TaskGroup() as phones:
            for user in users:
                token = world.services.tokens.issue(user).access
                step = lambda _, token=token: upload(  # noqa: E731
                    address.hostname, address.port, token
                )
                phones.create_task(backoff.run(step, Random(user.id)))
            await everyone_sent.wait()
            # Until the server has taken in all that it takes in.
            steady = served.peak()
            while True:
                await asyncio.sleep(1)
                if served.peak() == steady:
                    break
                steady = served.peak()
            go_on.set()
        grown = served.peak() - before

    assert answers[201] == PHONES
    assert set(answers) <= {201, 503}
    assert grown < BOUND, f"{grown / MIB:.0f} MiB, {BOUND / MIB:.0f} at most"
    participants = await world.services.store.participants.all(
        (await world.round(project.id, 0)).id
    )
    assert sum(one.submission is not None for one in participants) == PHONES
