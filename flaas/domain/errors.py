"""Errors whose text is meant for whoever caused them.

Anything raised to a client or an operator is one of these; `web.errors` maps each type to a
status, the command line prints the text. Every other exception is a fault of ours and its text
stays in the log.
"""

from collections.abc import Mapping
from typing import ClassVar


class FlaasError(Exception):
    """Base of all errors that may be shown.

    `detail` is one sentence that says what is wrong and, where there is one, the way out.
    `code` is a stable word for programs.
    """

    code: ClassVar[str] = "error"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.error_code = code or self.code


class Malformed(FlaasError):
    """The request cannot be understood."""

    code = "malformed"


class Invalid(FlaasError):
    """The request is understood, and some of its fields are wrong.

    `fields` maps a field's name to the list of what is wrong with it.
    """

    code = "invalid"

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        super().__init__("; ".join(f"{name}: {' '.join(said)}" for name, said in fields.items()))
        self.fields = dict(fields)


class NotAuthenticated(FlaasError):
    """Nobody we know has signed in."""

    code = "not_authenticated"


class Forbidden(FlaasError):
    """The caller is known and may not do this."""

    code = "permission_denied"


class NotFound(FlaasError):
    """No such thing."""

    code = "not_found"


class Conflict(FlaasError):
    """Not in the present state; something else comes first."""

    code = "conflict"


class Gone(FlaasError):
    """The time for it has passed."""

    code = "gone"


class TooLarge(FlaasError):
    """The body is larger than this route takes."""

    code = "too_large"


class TooSlow(FlaasError):
    """The body does not come, or hardly."""

    code = "too_slow"


class WrongMediaType(FlaasError):
    """The body is not of a type this route takes."""

    code = "unsupported_media_type"


class TooManyAttempts(FlaasError):
    """Too many wrong passwords; the next may be tried after `seconds`."""

    code = "throttled"

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many wrong passwords. Try again in {seconds} s.")
        self.seconds = seconds


class Unavailable(FlaasError):
    """Something we depend on is away; the same request may succeed later."""

    code = "unavailable"


class NoRoom(FlaasError):
    """The store of files is full; the same request succeeds once there is room again."""

    code = "no_room"
