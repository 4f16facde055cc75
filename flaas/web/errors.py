"""From an exception to the one JSON shape of errors.

`detail` says what is wrong and `code` is for programs; a form with wrong fields is answered as
REST frameworks do, a list of messages a field. The text of any other exception stays here.
"""

import secrets
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from tornado.web import HTTPError

from flaas.domain import errors

_STATUS: Final[dict[type[errors.FlaasError], int]] = {
    errors.Malformed: 400,
    errors.Invalid: 400,
    errors.NotAuthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.TooSlow: 408,
    errors.TooLarge: 413,
    errors.WrongMediaType: 415,
    errors.TooManyAttempts: 429,
    errors.Unavailable: 503,
    errors.NoRoom: 507,
}

_RETRY_AFTER_SECONDS: Final = 5
_RETRY_SPREAD_SECONDS: Final = 15
"""Phones that were refused together come back spread over this."""


class ErrorAnswer(NamedTuple):
    status: int
    body: dict[str, Any]
    headers: dict[str, str]


def answer(error: BaseException | None, status: int = 500) -> ErrorAnswer:
    """What to answer when `error` ended a request; `status` is for those that carry none."""
    if isinstance(error, errors.Invalid):
        return ErrorAnswer(_STATUS[errors.Invalid], error.fields, {})
    if isinstance(error, errors.FlaasError):
        body = {"detail": error.detail, "code": error.error_code}
        headers = {}
        if isinstance(error, errors.Unavailable | errors.NoRoom):
            headers["Retry-After"] = _retry_after()
        elif isinstance(error, errors.TooManyAttempts):
            headers["Retry-After"] = str(error.seconds)
        return ErrorAnswer(_STATUS[type(error)], body, headers)
    if isinstance(error, HTTPError):
        status = error.status_code
    phrase = HTTPStatus(status).phrase
    return ErrorAnswer(status, {"detail": f"{phrase}.", "code": _code(phrase)}, {})


def is_expected(error: BaseException | None) -> bool:
    """Whether it is the caller's doing, or a dependency's, and needs no traceback."""
    return isinstance(error, errors.FlaasError | HTTPError)


def _retry_after() -> str:
    return str(_RETRY_AFTER_SECONDS + secrets.randbelow(_RETRY_SPREAD_SECONDS + 1))


def _code(phrase: str) -> str:
    return phrase.lower().replace(" ", "_").replace("-", "_")
