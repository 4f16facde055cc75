"""The Pushwoosh remote API 1.3."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import msgspec

from flaas.domain.outbox import PushBatch
from flaas.domain.ports import PushFailed

log = logging.getLogger(__name__)

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=10)

_LONGEST_ANSWER: Final = 1 << 20
"""Bytes. Pushwoosh answers with a few hundred; whatever else answers is not it."""


class Pushwoosh:
    """Sends one notification a request. `session` is the caller's to close."""

    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, api_token: str, application_code: str
    ) -> None:
        self._session = session
        self._url = f"{base_url.rstrip('/')}/json/1.3/createMessage"
        self._api_token = api_token
        self._application_code = application_code

    async def send(self, batch: PushBatch) -> None:
        body = msgspec.json.encode(self._request(batch))
        headers = {"Content-Type": "application/json"}
        try:
            # No redirects: the body holds the token, and its host is the one that was set.
            async with self._session.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                status, text = answer.status, await _read(answer.content)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise PushFailed(f"{type(error).__name__} from {self._url}") from error
        # What comes back is logged; it may quote what was sent.
        _check(status, text.replace(self._api_token.encode(), b"(token)"))

    def _request(self, batch: PushBatch) -> dict[str, Any]:
        notification = {
            "send_date": "now",
            "ignore_user_timezone": True,
            "data": batch.data,
            "users": batch.usernames,
            "ios_silent": 1,
            "android_silent": 1,
            "ios_ttl": batch.ttl_seconds,
            "android_gcm_ttl": batch.ttl_seconds,
            "transactionId": batch.transaction_id,
        }
        return {
            "request": {
                "application": self._application_code,
                "auth": self._api_token,
                "notifications": [notification],
            }
        }


def _check(status: int, body: bytes) -> None:
    """Success is said in the body: an HTTP 200 can carry a failure."""
    if status != 200:
        raise PushFailed(f"HTTP status {status}")
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except msgspec.DecodeError:
        raise PushFailed("the answer is not Pushwoosh's") from None
    if answer.status_code != 200:
        raise PushFailed(f"status_code {answer.status_code}: {answer.status_message}")


async def _read(content: aiohttp.StreamReader) -> bytes:
    """All of an answer, which comes in pieces, up to a bound."""
    text = b""
    async for piece in content.iter_chunked(_LONGEST_ANSWER):
        text += piece
        if len(text) > _LONGEST_ANSWER:
            break
    return text


class _Answer(msgspec.Struct):
    status_code: int
    status_message: str | None = None


@asynccontextmanager
async def open_pushwoosh(
    base_url: str, api_token: str, application_code: str
) -> AsyncIterator[Pushwoosh]:
    """A client with a connection pool of its own."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        yield Pushwoosh(session, base_url, api_token, application_code)
