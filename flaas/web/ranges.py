"""Parts of a file: the `Range` header of RFC 9110."""

import re
from typing import Final, NamedTuple

_ONE_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class Unsatisfiable(Exception):
    """The range begins after the end of the file."""


class Part(NamedTuple):
    """Bytes `start` up to, without, `end`."""

    start: int
    end: int


def requested_part(header: str | None, size: int) -> Part | None:
    """The part of a file of `size` bytes that is asked for; None is the whole.

    What is not one plain range of bytes is ignored, as the RFC allows. Raises `Unsatisfiable`.
    """
    match = _ONE_RANGE.fullmatch(header or "")
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first, last = match.groups()
    if first == "":
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= end:
        raise Unsatisfiable
    return Part(start, end)
