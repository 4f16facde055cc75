"""Writing one object: in one request when it is small, else in parts that become one at the end."""

import asyncio
import io
import logging
from typing import Any, Final

from flaas.files.s3_errors import CALL_SECONDS, S3_FAULTS, code, translated

PART: Final = 8 * 1024 * 1024
"""Bytes of a part, and of the largest object that is sent in one request."""

PARTS_IN_FLIGHT: Final = 2
"""With the part that is being filled, a writer holds three: 24 MiB."""

_COMMIT_SECONDS: Final = 90.0
"""What a phone waits for after its last byte; it gives up after two minutes."""

_DISCARD_PAUSES: Final = (1.0, 5.0, 20.0, 60.0, 300.0)
"""Between the tries to take back what was written, in seconds."""

_log = logging.getLogger(__name__)


class S3Writer:
    """A `FileWriter`. Whoever made it calls `discard` at the end, committed or not."""

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        self._client = client
        self._where = {"Bucket": bucket, "Key": key}
        self._key = key
        self._buffer = bytearray()
        self._opening: asyncio.Task[dict[str, str]] | None = None
        self._upload: dict[str, str] | None = None
        self._parts: list[asyncio.Task[dict[str, Any]]] = []
        self._closed = False
        self._committed = False

    async def write(self, data: bytes) -> None:
        self._check_open()
        self._buffer += data
        # Not `>=`: a file of exactly one part still goes in one request.
        while len(self._buffer) > PART:
            await self._start_part(PART)

    async def commit(self) -> None:
        self._check_open()
        self._closed = True
        with translated(self._key):
            async with asyncio.timeout(_COMMIT_SECONDS):
                await self._commit()

    async def _commit(self) -> None:
        if self._upload is None:
            body = self._take(len(self._buffer))
            await self._client.put_object(**self._where, Body=body)
            return
        await self._start_part(len(self._buffer))
        parts = await asyncio.gather(*self._parts)
        await self._client.complete_multipart_upload(
            **self._upload, MultipartUpload={"Parts": parts}
        )
        self._committed = True

    async def discard(self) -> None:
        """Take back the parts of an upload that was not committed."""
        self._closed = True
        for part in self._parts:
            part.cancel()
        await asyncio.gather(*self._parts, return_exceptions=True)
        # Not left to the garbage collector: a part that failed keeps its bytes in its traceback.
        self._parts.clear()
        self._buffer.clear()
        if self._opening is None or self._committed:
            return
        await asyncio.wait([self._opening])
        if self._opening.exception():
            return
        for pause in (*_DISCARD_PAUSES, None):
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    await self._client.abort_multipart_upload(**self._opening.result())
            except (*S3_FAULTS, TimeoutError) as error:
                # A commit whose answer got lost leaves nothing to take back.
                if code(error) == "NoSuchUpload":
                    return
                if pause is None:
                    _log.warning("parts of %s stay in the bucket: %r", self._key, error)
                    return
            else:
                return
            await asyncio.sleep(pause)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the file is closed")

    async def _start_part(self, size: int) -> None:
        """Send the first `size` bytes of the buffer as soon as there is room in flight."""
        with translated(self._key):
            if self._upload is None:
                # Shielded: an upload that was begun has to be known, or it cannot be taken back.
                self._opening = asyncio.create_task(self._open())
                self._upload = await asyncio.shield(self._opening)
            if len(self._parts) >= PARTS_IN_FLIGHT:
                # `wait`, because awaiting the task itself would cancel it along with the caller.
                oldest = self._parts[-PARTS_IN_FLIGHT]
                await asyncio.wait([oldest])
                oldest.result()
        number = len(self._parts) + 1
        part = self._take(size)
        self._parts.append(asyncio.create_task(self._send(self._upload, number, part)))

    def _take(self, size: int) -> io.BytesIO:
        """The first bytes of the buffer, as a file: bytes the connection would copy once more."""
        with memoryview(self._buffer) as view, view[:size] as taken:
            part = io.BytesIO(taken)
        del self._buffer[:size]
        return part

    async def _open(self) -> dict[str, str]:
        async with asyncio.timeout(CALL_SECONDS):
            answer = await self._client.create_multipart_upload(**self._where)
        return {**self._where, "UploadId": answer["UploadId"]}

    async def _send(self, upload: dict[str, str], number: int, part: io.BytesIO) -> dict[str, Any]:
        async with asyncio.timeout(CALL_SECONDS):
            answer = await self._client.upload_part(**upload, PartNumber=number, Body=part)
        return {"PartNumber": number, "ETag": answer["ETag"]}
