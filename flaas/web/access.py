"""Who may call what."""

from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final, TypeVar

Verb = TypeVar("Verb", bound=Callable[..., Any])
_ACCESS: Final[dict[Callable[..., Any], "Access"]] = {}


class Access(Enum):
    """Who may call."""

    PUBLIC = auto()
    """Anybody. A token that is sent along is not looked at, be it good or expired."""
    SIGNED_IN = auto()
    """Phones and staff."""
    STAFF = auto()


def allow(access: Access) -> Callable[[Verb], Verb]:
    """Declares who may call a verb's method."""

    def declare(method: Verb) -> Verb:
        _ACCESS[method] = access
        return method

    return declare


def declared(handler: type, method: Callable[..., Any]) -> Access:
    try:
        return _ACCESS[method]
    except KeyError:
        raise TypeError(
            f"{handler.__name__}.{method.__name__} does not say who may call it"
        ) from None
