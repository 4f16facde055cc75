"""What only S3 does: parts, links, and answers that are not what they seem."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from botocore.exceptions import ClientError

from flaas.domain.errors import Unavailable
from flaas.files.errors import FilesUnavailable
from flaas.files.s3 import S3Files
from flaas.files.s3_writer import PARTS_IN_FLIGHT, S3Writer
from tests.files.contents import MIB, get, keys, made_of, put

KEY = "projects/1/0/model_weights.bin"


def opening(endpoint: str, bucket: str, **options: Any) -> Any:
    options = {"region": "us-east-1", "access_key": "id", "secret_key": "secret", **options}
    return S3Files.open(bucket=bucket, endpoint_url=endpoint, **options)


async def uploads(client: Any, bucket: str) -> list[dict[str, Any]]:
    answer = await client.list_multipart_uploads(Bucket=bucket)
    found: list[dict[str, Any]] = answer.get("Uploads", [])
    return found


@pytest.mark.parametrize(("size", "parts"), [(8 * MIB, None), (8 * MIB + 1, 2), (24 * MIB, 3)])
async def test_a_large_file_goes_in_parts(
    s3_files: S3Files, s3_client: Any, bucket: str, size: int, parts: int | None
) -> None:
    await put(s3_files, KEY, made_of(size))

    info = await s3_files.stat(KEY)
    assert info is not None
    assert info.etag.partition("-")[2] == ("" if parts is None else str(parts))
    assert await uploads(s3_client, bucket) == []


async def test_parts_are_taken_back(s3_files: S3Files, s3_client: Any, bucket: str) -> None:
    async with s3_files.create(KEY) as writer:
        await writer.write(made_of(20 * MIB))
        assert len(await uploads(s3_client, bucket)) == 1
    assert await uploads(s3_client, bucket) == []


async def test_parts_of_a_cancelled_writer_are_taken_back(
    s3_files: S3Files, s3_client: Any, bucket: str
) -> None:
    async def write_for_ever() -> None:
        async with s3_files.create(KEY) as writer:
            while True:
                await writer.write(b"x" * MIB)

    task = asyncio.create_task(write_for_ever())
    while not await uploads(s3_client, bucket):
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert await uploads(s3_client, bucket) == []


class SlowParts:
    """A client whose parts take a while; counts how many are on their way."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def create_multipart_upload(self, **_: Any) -> dict[str, str]:
        return {"UploadId": "1"}

    async def upload_part(self, *, Body: bytes, **_: Any) -> dict[str, str]:  # noqa: N803
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.01)
        self.now -= 1
        return {"ETag": "tag"}

    async def complete_multipart_upload(self, **_: Any) -> None:
        assert self.now == 0


async def test_few_parts_are_in_flight() -> None:
    client = SlowParts()
    writer = S3Writer(client, "bucket", KEY)
    await writer.write(bytes(60 * MIB))
    await writer.commit()
    await writer.discard()
    assert client.most == PARTS_IN_FLIGHT


class FailingPart(SlowParts):
    """The first part fails; what follows it does not."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    async def upload_part(self, **options: Any) -> dict[str, str]:
        if options["PartNumber"] == 1:
            raise ClientError({"Error": {"Code": "InternalError"}}, "UploadPart")
        return await super().upload_part(**options)

    async def complete_multipart_upload(self, **_: Any) -> None:
        pytest.fail("a file without its first part was put in place")

    async def abort_multipart_upload(self, **_: Any) -> None:
        self.aborted = True


@pytest.mark.parametrize("size", [9 * MIB, 60 * MIB])
async def test_a_part_that_fails_fails_the_file(size: int) -> None:
    client = FailingPart()
    writer = S3Writer(client, "bucket", KEY)

    async def write() -> None:
        await writer.write(bytes(size))
        await writer.commit()

    with pytest.raises(Unavailable):
        await write()
    await writer.discard()
    assert client.aborted


async def test_delete_all_beyond_one_batch(s3_files: S3Files, s3_client: Any, bucket: str) -> None:
    for start in range(0, 1100, 50):
        await asyncio.gather(
            *[
                s3_client.put_object(Bucket=bucket, Key=f"projects/1/{number}", Body=b"")
                for number in range(start, start + 50)
            ]
        )
    assert len(await keys(s3_files, "projects/1/")) == 1100
    assert await s3_files.delete_all("projects/1/") == 1100
    assert await keys(s3_files) == []


async def test_folder_marks_are_no_files(s3_files: S3Files, s3_client: Any, bucket: str) -> None:
    await s3_client.put_object(Bucket=bucket, Key="models/", Body=b"")
    await put(s3_files, "models/CNN.bin")

    assert await keys(s3_files) == ["models/CNN.bin"]
    assert await s3_files.delete_all("models/") == 1
    assert (await s3_client.list_objects_v2(Bucket=bucket))["KeyCount"] == 0


async def test_anyone_can_get_a_link(endpoint: str, bucket: str) -> None:
    key = "models/a b+c.bin"
    async with opening(endpoint, bucket, link_seconds=60) as files, aiohttp.ClientSession() as web:
        await put(files, key, b"weights")
        url = await files.link(key)
        async with web.get(url) as answer:
            assert (answer.status, await answer.read()) == (200, b"weights")

    query = parse_qs(urlsplit(url).query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["60"]


async def test_links_can_be_off(endpoint: str, bucket: str) -> None:
    async with opening(endpoint, bucket, links=False) as files:
        await put(files, KEY)
        assert await files.link(KEY) is None


async def test_a_missing_bucket_is_named(endpoint: str) -> None:
    with pytest.raises(FilesUnavailable, match=r"bucket 'no-such-bucket' .* does not exist"):
        async with opening(endpoint, "no-such-bucket"):
            pass


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"endpoint": "localhost"}, "localhost"), ({"secret_key": None}, "credentials")],
)
async def test_settings_that_cannot_work(
    endpoint: str, options: dict[str, Any], reason: str
) -> None:
    options = {"endpoint": endpoint, "bucket": "any-bucket", **options}
    with pytest.raises(FilesUnavailable, match=f"'any-bucket' cannot be used: .*{reason}"):
        async with opening(**options):
            pass


async def test_a_bucket_that_went_away(s3_files: S3Files, s3_client: Any, bucket: str) -> None:
    await s3_client.delete_bucket(Bucket=bucket)
    with pytest.raises(Unavailable):
        await put(s3_files, KEY)
    with pytest.raises(Unavailable):
        await get(s3_files, KEY)
    with pytest.raises(Unavailable):
        await keys(s3_files)


Answer = Callable[[str, str], bytes]
"""From the method and the target of a request to all the bytes of the answer."""


@asynccontextmanager
async def odd_store(answer: Answer) -> AsyncIterator[tuple[S3Files, list[str]]]:
    """Files in a store that greets well, then says what it likes; and the requests it got."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            if "expect: 100-continue" in head:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = head.partition("content-length: ")[2].partition("\r\n")[0]
            body = await reader.readexactly(int(length or 0))
            seen.append(head + body.decode())
            method, target = head.split()[:2]
            greeting = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            writer.write(greeting if method == "head" else answer(method, target))
            await writer.drain()
        finally:
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    async with server, opening(f"http://127.0.0.1:{port}", "any-bucket") as files:
        yield files, seen


@pytest.mark.parametrize("sent", [0, 1, MIB, 3 * MIB - 1])
async def test_a_body_that_breaks_off_is_no_end(sent: int) -> None:
    def answer(method: str, target: str) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (3 * MIB) + bytes(sent)

    async with odd_store(answer) as (files, _):
        with pytest.raises(Unavailable):
            await get(files, KEY)


def xml(text: str) -> bytes:
    body = text.encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body


async def test_what_is_not_deleted_is_an_error() -> None:
    def answer(method: str, target: str) -> bytes:
        if method == "get":
            return xml(
                "<ListBucketResult><Contents><Key>a/1</Key><Size>1</Size><ETag>t</ETag></Contents>"
                "</ListBucketResult>"
            )
        return xml(
            "<DeleteResult><Error><Key>a/1</Key><Code>AccessDenied</Code></Error></DeleteResult>"
        )

    async with odd_store(answer) as (files, seen):
        with pytest.raises(Unavailable) as raised:
            await files.delete_all("a/")
    assert "AccessDenied" in raised.value.__notes__[0]
    assert "AccessDenied" not in raised.value.detail

    # Older stores delete only with this header.
    deletion = seen[-1]
    body = deletion.partition("\r\n\r\n")[2]
    assert deletion.startswith("post /any-bucket?delete")
    md5 = base64.b64encode(hashlib.md5(body.encode()).digest()).decode()
    assert f"content-md5: {md5}".lower() in deletion


async def test_small_files_carry_no_new_checksums() -> None:
    def answer(method: str, target: str) -> bytes:
        return b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "t"\r\nConnection: close\r\n\r\n'

    async with odd_store(answer) as (files, seen):
        await put(files, KEY, b"weights")
    assert seen[-1].startswith(f"put /any-bucket/{KEY}")
    assert "x-amz-checksum" not in seen[-1]
    assert seen[-1].endswith("\r\n\r\nweights")
