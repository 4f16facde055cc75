"""What every handler is: who may call it, how a body comes in, how an error goes out.

Every handler streams its body, so that the caller is known and the verdict is made before the
body is read, and each has a limit of its own. A phone that is refused in the middle of an
upload must be able to read why: the answer is sent at once, the rest of the body is discarded
within bounds, and only then does the connection end.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final, cast

import msgspec
from tornado.http1connection import HTTP1Connection
from tornado.web import HTTPError, RequestHandler, stream_request_body

from flaas.domain.device import User
from flaas.domain.errors import (
    Forbidden,
    Malformed,
    NotAuthenticated,
    NotFound,
    TooLarge,
    Unavailable,
    WrongMediaType,
)
from flaas.domain.project import INT_MAX
from flaas.services.audit import act_as
from flaas.web import errors
from flaas.web.access import Access, declared
from flaas.web.context import Context
from flaas.web.proxies import look_behind

log = logging.getLogger(__name__)

JSON_BYTES_MAX: Final = 1 << 20

_BODY_SECONDS: Final = 60.0
"""A JSON body that takes longer to arrive is given up."""

_DRAIN_SECONDS: Final = 5.0
_DRAIN_BYTES: Final = 256 << 20
"""How long, and how much of, a refused body is read on."""

_CONTENT_POLICY: Final = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""What a browser may do with an answer: no script but from files of ours, in nobody's frame."""

_VERBS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


@stream_request_body
class Handler(RequestHandler):
    """Base of all handlers.

    Each verb's method says who may call it, with `allow`; a verb without a method is answered
    with 405. `body_limit` is in bytes, `body_seconds` bounds the time a body may take.
    """

    access: ClassVar[Mapping[str, Access]] = {}
    """Verb → who may call it, gathered from the methods."""
    body_limit: ClassVar[int] = JSON_BYTES_MAX
    realm: ClassVar[str] = 'Bearer realm="api"'

    user: User

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.access = {
            verb: declared(cls, getattr(cls, verb.lower()))
            for verb in _VERBS
            if getattr(cls, verb.lower()) is not getattr(RequestHandler, verb.lower())
        }

    def initialize(self, context: Context) -> None:
        self.context = context
        look_behind(self.request, context.proxies)
        self.services = context.services
        context.enter()
        self._counted = True
        self._body = bytearray()
        self._body_began = False
        self._running = False
        self._refused = False
        self._drained = 0
        self._drain_end: asyncio.TimerHandle | None = None

    # --- the way of a request ---

    async def prepare(self) -> None:
        try:
            self._check_open()
            await self._authorise()
            self._check_encoding()
            self._connection.set_body_timeout(self.body_seconds)
            await self.begin()
            self._replace_verb(functools.partial(self._run, self._verb()))
        except Exception as error:
            self._refuse(error)

    async def begin(self) -> None:
        """The caller may call; the body is not read yet. Raise to refuse it."""
        if (self.announced_length or 0) > self.body_limit:
            raise TooLarge(f"At most {self.body_limit} bytes are taken here.")

    async def data_received(self, chunk: bytes) -> None:
        self._body_began = True
        if self._refused:
            self._drained += len(chunk)
            if self._drained > _DRAIN_BYTES and not self._finished:
                self.finish()
            return
        try:
            await self.receive(chunk)
        except Exception as error:
            # Raised from here, it would reach Tornado's connection and not the client.
            self._refuse(error)

    async def receive(self, piece: bytes) -> None:
        """The next piece of an admitted body."""
        if len(self._body) + len(piece) > self.body_limit:
            raise TooLarge(f"At most {self.body_limit} bytes are taken here.")
        self._body += piece

    @property
    def body_seconds(self) -> float:
        return _BODY_SECONDS

    def on_finish(self) -> None:
        self._end()

    def on_connection_close(self) -> None:
        # Tornado's own ends the wait for the rest of the body, and with it this request.
        super().on_connection_close()
        self.abandon()
        if not self._running:
            self._end()

    def abandon(self) -> None:
        """The body will not become whole, or is not wanted."""

    def _end(self) -> None:
        if self._drain_end is not None:
            self._drain_end.cancel()
        if self._counted:
            self._counted = False
            self.context.leave()

    async def _run(self, verb: Callable[..., Awaitable[None]], *args: str, **kwargs: str) -> None:
        """Run the verb, marked: it goes on when the client hangs up, and is waited for."""
        self._running = True
        await verb(*args, **kwargs)

    def _verb(self) -> Callable[..., Any]:
        verb: Callable[..., Any] = getattr(self, (self.request.method or "").lower())
        return verb

    def _replace_verb(self, verb: Callable[..., Any]) -> None:
        """Have Tornado call this once the body is over."""
        setattr(self, (self.request.method or "").lower(), verb)

    def _check_open(self) -> None:
        if self.context.draining:
            self.set_header("Connection", "close")
            raise Unavailable("The server is stopping; try again in a moment.")

    def _check_encoding(self) -> None:
        """Nothing is unpacked here: what is sent packed would be stored or read as it is, and a
        little of it can be a lot. Raises `WrongMediaType`."""
        coding = self.request.headers.get("Content-Encoding", "")
        if coding.strip().lower() not in ("", "identity"):
            raise WrongMediaType("Send the body as it is, without Content-Encoding.")

    # --- who calls ---

    async def _authorise(self) -> None:
        access = self.access.get(self.request.method or "")
        if access is None:
            self.set_header("Allow", ", ".join(self.access))
            raise HTTPError(405)
        if access is Access.PUBLIC:
            return
        self.user = await self.authenticate()
        act_as(self.user.username)
        if access is Access.STAFF and not self.user.is_staff:
            raise Forbidden("You do not have permission to perform this action.")

    async def authenticate(self) -> User:
        """The caller. Raises `NotAuthenticated`."""
        scheme, _, credentials = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthenticated("Authentication credentials were not provided.")
        return await self.services.tokens.user_of(credentials.strip())

    async def sign_in(self, username: str, password: str) -> User:
        """Raises `NotAuthenticated`, `TooManyAttempts`."""
        address = self.request.remote_ip or ""
        return await self.services.sign_in.authenticate(username, password, address)

    # --- what comes in ---

    @property
    def announced_length(self) -> int | None:
        """`Content-Length`, None where the body comes in chunks or there is none."""
        text = self.request.headers.get("Content-Length", "")
        # Eighteen digits are more than any body has, and Python reads no number of thousands.
        return int(text[:18]) if text.isascii() and text.isdigit() else None

    @property
    def body(self) -> bytes:
        return bytes(self._body)

    def json(self) -> Any:
        """The body. Raises `WrongMediaType`, `Malformed`."""
        if self.media_type not in ("application/json", ""):
            raise WrongMediaType("Send JSON (Content-Type: application/json).")
        return read_json(self.body)

    @property
    def media_type(self) -> str:
        return self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def number(self, text: str) -> int:
        """An id or a number of the path; one that no phone could hold names nothing."""
        if len(text) > len(str(INT_MAX)) or int(text) > INT_MAX:
            raise NotFound("There is no such thing.")
        return int(text)

    # --- what goes out ---

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Content-Security-Policy", _CONTENT_POLICY)
        self.set_header("Cache-Control", "no-store")

    def set_cookie(self, *args: Any, **kwargs: Any) -> None:
        """Every cookie: kept from other sites, and from the open wire where there is TLS."""
        kwargs.setdefault("samesite", "Strict")
        kwargs.setdefault("secure", self.request.protocol == "https")
        super().set_cookie(*args, **kwargs)

    def write_json(self, value: Any, status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(value))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self._write_error_body(kwargs.get("exc_info", (None, None))[1], status_code)
        self.finish()

    def _write_error_body(self, error: BaseException | None, status: int) -> None:
        answer = errors.answer(error, status)
        if answer.status == 503 and error is not None and error.__cause__ is not None:
            log.warning("%s: %r", self._request_summary(), error.__cause__)
        body = msgspec.json.encode(answer.body)
        self.set_status(answer.status)
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Length", str(len(body)))
        if answer.status == 401:
            self.set_header("WWW-Authenticate", self.realm)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        self.write(body)

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        if not errors.is_expected(value):
            super().log_exception(typ, value, tb)

    # --- refusals ---

    def _refuse(self, error: Exception) -> None:
        """Answer now, and read on what is still coming before the request ends."""
        if not errors.is_expected(error):
            log.error("%s failed", self._request_summary(), exc_info=error)
        self._refused = True
        self.abandon()
        self._write_error_body(error, 500)
        if "Expect" in self.request.headers and not self._body_began:
            # The client waits for a go-ahead with its body. Finished here, it gets none.
            self.finish()
            return
        self.flush()
        # To finish before the body is read would close the connection. Tornado runs the verb once
        # the body is over, if there is one: all that is left for it is to conclude.
        self._replace_verb(self._conclude)
        loop = asyncio.get_running_loop()
        self._drain_end = loop.call_later(_DRAIN_SECONDS, self._conclude)

    def hang_up(self) -> None:
        """End the connection: what was begun cannot be sent to its end."""
        self._connection.close()

    def _conclude(self, *_: Any, **__: Any) -> None:
        if not self._finished:
            self.finish()

    @property
    def _connection(self) -> HTTP1Connection:
        return cast(HTTP1Connection, self.request.connection)


def read_json(body: bytes) -> Any:
    """Raises `Malformed`."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed("The body is not valid JSON.") from None


class UnknownRoute(Handler):
    """All that no route matches."""

    async def prepare(self) -> None:
        self._refuse(NotFound("There is nothing at this address."))
