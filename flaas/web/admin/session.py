"""Signing in with a cookie, for browsers.

The cookie is signed, kept from scripts and from other sites, and good for a day or until the
account's tokens end. Whoever has it must also show the `_xsrf` cookie's value in a header when
something is changed: another site can make a browser send cookies, and cannot read them.
"""

import hashlib
import hmac
from typing import Final

import msgspec
from tornado.web import HTTPError

from flaas.domain.device import User
from flaas.domain.errors import Forbidden
from flaas.web.access import Access, allow
from flaas.web.base import Handler
from flaas.web.fields import FieldsHandler

COOKIE: Final = "flaas_session"
_DAYS: Final = 1
_SAFE: Final = ("GET", "HEAD", "OPTIONS")


class Session(msgspec.Struct, frozen=True):
    """What the cookie says."""

    user_id: int
    issued: int
    """Epoch seconds."""


def cookie_secret(signing_secret: str) -> str:
    """A key of its own, so that a cookie never passes for a token, nor a token for a cookie."""
    return hmac.new(signing_secret.encode(), b"flaas session cookie", hashlib.sha256).hexdigest()


async def user_of_cookie(handler: Handler) -> User | None:
    """The member of staff whom the request's cookie speaks for, None without a good one.

    Raises `Forbidden` for a change that does not show the `_xsrf` value.
    """
    raw = handler.get_signed_cookie(COOKIE, max_age_days=_DAYS)
    if raw is None:
        return None
    try:
        session = msgspec.json.decode(raw, type=Session)
    except msgspec.DecodeError:
        return None
    user = await handler.services.store.users.get(session.user_id)
    if user is None or not user.accepts(session.issued):
        return None
    if handler.request.method not in _SAFE:
        try:
            handler.check_xsrf_cookie()
        except HTTPError:
            raise Forbidden("Send the _xsrf cookie's value in X-XSRFToken.") from None
    return user


def refuse_other_sites(handler: Handler) -> None:
    """Signing in and out has no `_xsrf` value to show yet; browsers say whose page it is that
    sends the form. Raises `Forbidden`."""
    if handler.request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise Forbidden("Another site may not sign you in or out.")


class Login(FieldsHandler):
    @allow(Access.PUBLIC)
    async def post(self) -> None:
        refuse_other_sites(self)
        username, password = self.fields("username", "password")
        user = await self.sign_in(username, password)
        if not user.is_staff:
            raise Forbidden("You do not have permission to perform this action.")
        issued = max(int(self.context.clock().timestamp()), user.tokens_valid_from)
        self.set_signed_cookie(
            COOKIE,
            msgspec.json.encode(Session(user.id, issued)),
            expires_days=_DAYS,
            httponly=True,
        )
        self.write_json({"username": user.username, "xsrf": self.xsrf_token.decode()})


class Logout(Handler):
    @allow(Access.PUBLIC)
    async def post(self) -> None:
        refuse_other_sites(self)
        self.clear_cookie(COOKIE)
        self.set_status(204)
