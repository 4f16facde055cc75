"""Files in a bucket of Amazon S3, or of a store that speaks its protocol."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any, Final, Self

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from flaas.domain.ports import FileChanged, FileInfo, FileMissing, FileWriter
from flaas.files.errors import FilesUnavailable
from flaas.files.keys import FOLDERS, check_folder, check_key, check_prefix
from flaas.files.s3_errors import CALL_SECONDS, S3_FAULTS, away, called, code, translated
from flaas.files.s3_writer import S3Writer

PIECE: Final = 1024 * 1024
"""Bytes that are handed on at a time."""

_CONNECT_SECONDS: Final = 5.0
_READ_SECONDS: Final = 15.0
_TRIES: Final = 3
"""A phone waits two minutes for its answer, and is to hear of a store that is away before."""

_DISCARD_SECONDS: Final = 5.0
"""How long the end of a writer waits until what it wrote is taken back."""

_BUCKET_REASONS: Final = {
    "404": "it does not exist",
    "NoSuchBucket": "it does not exist",
    "403": "access is refused",
}


class S3Files:
    """A `Files` in one bucket. Raises `errors.Unavailable` where the store fails, and ValueError
    for a bad key."""

    def __init__(self, client: Any, bucket: str, link_seconds: int | None) -> None:
        self._client = client
        self._bucket = bucket
        self._link_seconds = link_seconds
        self._discards: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        bucket: str,
        region: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        endpoint_url: str | None = None,
        link_seconds: int = 900,
        links: bool = True,
    ) -> AsyncIterator[Self]:
        """Connect, see that the bucket is there, close at the end. Raises `FilesUnavailable`.

        Without keys, the usual places of AWS credentials are searched. Without `links`, clients
        get the files through the server.
        """
        async with AsyncExitStack() as stack:
            try:
                client = await stack.enter_async_context(
                    get_session().create_client(
                        "s3",
                        region_name=region,
                        endpoint_url=endpoint_url,
                        aws_access_key_id=access_key,
                        aws_secret_access_key=secret_key,
                        config=_config(path_style=endpoint_url is not None),
                    )
                )
                client.meta.events.register("before-call.s3.DeleteObjects", _add_md5)
                client.meta.events.register_last("before-call.s3", _expect_nothing)
                await client.head_bucket(Bucket=bucket)
            # botocore raises ValueError for an endpoint that is no URL.
            except (*S3_FAULTS, ValueError) as error:
                reason = _BUCKET_REASONS.get(code(error), str(error))
                raise FilesUnavailable(f"bucket {bucket!r} cannot be used: {reason}") from error
            files = cls(client, bucket, link_seconds if links else None)
            try:
                yield files
            finally:
                for discard in files._discards:
                    discard.cancel()
                await asyncio.gather(*files._discards, return_exceptions=True)

    @asynccontextmanager
    async def create(self, key: str) -> AsyncIterator[FileWriter]:
        check_key(key)
        writer = S3Writer(self._client, self._bucket, key)
        try:
            yield writer
        finally:
            # With a store that is away it takes until that is back, and nobody waits for that.
            discard = asyncio.create_task(writer.discard())
            self._discards.add(discard)
            discard.add_done_callback(self._discards.discard)
            await asyncio.wait([discard], timeout=_DISCARD_SECONDS)

    async def read(
        self, key: str, start: int = 0, end: int | None = None, *, etag: str | None = None
    ) -> AsyncIterator[bytes]:
        check_key(key)
        if end is not None and end <= start:
            # HTTP has no words for an empty range: a store would send the whole file.
            if await self.stat(key) is None:
                raise FileMissing(key)
            return
        last = "" if end is None else end - 1
        same = {} if etag is None else {"IfMatch": f'"{etag}"'}
        with translated(key):
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    answer = await self._client.get_object(
                        Bucket=self._bucket, Key=key, Range=f"bytes={start}-{last}", **same
                    )
            except S3_FAULTS as error:
                if code(error) == "InvalidRange":  # it begins at the end, or behind
                    return
                if code(error) in {"PreconditionFailed", "412"}:
                    raise FileChanged(key) from None
                raise
            left: int = answer["ContentLength"]
            async with answer["Body"] as body:
                while left:
                    async with asyncio.timeout(CALL_SECONDS):
                        piece = await _read_piece(body, min(PIECE, left))
                    left -= len(piece)
                    yield piece

    async def read_into(self, key: str, buffer: memoryview, start: int = 0) -> int:
        filled = 0
        async for piece in self.read(key, start, start + len(buffer)):
            buffer[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled

    async def stat(self, key: str) -> FileInfo | None:
        check_key(key)
        try:
            async with called(key):
                head = await self._client.head_object(Bucket=self._bucket, Key=key)
        except FileMissing:
            return None
        return FileInfo(key, head["ContentLength"], head["ETag"].strip('"'))

    async def copy(self, source: str, target: str) -> None:
        check_key(source)
        check_key(target)
        async with called(source):
            await self._client.copy_object(
                Bucket=self._bucket,
                Key=target,
                CopySource={"Bucket": self._bucket, "Key": source},
            )

    async def walk(self, prefix: str) -> AsyncIterator[FileInfo]:
        check_prefix(prefix)
        async for page in self._pages(prefix):
            for entry in page:
                # S3 consoles mark a folder with an empty object of its name.
                if not entry["Key"].endswith("/"):
                    yield FileInfo(entry["Key"], entry["Size"], entry["ETag"].strip('"'))

    async def delete_all(self, prefix: str) -> int:
        check_folder(prefix)
        deleted = 0
        async for page in self._pages(prefix):
            keys = [entry["Key"] for entry in page]
            async with called(prefix):
                answer = await self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
                )
            if answer.get("Errors"):
                raise away(f"not deleted: {answer['Errors'][:3]}")
            deleted += sum(not key.endswith("/") for key in keys)
        return deleted

    async def delete(self, key: str) -> None:
        check_key(key)
        with translated(key):
            await self._client.delete_object(Bucket=self._bucket, Key=key)

    async def discard_unfinished(self, before: datetime) -> int:
        discarded = 0
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket)
        with translated(self._bucket):
            async for page in pages:
                for upload in page.get("Uploads", ()):
                    # Others may use the bucket too.
                    if upload["Key"].startswith(FOLDERS) and upload["Initiated"] < before:
                        await self._client.abort_multipart_upload(
                            Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )
                        discarded += 1
        return discarded

    async def link(self, key: str) -> str | None:
        check_key(key)
        if self._link_seconds is None:
            return None
        with translated(key):
            url: str = await self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self._bucket, "Key": key},
                ExpiresIn=self._link_seconds,
            )
        return url

    async def _pages(self, prefix: str) -> AsyncIterator[list[dict[str, Any]]]:
        """What begins with `prefix`, up to 1,000 at a time: as many as one deletion takes."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        with translated(prefix):
            async for page in pages:
                if page.get("Contents"):
                    yield page["Contents"]


def _config(*, path_style: bool) -> AioConfig:
    return AioConfig(
        # Else links would be signed the old way, whose expiry some regions do not know.
        signature_version="s3v4",
        # A store of one's own seldom has a DNS name for each bucket.
        s3={"addressing_style": "path" if path_style else "auto"},
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _TRIES},
        # Two for each upload at a time, and some.
        max_pool_connections=100,
        # Checksums that Amazon added late, and many other stores refuse.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def _add_md5(params: dict[str, Any], **_: Any) -> None:
    """Older stores take a deletion of many keys only with this header; botocore left it out when
    it moved to newer checksums."""
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()


def _expect_nothing(params: dict[str, Any], **_: Any) -> None:
    """botocore has a body that is a file wait for a go-ahead, and no time-out bounds that wait."""
    params["headers"].pop("Expect", None)


async def _read_piece(body: Any, size: int) -> bytes:
    """Exactly `size` bytes: a body that stops before its announced length is broken, not read."""
    piece = bytearray()
    while len(piece) < size:
        more = await body.read(size - len(piece))
        if not more:
            raise away(f"{size - len(piece)} bytes of a body did not come")
        piece += more
    return bytes(piece)
