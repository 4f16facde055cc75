"""Initial models and samples: what is taken, what is refused, and what stays then."""

import struct

import pytest

from flaas.domain.errors import Conflict, Invalid, Malformed, TooLarge
from flaas.domain.ports import FileMissing, Model
from flaas.domain.round import initial_model_key, samples_key
from flaas.services import catalogue as module

from ..support import floats
from .conftest import INITIAL, World, sha256

RECORD = bytes(3073)
OTHER = floats([7.0, 8.0, 9.0])
MODEL = Model(name="M", parameters=3, sha256=sha256(INITIAL))


async def stored(world: World, key: str) -> bytes | None:
    try:
        return await world.read(key)
    except FileMissing:
        return None


# --- models ---


async def test_a_model_is_registered_with_its_length_and_digest(world: World) -> None:
    await world.put_model()
    assert await world.services.catalogue.model("M") == MODEL
    assert await stored(world, initial_model_key("M")) == INITIAL


@pytest.mark.parametrize("size", [1, 2, 3, 5, 12])
async def test_a_model_may_come_in_pieces_of_any_size(world: World, size: int) -> None:
    incoming = await world.services.catalogue.receive_model("M")
    async with incoming:
        for start in range(0, len(INITIAL), size):
            await incoming.write(INITIAL[start : start + size])
        assert await incoming.finish() == MODEL


@pytest.mark.parametrize(
    "content",
    [
        b"",
        INITIAL[:-1],
        INITIAL + b"\0",
        b"\0\0",
        INITIAL + struct.pack("<f", float("nan")),
        struct.pack("<f", float("inf")) + INITIAL,
        struct.pack("<f", float("-inf")),
    ],
)
async def test_what_is_no_model_is_refused_and_the_old_one_stays(
    world: World, content: bytes
) -> None:
    await world.put_model()
    with pytest.raises(Malformed):
        await world.put_model(content)
    assert await world.services.catalogue.model("M") == MODEL
    assert await stored(world, initial_model_key("M")) == INITIAL
    with pytest.raises(Malformed):
        await world.put_model(content, "N")
    assert await world.services.catalogue.model("N") is None
    assert await stored(world, initial_model_key("N")) is None


async def test_an_upload_that_ends_early_stores_nothing(world: World) -> None:
    incoming = await world.services.catalogue.receive_model("M")
    async with incoming:
        await incoming.write(INITIAL)
    assert await world.services.catalogue.model("M") is None
    assert await stored(world, initial_model_key("M")) is None


async def test_a_file_that_is_too_long_is_refused_as_it_comes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILE_BYTES_MAX", 16)
    incoming = await world.services.catalogue.receive_model("M")
    async with incoming:
        await incoming.write(bytes(16))
        with pytest.raises(TooLarge):
            await incoming.write(b"\0")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../M", "a b", "-M", "é", "M\n", "M" * 65])
async def test_a_name_that_is_no_part_of_a_key_is_refused(world: World, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        await world.services.catalogue.receive_model(name)
    assert list(caught.value.fields) == ["name"]
    assert await world.services.catalogue.model(name) is None


async def test_a_used_model_takes_new_weights_of_the_same_length(world: World) -> None:
    await world.put_model()
    await world.create_project(status="Stopped")
    await world.put_model(OTHER)
    assert await stored(world, initial_model_key("M")) == OTHER
    found = await world.services.catalogue.model("M")
    assert found is not None
    assert found.sha256 == sha256(OTHER)


async def test_a_used_model_keeps_its_length(world: World) -> None:
    await world.put_model()
    await world.create_project(status="Stopped")
    with pytest.raises(Conflict, match="another name"):
        await world.put_model(OTHER + OTHER)
    assert await world.services.catalogue.model("M") == MODEL
    assert await stored(world, initial_model_key("M")) == INITIAL


async def test_a_model_that_nobody_uses_may_change_its_length(world: World) -> None:
    await world.put_model()
    await world.put_model(OTHER + OTHER)
    found = await world.services.catalogue.model("M")
    assert found is not None
    assert found.parameters == 6


async def put_file(world: World, key: str, content: bytes) -> None:
    async with world.services.files.create(key) as out:
        await out.write(content)
        await out.commit()


async def test_a_model_in_an_existing_bucket_is_found_when_asked_for(world: World) -> None:
    await put_file(world, initial_model_key("M"), INITIAL)
    assert await world.services.store.models.get("M") is None
    assert await world.services.catalogue.model("M") == MODEL
    assert await world.services.store.models.get("M") == MODEL


@pytest.mark.parametrize("content", [b"", INITIAL[:-1], struct.pack("<f", float("nan"))])
async def test_a_file_in_the_bucket_that_is_no_model_is_none(world: World, content: bytes) -> None:
    await put_file(world, initial_model_key("M"), content)
    assert await world.services.catalogue.model("M") is None


# --- samples ---


@pytest.mark.parametrize("count", [1, 150])
async def test_samples_are_counted_and_stored_in_their_place(world: World, count: int) -> None:
    incoming = world.services.catalogue.receive_samples("NonIID", 4, 2)
    async with incoming:
        await incoming.write(RECORD * count)
        assert await incoming.finish() == count
    assert samples_key("NonIID", 4, 2) == "samples/NonIID/4/2/samples.bin"
    assert await stored(world, samples_key("NonIID", 4, 2)) == RECORD * count


@pytest.mark.parametrize("content", [b"", RECORD[:-1], RECORD + b"\0"])
async def test_what_is_not_whole_records_is_refused(world: World, content: bytes) -> None:
    incoming = world.services.catalogue.receive_samples("IID", 0, 0)
    async with incoming:
        await incoming.write(content)
        with pytest.raises(Malformed):
            await incoming.finish()
    assert await stored(world, samples_key("IID", 0, 0)) is None


@pytest.mark.parametrize(
    ("dataset_type", "index", "number", "fields"),
    [
        ("iid", 0, 0, ["dataset_type"]),
        ("../IID", 0, 0, ["dataset_type"]),
        ("IID", -1, 0, ["index"]),
        ("IID", 2**31, 0, ["index"]),
        ("IID", 0, 3, ["app"]),
        ("IID", 0, -1, ["app"]),
        ("", -1, 9, ["dataset_type", "index", "app"]),
    ],
)
def test_a_place_that_does_not_exist_is_refused_by_name(
    world: World, dataset_type: str, index: int, number: int, fields: list[str]
) -> None:
    with pytest.raises(Invalid) as caught:
        world.services.catalogue.receive_samples(dataset_type, index, number)
    assert list(caught.value.fields) == fields
