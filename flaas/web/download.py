"""Sending files."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from tornado.iostream import StreamClosedError

from flaas.domain.errors import NotFound, Unavailable
from flaas.domain.ports import FileChanged
from flaas.web import errors
from flaas.web.base import Handler
from flaas.web.ranges import Unsatisfiable, requested_part

_TRIES: Final = 5
_PIECE_SECONDS: Final = 120.0
"""How long a client may take for a piece of a file; phones themselves wait no longer."""


async def send_file(handler: Handler, key: str) -> None:
    """Answer with a file: by a redirect where the store has links of its own, else its bytes.

    Raises `NotFound`.
    """
    for _ in range(_TRIES):
        try:
            await _try_to_send(handler, key)
        except FileChanged:
            # Replaced between the look at it and the first byte: look again.
            continue
        return
    raise Unavailable("The file is being replaced; try again in a moment.")


async def _try_to_send(handler: Handler, key: str) -> None:
    """Raises `FileChanged` before anything was written."""
    files = handler.services.files
    info = await files.stat(key)
    if info is None:
        raise NotFound("There is no such file.")
    link = await files.link(key)
    if link is not None:
        handler.redirect(link, status=302)
        return
    etag = f'"{info.etag}"'
    handler.set_header("ETag", etag)
    handler.set_header("Accept-Ranges", "bytes")
    # May be kept, to be asked for again with its ETag.
    handler.set_header("Cache-Control", "private, no-cache")
    handler.set_header("Content-Type", "application/octet-stream")
    if handler.check_etag_header():
        handler.set_status(304)
        handler.finish()
        return
    headers = handler.request.headers
    unchanged = headers.get("If-Range", etag) == etag
    try:
        part = requested_part(headers.get("Range") if unchanged else None, info.size)
    except Unsatisfiable:
        handler.set_header("Content-Range", f"bytes */{info.size}")
        handler.write_json(errors.answer(None, 416).body, 416)
        return
    start, end = part or (0, info.size)
    downloads = handler.context.downloads
    await downloads.take()
    try:
        pieces = files.read(key, start, end, etag=info.etag)
        first = await anext(pieces, b"")
        if part is not None:
            handler.set_status(206)
            handler.set_header("Content-Range", f"bytes {start}-{end - 1}/{info.size}")
        handler.set_header("Content-Length", str(end - start))
        await _write(handler, first, pieces)
    finally:
        downloads.give_back()


async def _write(handler: Handler, piece: bytes, more: AsyncIterator[bytes]) -> None:
    try:
        while piece:
            handler.write(piece)
            # Waits for the client, so a slow one holds one piece and not the file.
            async with asyncio.timeout(_PIECE_SECONDS):
                await handler.flush()
            piece = await anext(more, b"")
    except (StreamClosedError, TimeoutError):
        # The client went away, or reads no more; it will ask again.
        handler.hang_up()
        return
    handler.finish()
