"""What every store of files does, asked of each."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from flaas.domain.ports import FileChanged, FileInfo, FileMissing, Files
from tests.files.contents import MIB, get, keys, made_of, put

KEY = "projects/1/0/model_weights.bin"


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, 8 * MIB, 8 * MIB + 1, 20 * MIB + 3])
async def test_what_was_written_is_read(files: Files, size: int) -> None:
    await put(files, KEY, made_of(size), chunk=3 * MIB)

    pieces = [piece async for piece in files.read(KEY)]

    assert b"".join(pieces) == made_of(size)
    assert all(0 < len(piece) <= MIB for piece in pieces)
    info = await files.stat(KEY)
    assert info is not None
    assert (info.key, info.size) == (KEY, size)


async def test_one_large_write(files: Files) -> None:
    await put(files, KEY, made_of(30 * MIB), chunk=30 * MIB)
    assert await get(files, KEY) == made_of(30 * MIB)


@pytest.mark.parametrize("size", [5, 17 * MIB])
async def test_nothing_shows_before_commit(files: Files, size: int) -> None:
    async with files.create(KEY) as writer:
        await writer.write(made_of(size))
        assert await files.stat(KEY) is None
        assert await keys(files) == []
        await writer.commit()
        assert await keys(files) == [KEY]


@pytest.mark.parametrize("size", [0, 5, 17 * MIB])
async def test_leaving_without_commit_keeps_the_old(files: Files, size: int) -> None:
    await put(files, KEY, b"old")
    async with files.create(KEY) as writer:
        await writer.write(made_of(size))
    assert await get(files, KEY) == b"old"


@pytest.mark.parametrize("size", [5, 17 * MIB])
async def test_an_error_discards(files: Files, size: int) -> None:
    async def fail() -> None:
        async with files.create(KEY) as writer:
            await writer.write(made_of(size))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await keys(files) == []


async def test_commit_replaces(files: Files) -> None:
    await put(files, KEY, b"a longer old one")
    before = await files.stat(KEY)
    await put(files, KEY, b"new")
    after = await files.stat(KEY)

    assert await get(files, KEY) == b"new"
    assert before is not None
    assert after is not None
    assert before.etag != after.etag


async def test_the_etag_tells_contents_of_one_size_apart(files: Files) -> None:
    seen = set()
    for data in (b"one", b"two"):
        await put(files, KEY, data)
        info = await files.stat(KEY)
        assert info is not None
        assert info == await files.stat(KEY)
        assert '"' not in info.etag
        seen.add(info.etag)
    assert len(seen) == 2


async def test_a_writer_ends_with_its_commit(files: Files) -> None:
    async with files.create(KEY) as writer:
        await writer.write(b"all")
        await writer.commit()
        with pytest.raises(ValueError, match="closed"):
            await writer.write(b"more")
        with pytest.raises(ValueError, match="closed"):
            await writer.commit()
    assert await get(files, KEY) == b"all"


async def test_of_two_writers_the_last_to_commit_wins_whole(files: Files) -> None:
    async with files.create(KEY) as one, files.create(KEY) as other:
        await one.write(b"1" * 9 * MIB)
        await other.write(b"2" * 9 * MIB)
        await other.commit()
        await one.commit()
    assert await get(files, KEY) == b"1" * 9 * MIB


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, 1),
        (5, 5),
        (7, 5),
        (MIB - 1, MIB + 1),
        (0, 3 * MIB),
        (3, None),
        (3 * MIB - 1, 9 * MIB),
        (3 * MIB, None),
        (4 * MIB, 5 * MIB),
    ],
)
async def test_a_range(files: Files, start: int, end: int | None) -> None:
    data = made_of(3 * MIB)
    await put(files, KEY, data)
    assert await get(files, KEY, start, end) == data[start:end]


@pytest.mark.parametrize("key", [KEY, "projects/1", "projects/1/1/there/more"])
async def test_a_missing_file(files: Files, key: str) -> None:
    await put(files, "projects/1/1/there")

    assert await files.stat(key) is None
    for start, end in [(0, None), (0, 0), (3, 9)]:
        with pytest.raises(FileMissing):
            await get(files, key, start, end)
    with pytest.raises(FileMissing):
        await files.copy(key, "copied")
    assert await keys(files) == ["projects/1/1/there"]


async def test_copy(files: Files) -> None:
    data = made_of(9 * MIB)
    await put(files, "models/CNN.bin", data)
    await put(files, KEY, b"old")

    await files.copy("models/CNN.bin", KEY)
    await files.copy("models/CNN.bin", KEY)
    await put(files, "models/CNN.bin", b"changed")

    assert await get(files, KEY) == data
    assert await keys(files) == ["models/CNN.bin", KEY]


async def test_a_copy_of_nothing_keeps_the_target(files: Files) -> None:
    await put(files, KEY, b"old")
    with pytest.raises(FileMissing):
        await files.copy("models/none.bin", KEY)
    assert await get(files, KEY) == b"old"


TREE = ["a-b/1", "a.b", "a/1", "a/10/x", "a/2/x", "a/2/y/z", "a/2x", "b", "é/1"]


@pytest.mark.parametrize(
    "prefix", ["", "a", "a/", "a/2", "a/2/", "a/2/y/z", "a/2/y/zz", "c/", "é/"]
)
async def test_walk(files: Files, prefix: str) -> None:
    for key in reversed(TREE):
        await put(files, key, key.encode())

    found = [info async for info in files.walk(prefix)]

    assert [info.key for info in found] == [key for key in TREE if key.startswith(prefix)]
    for info in found:
        assert info == await files.stat(info.key)


async def test_delete_all(files: Files) -> None:
    for key in TREE:
        await put(files, key)

    assert await files.delete_all("a/2/") == 2
    assert await files.delete_all("a/2/") == 0
    assert await keys(files) == [key for key in TREE if not key.startswith("a/2/")]
    assert await files.delete_all("a/") == 3
    assert await keys(files) == ["a-b/1", "a.b", "b", "é/1"]
    assert await files.delete_all("none/") == 0


@pytest.mark.parametrize("prefix", ["", "/", "a", "a/2", "../", "a/../", "a//", "/a/"])
async def test_delete_all_takes_a_folder_only(files: Files, prefix: str) -> None:
    await put(files, "a/2/x")
    with pytest.raises(ValueError, match="not a"):
        await files.delete_all(prefix)
    assert await keys(files) == ["a/2/x"]


BAD_KEYS = ["", "/a", "a/", "a//b", "..", "../a", "a/../../b", "a/..", ".", "a/./b", "a\0b", "a\\b"]

CALLS: dict[str, Callable[[Files, str], Awaitable[object]]] = {
    "create": put,
    "read": get,
    "stat": lambda files, key: files.stat(key),
    "copy from": lambda files, key: files.copy(key, "copied"),
    "copy to": lambda files, key: files.copy("there", key),
    "walk": lambda files, key: keys(files, f"{key}/"),
    "link": lambda files, key: files.link(key),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_bad_key_is_refused(files: Files, call: str) -> None:
    await put(files, "there")
    for key in BAD_KEYS:
        with pytest.raises(ValueError, match="not a key"):
            await CALLS[call](files, key)
    assert await keys(files) == ["there"]


async def test_odd_names_are_plain_names(files: Files) -> None:
    for key in ["a b/c+d%2F/é?#&=.bin", "..a/b..", ".hidden"]:
        await put(files, key, key.encode())
        assert await get(files, key) == key.encode()
        assert [info async for info in files.walk(key)] == [await files.stat(key)]


@pytest.mark.parametrize("seconds", [0, 0.001, 0.01, 0.05, 0.2])
async def test_a_cancelled_writer_leaves_nothing(files: Files, seconds: float) -> None:
    async def write_for_ever() -> None:
        async with files.create(KEY) as writer:
            while True:
                await writer.write(b"x" * MIB)

    task = asyncio.create_task(write_for_ever())
    await asyncio.sleep(seconds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await keys(files) == []


async def test_a_reader_may_stop_early(files: Files) -> None:
    await put(files, KEY, made_of(5 * MIB))
    reading = files.read(KEY)
    assert await anext(reading) == made_of(MIB)
    await reading.aclose()  # type: ignore[attr-defined]
    assert isinstance(await files.stat(KEY), FileInfo)


async def test_a_content_that_was_asked_for_and_is_there(files: Files) -> None:
    await put(files, "a/b", b"first")
    info = await files.stat("a/b")
    assert info
    assert b"".join([one async for one in files.read("a/b", 1, 3, etag=info.etag)]) == b"ir"


async def test_a_content_that_was_replaced_is_not_passed_off_as_the_old_one(files: Files) -> None:
    await put(files, "a/b", b"first")
    info = await files.stat("a/b")
    assert info
    await put(files, "a/b", b"second")
    with pytest.raises(FileChanged):
        [one async for one in files.read("a/b", etag=info.etag)]


async def test_a_reading_that_has_begun_goes_on_with_what_there_was(files: Files) -> None:
    await put(files, "a/b", b"x" * 3_000_000)
    reading = files.read("a/b")
    read = len(await anext(reading))
    await put(files, "a/b", b"y")
    async for piece in reading:
        assert set(piece) == {ord("x")}
        read += len(piece)
    assert read == 3_000_000


async def test_one_file_is_deleted_and_its_neighbours_stay(files: Files) -> None:
    for key in ("projects/1/a", "projects/1/ab", "projects/1/a.b/c"):
        await put(files, key, b"x")
    await files.delete("projects/1/a")
    await files.delete("projects/1/a")
    await files.delete("projects/9/nothing")
    assert [info.key async for info in files.walk("")] == ["projects/1/a.b/c", "projects/1/ab"]


@pytest.mark.parametrize(
    "key", ["", "/no-such-folder/x", "../no-such-x", "a/../../no-such-x", "a//b", "a/"]
)
async def test_what_is_no_key_deletes_nothing(files: Files, key: str) -> None:
    await put(files, "a/b", b"x")
    with pytest.raises(ValueError, match="not a key"):
        await files.delete(key)
    assert await files.stat("a/b")


async def test_what_was_begun_and_never_ended_is_taken_back(files: Files) -> None:
    began = datetime.now(UTC)
    async with files.create("projects/1/0/model_weights.bin") as out:
        # Large enough to have begun in a bucket too.
        await out.write(bytes(20 * 1024 * 1024))
        assert await files.discard_unfinished(datetime(2005, 1, 1, tzinfo=UTC)) == 0
        assert await files.discard_unfinished(began + timedelta(minutes=1)) == 1
        assert await files.discard_unfinished(began + timedelta(minutes=1)) == 0
    assert await files.stat("projects/1/0/model_weights.bin") is None
