"""What only the local directory does: where its bytes are, and what reaches the disk when."""

import asyncio
import errno
import os
import shutil
import time
from io import FileIO
from pathlib import Path

import pytest

from flaas.domain.errors import NoRoom
from flaas.domain.ports import FileMissing
from flaas.files import blocking
from flaas.files.directory import DirectoryFiles
from flaas.files.errors import FilesUnavailable
from tests.files.contents import MIB, get, keys, made_of, put

KEY = "projects/1/0/model_weights.bin"


def partials(root: Path) -> list[Path]:
    return list((root / ".partial").iterdir())


def open_files(root: Path) -> list[str]:
    links = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(link.readlink()))
        except FileNotFoundError:
            continue
    return [link for link in links if link.startswith(str(root))]


async def test_no_partial_file_stays(directory_files: DirectoryFiles, root: Path) -> None:
    await put(directory_files, KEY, made_of(3 * MIB))
    await directory_files.copy(KEY, "copied")
    await directory_files.copy(KEY, "copied")
    async with directory_files.create(KEY) as writer:
        await writer.write(b"x")
        assert len(partials(root)) == 1

    assert partials(root) == []
    assert open_files(root) == []
    assert (root / KEY).read_bytes() == made_of(3 * MIB)


@pytest.mark.parametrize("seconds", [0, 0.0005, 0.005, 0.05])
async def test_cancelling_leaves_no_partial_and_no_open_file(
    directory_files: DirectoryFiles, root: Path, seconds: float
) -> None:
    async def write_for_ever() -> None:
        async with directory_files.create(KEY) as writer:
            while True:
                await writer.write(b"x" * MIB)

    async def read_for_ever() -> None:
        while True:
            await get(directory_files, "there")

    await put(directory_files, "there", made_of(3 * MIB))
    tasks = [asyncio.create_task(write_for_ever()), asyncio.create_task(read_for_ever())]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert partials(root) == []
    assert open_files(root) == []


async def test_old_partial_files_go_at_open(directory_files: DirectoryFiles, root: Path) -> None:
    killed, alive = root / ".partial" / "killed", root / ".partial" / "alive"
    for partial, hours in [(killed, 25), (alive, 23)]:
        partial.write_bytes(b"x")
        written = time.time() - hours * 3600
        os.utime(partial, (written, written))

    async with DirectoryFiles.open(root):
        assert partials(root) == [alive]


async def test_partial_files_are_not_files(directory_files: DirectoryFiles, root: Path) -> None:
    (root / ".partial" / "x").write_bytes(b"x")

    assert await keys(directory_files) == []
    assert await keys(directory_files, ".") == []
    for key in [".partial", ".partial/x"]:
        with pytest.raises(ValueError, match="not a key"):
            await get(directory_files, key)
        with pytest.raises(ValueError, match="not a key"):
            await put(directory_files, key)
        with pytest.raises(ValueError, match="not a key"):
            await directory_files.delete_all(f"{key}/")
    assert len(partials(root)) == 1


def test_even_an_unchecked_key_cannot_be_absolute(root: Path) -> None:
    # Looks at paths only: a deletion that went wrong here would be of the machine.
    for key in ["/", "/etc/passwd", "//etc"]:
        assert DirectoryFiles(root)._below(key).is_relative_to(root)


async def test_delete_all_removes_emptied_folders(
    directory_files: DirectoryFiles, root: Path
) -> None:
    await put(directory_files, "projects/1/0/7/model_weights.bin")
    await put(directory_files, "projects/1/1/model_weights.bin")
    await put(directory_files, "projects/2/0/model_weights.bin")

    await directory_files.delete_all("projects/1/")

    assert [folder.name for folder in (root / "projects").iterdir()] == ["2"]


async def test_two_deletions_at_once(directory_files: DirectoryFiles, root: Path) -> None:
    for number in range(200):
        await put(directory_files, f"projects/1/{number}/x")
    counts = await asyncio.gather(*[directory_files.delete_all("projects/1/") for _ in range(3)])
    assert sum(counts) == 200
    assert list((root / "projects").iterdir()) == []


async def test_commit_while_the_folder_is_deleted(
    directory_files: DirectoryFiles, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace
    taken: list[Path] = []

    def replace_late(partial: Path, target: Path) -> Path:
        if not taken:
            shutil.rmtree(target.parent)
            taken.append(target)
        return replace(partial, target)

    monkeypatch.setattr(Path, "replace", replace_late)
    await put(directory_files, KEY, b"kept")
    assert taken
    assert (root / KEY).read_bytes() == b"kept"


async def test_a_reader_keeps_what_it_began_with(directory_files: DirectoryFiles) -> None:
    await put(directory_files, KEY, b"1" * 3 * MIB)
    reading = directory_files.read(KEY)
    read = await anext(reading)
    await put(directory_files, KEY, b"2" * 3 * MIB)
    await directory_files.delete_all("projects/")
    async for piece in reading:
        read += piece
    assert read == b"1" * 3 * MIB


async def test_a_copy_is_of_its_own(directory_files: DirectoryFiles, root: Path) -> None:
    await put(directory_files, "models/CNN.bin", b"old")
    await directory_files.copy("models/CNN.bin", KEY)
    with (root / "models/CNN.bin").open("r+b") as file:
        file.write(b"new")
    assert await get(directory_files, KEY) == b"old"


async def test_what_is_committed_reached_the_disk_first(
    directory_files: DirectoryFiles, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def record_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        steps.append(f"sync {path.relative_to(root)}")
        fsync(descriptor)

    def record_replace(partial: Path, target: Path) -> Path:
        steps.append(f"replace {target.relative_to(root)}")
        return replace(partial, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_replace)

    async with directory_files.create("a/b/x") as writer:
        await writer.write(b"x")
        partial = partials(root)[0].relative_to(root)
        await writer.commit()
    assert steps == [f"sync {partial}", "sync .", "sync a", "replace a/b/x", "sync a/b"]

    steps.clear()
    await directory_files.copy("a/b/x", "a/b/y")
    assert steps[0].startswith("sync .partial/")
    assert steps[1:] == ["replace a/b/y", "sync a/b"]


async def test_a_failed_flush_is_final(
    directory_files: DirectoryFiles, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    await put(directory_files, KEY, b"old")
    async with directory_files.create(KEY) as writer:
        await writer.write(b"new")
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", fail)
            with pytest.raises(OSError, match="broken"):
                await writer.commit()
        with pytest.raises(ValueError, match="closed"):
            await writer.commit()
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="broken"):
            await directory_files.copy(KEY, "copied")
    assert await keys(directory_files) == [KEY]
    assert await get(directory_files, KEY) == b"old"
    assert partials(root) == []


async def test_a_short_write_is_continued(
    directory_files: DirectoryFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reluctant(FileIO):
        def write(self, data: memoryview) -> int:  # type: ignore[override]
            return super().write(data[:1000])

    monkeypatch.setattr(blocking, "FileIO", Reluctant)
    await put(directory_files, KEY, made_of(10_001))
    assert await get(directory_files, KEY) == made_of(10_001)


@pytest.mark.parametrize(
    ("number", "raised"),
    [(errno.ENOSPC, NoRoom), (errno.EDQUOT, NoRoom), (errno.EIO, OSError)],
)
async def test_a_disk_that_takes_no_more_is_told_from_one_that_fails(
    directory_files: DirectoryFiles,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    raised: type[Exception],
) -> None:
    class Full(FileIO):
        def write(self, data: memoryview) -> int:  # type: ignore[override]
            raise OSError(number, "no")

    monkeypatch.setattr(blocking, "FileIO", Full)
    with pytest.raises(raised):
        await put(directory_files, KEY)
    assert partials(root) == []
    assert await keys(directory_files) == []


async def test_files_vanish_while_they_are_listed(
    directory_files: DirectoryFiles, root: Path
) -> None:
    for folder in "abc":
        await put(directory_files, f"{folder}/x")
    found = []
    async for info in directory_files.walk(""):
        found.append(info.key)
        shutil.rmtree(root / "b", ignore_errors=True)
    assert found == ["a/x", "c/x"]
    with pytest.raises(FileMissing):
        await get(directory_files, "b/x")


async def test_there_are_no_links(directory_files: DirectoryFiles) -> None:
    await put(directory_files, KEY)
    assert await directory_files.link(KEY) is None


async def test_a_root_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FilesUnavailable, match=r"the folder .*/file/root cannot be used"):
        async with DirectoryFiles.open(tmp_path / "file" / "root"):
            pass
