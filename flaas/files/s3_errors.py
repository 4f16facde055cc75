"""What the S3 client raises, in the words of the interface."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from flaas.domain.errors import Unavailable
from flaas.domain.ports import FileMissing

S3_FAULTS = (BotoCoreError, ClientError, aiohttp.ClientError)
"""aiohttp's own come out where a body breaks off while it is read."""


CALL_SECONDS: Final = 60.0
"""The longest that one call of the store may take, with all its tries."""


def away(why: str) -> Unavailable:
    """`why` is for the log only: it is shown in a traceback, not in the detail."""
    error = Unavailable("The object store is away; try again in a moment.")
    error.add_note(why)
    return error


def code(error: Exception) -> str:
    """What the store calls the error: a word, the HTTP status where the answer had no body, or
    nothing where there was no answer."""
    if not isinstance(error, ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(key: str) -> Iterator[None]:
    """Raise `FileMissing` where the store does not know `key`, `Unavailable` for all else."""
    try:
        yield
    except (*S3_FAULTS, TimeoutError) as error:
        if code(error) in {"NoSuchKey", "404"}:
            raise FileMissing(key) from None
        raise away(f"at {key}") from error


@asynccontextmanager
async def called(key: str) -> AsyncIterator[None]:
    """`translated`, around one call, which is given up after `CALL_SECONDS`."""
    with translated(key):
        async with asyncio.timeout(CALL_SECONDS):
            yield
