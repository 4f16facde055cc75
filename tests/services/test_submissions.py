"""Updates while the state changes under them. The table itself is tested over HTTP."""

import asyncio

import pytest

from flaas.domain.device import User
from flaas.domain.errors import Conflict, Gone, Malformed, Unavailable
from flaas.domain.round import Participant, Round, update_key

from ..support import floats
from .conftest import World, sha256

Training = tuple[World, Round, list[User]]
WEIGHTS, OTHER = floats([1.0, 2.0, 3.0]), floats([4.0, 5.0, 6.0])


async def part(world: World, round_: Round, device: User) -> Participant:
    found = await world.services.store.participants.get(round_.id, device.device_id)
    assert found is not None
    return found


async def stored(world: World, round_: Round, device: User) -> bytes:
    return await world.read(update_key(round_.project_id, round_.number, device.device_id))


async def test_an_update_is_stored_and_its_digest_recorded(training: Training) -> None:
    world, round_, (device, *_) = training
    assert await world.submit(device, round_, WEIGHTS) == 201
    assert await stored(world, round_, device) == WEIGHTS
    recorded = (await part(world, round_, device)).submission
    assert recorded is not None
    assert (recorded.sha256, recorded.size) == (sha256(WEIGHTS), len(WEIGHTS))


async def test_the_recorded_digest_is_always_the_file_s(training: Training) -> None:
    """Whichever of several uploads at once is stored, the record speaks of that one."""
    world, round_, (device, *_) = training
    bodies = [floats([float(n), 0.0, 0.0]) for n in range(8)] * 2
    outcomes = await asyncio.gather(
        *(world.submit(device, round_, body) for body in bodies), return_exceptions=True
    )
    assert 201 in outcomes
    assert all(one == 201 or isinstance(one, Conflict) for one in outcomes)
    recorded = (await part(world, round_, device)).submission
    assert recorded is not None
    assert recorded.sha256 == sha256(await stored(world, round_, device))
    assert await world.report(device, round_)


@pytest.mark.parametrize("body", [WEIGHTS, OTHER])
async def test_a_report_while_a_second_upload_is_under_way(training: Training, body: bytes) -> None:
    world, round_, (device, *_) = training
    await world.submit(device, round_, WEIGHTS)
    update = await world.services.submissions.begin(
        device, round_.project_id, 0, "model_weights.bin", len(body)
    )
    async with update:
        await update.write(body)
        assert await world.report(device, round_)
        if body == WEIGHTS:
            assert await update.finish() == 200
        else:
            with pytest.raises(Conflict, match="reported already"):
                await update.finish()
    assert await stored(world, round_, device) == WEIGHTS


async def test_a_round_that_closes_while_an_update_comes_in(training: Training) -> None:
    world, round_, (device, *_) = training
    update = await world.services.submissions.begin(
        device, round_.project_id, 0, "model_weights.bin", len(WEIGHTS)
    )
    async with update:
        await update.write(WEIGHTS)
        world.clock.pass_(minutes=60)
        await world.services.rounds.advance(round_.project_id)
        with pytest.raises(Gone):
            await update.finish()
    assert (await part(world, round_, device)).submission is None


async def test_a_file_store_that_fails_leaves_the_device_free_to_try_again(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, round_, (device, *_) = training
    update = await world.services.submissions.begin(
        device, round_.project_id, 0, "model_weights.bin", len(WEIGHTS)
    )

    async def fail() -> None:
        raise Unavailable("The file store is away.")

    async with update:
        await update.write(WEIGHTS)
        monkeypatch.setattr(update, "_commit", fail)
        with pytest.raises(Unavailable):
            await update.finish()
    assert (await part(world, round_, device)).submission is None
    assert await world.submit(device, round_, OTHER) == 201
    assert await world.report(device, round_)


async def test_an_upload_that_ends_early_leaves_no_trace(training: Training) -> None:
    world, round_, (device, *_) = training
    await world.submit(device, round_, WEIGHTS)
    update = await world.services.submissions.begin(
        device, round_.project_id, 0, "model_weights.bin", None
    )
    async with update:
        await update.write(OTHER[:8])
    assert await stored(world, round_, device) == WEIGHTS
    assert await world.submit(device, round_, OTHER) == 201


@pytest.mark.parametrize("content", [b"", WEIGHTS[:-1], WEIGHTS + b"\0", WEIGHTS + WEIGHTS])
async def test_an_unannounced_wrong_length_is_refused(training: Training, content: bytes) -> None:
    world, round_, (device, *_) = training
    update = await world.services.submissions.begin(
        device, round_.project_id, 0, "model_weights.bin", None
    )

    async def send() -> None:
        async with update:
            await update.write(content)
            await update.finish()

    with pytest.raises(Malformed, match="12 bytes"):
        await send()
    assert (await part(world, round_, device)).submission is None
