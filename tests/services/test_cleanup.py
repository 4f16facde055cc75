"""What nobody owns is found, and nothing else is touched."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from flaas.app import open_app
from flaas.domain.device import User
from flaas.domain.round import Round, global_model_key, results_key, update_key
from flaas.settings import Settings

from ..conftest import TestClock
from ..support import floats
from .conftest import World

VALUES = floats([1.0, 2.0, 3.0])


@pytest.fixture
async def world(
    make_settings: Callable[..., Settings], files_environment: dict[str, str], clock: TestClock
) -> AsyncIterator[World]:
    async with open_app(make_settings(**files_environment), clock) as app:
        services = app.services
        projects = replace(services.projects, on_change=lambda project_id: None)
        devices = replace(services.devices, on_answer=lambda project_id: None)
        yield World(replace(services, projects=projects, devices=devices), clock)


async def closed_round(world: World) -> tuple[Round, list[User]]:
    """Three of four devices answered round 0, and round 1 waits."""
    await world.put_model()
    project = await world.create_project(number_of_rounds=2, max_training_time=30)
    users = await world.devices(4, project.id)
    await world.services.rounds.advance(project.id)
    round_ = await world.round(project.id, 0)
    for device in users[:3]:
        await world.answer(device, round_, [1.0, 2.0, 3.0])
        await world.services.devices.submit_results(
            device, project.id, 0, "performance.json", b"{}"
        )
    world.clock.pass_(minutes=61)
    await world.services.rounds.advance(project.id)
    return round_, users


async def keys(world: World) -> set[str]:
    return {info.key async for info in world.services.files.walk("")}


async def put(world: World, key: str) -> None:
    async with world.services.files.create(key) as out:
        await out.write(VALUES)
        await out.commit()


async def test_a_store_in_order_has_no_file_without_an_owner(world: World) -> None:
    await closed_round(world)
    before = await keys(world)
    assert [one async for one in world.services.clean_up.delete()] == []
    assert await keys(world) == before
    events = [one.what async for one in world.services.store.events.find(None, None)]
    assert "files without an owner deleted" not in events


async def test_what_nobody_owns_is_found_and_deleted(world: World) -> None:
    round_, users = await closed_round(world)
    project_id = round_.project_id
    before = await keys(world)
    orphans = {
        update_key(project_id, 0, users[3].device_id): "no update of this device is recorded",
        update_key(project_id, 0, 999): "no update of this device is recorded",
        results_key(project_id, 0, 999): "the device was not asked",
        global_model_key(project_id, 3): "there is no such round",
        update_key(project_id, 7, users[0].device_id): "there is no such round",
        global_model_key(999, 0): "there is no such project",
    }
    strangers = {"projects/notes.txt", f"projects/{project_id}/0/1/plot.png", "results/x.json"}
    for key in [*orphans, *strangers]:
        await put(world, key)

    found = {one.file.key: one.reason async for one in world.services.clean_up.find()}
    assert found == orphans
    assert await keys(world) == before | orphans.keys() | strangers

    deleted = {one.file.key async for one in world.services.clean_up.delete()}
    assert deleted == orphans.keys()
    assert await keys(world) == before | strangers
    last = [one async for one in world.services.store.events.find(None, None)][-1]
    assert (last.what, last.after["files"]) == ("files without an owner deleted", len(orphans))


async def test_an_upload_on_its_way_into_an_open_round_is_left_alone(world: World) -> None:
    await world.put_model()
    project = await world.create_project()
    users = await world.devices(2, project.id)
    await world.services.rounds.advance(project.id)
    # In place, and not recorded yet.
    key = update_key(project.id, 0, users[0].device_id)
    await put(world, key)
    assert [one async for one in world.services.clean_up.delete()] == []
    assert key in await keys(world)


async def test_more_files_than_a_page_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flaas.services.cleanup._PAGE", 2)
    round_, _ = await closed_round(world)
    orphans = {update_key(round_.project_id, 0, 900 + n) for n in range(5)}
    for key in orphans:
        await put(world, key)
    assert {one.file.key async for one in world.services.clean_up.find()} == orphans


# --- verification ---


async def verified(world: World, project_id: int, number: int | None = None) -> list[list[str]]:
    found = world.services.verification.rounds(project_id, number)
    return [one.wrong async for one in found]


async def test_a_round_is_derived_again_bit_for_bit(world: World) -> None:
    round_, _ = await closed_round(world)
    assert await verified(world, round_.project_id) == [[]]
    (one,) = [one async for one in world.services.verification.rounds(round_.project_id, 0)]
    assert one.updates == 3
    assert one.sha256 == (await world.round(round_.project_id, 0)).result_sha256


async def test_an_invalid_round_carries_its_model_on(world: World) -> None:
    await world.put_model()
    project = await world.create_project(max_training_time=30)
    await world.devices(4, project.id)
    await world.services.rounds.advance(project.id)
    world.clock.pass_(minutes=61)
    await world.services.rounds.advance(project.id)
    assert await verified(world, project.id) == [[]]
    await put(world, global_model_key(project.id, 1))
    assert await verified(world, project.id) == [
        ["the resulting model's file is not the recorded one"]
    ]


async def test_what_was_changed_behind_the_server_s_back_is_found(world: World) -> None:
    round_, users = await closed_round(world)
    await world.overwrite(users[1], round_, floats([9.0, 9.0, 9.0]))
    assert await verified(world, round_.project_id) == [
        [
            f"the update of device {users[1].device_id}: the file is not what was submitted",
            "the updates make another model than the recorded one",
        ]
    ]
    await world.overwrite(users[1], round_, None)
    await world.services.files.delete(global_model_key(round_.project_id, 0))
    await put(world, global_model_key(round_.project_id, 1))
    wrong = await verified(world, round_.project_id, 0)
    assert wrong == [
        [
            f"the update of device {users[1].device_id}: the file is missing",
            "the base model's file is missing",
            "the updates make no model any more",
        ]
    ]


async def test_an_open_round_has_nothing_to_verify(world: World) -> None:
    round_, _ = await closed_round(world)
    assert await verified(world, round_.project_id, 1) == []
