"""How wrong passwords are slowed down.

Failures are counted an hour long in three places, each with a bound of its own, and a wrong
password too many makes the next try wait: a second, then two, four, up to a bound.

- **The name from that address.** Whoever guesses at one account waits soon. A phone elsewhere
  does not notice.
- **The name, from anywhere**: many addresses that guess at one account. Where that name signed in
  before, this and the next are not asked: an operator or a phone that comes back cannot be locked
  out by strangers.
- **The address, whatever the name.** Thousands of phones share the address of a carrier, so
  hundreds of failures are free, and a wait is short: guessing a little at many names becomes slow,
  and a phone that signs in there for the first time comes through between two waits.

A tried password that was right takes nothing from anybody, and no wait is longer than a minute.
"""

import hashlib
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from msgspec import Struct

FORGOTTEN_AFTER: Final = timedelta(hours=1)
"""After the first failure of a count, it starts at none."""

KNOWN_FOR: Final = timedelta(days=90)
"""After a name last signed in from an address."""

_IPV6_SITE_BITS: Final = 64
"""What one customer is given. They choose the rest of an address as they like."""


class Bound(Struct, frozen=True):
    free: int
    """So many failures cost no wait."""
    longest: float
    """Seconds that a wait takes at most."""
    first: float = 1
    """Seconds of the first wait. Each further one takes twice as long."""
    ahead: bool = True
    """A try counts from its begin, so that a thousand at once are a thousand failures. Not so for
    an address: a thousand phones that sign in at once are none."""


PAIR: Final = Bound(free=5, longest=60)
NAME: Final = Bound(free=50, longest=60)
ADDRESS: Final = Bound(free=500, longest=5, ahead=False)


def wait_after(failures: int, bound: Bound) -> float:
    """Seconds from one failure to the next try, after so many of them."""
    over = failures - bound.free
    # No power of thousands is computed: the longest wait is reached long before.
    return 0.0 if over <= 0 else min(bound.first * 2.0 ** min(over - 1, 60), bound.longest)


def waits(bound: Bound) -> list[float]:
    """`wait_after` the last free failure, and each after it, up to the longest wait."""
    found = [0.0]
    while found[-1] < bound.longest:
        found.append(wait_after(bound.free + len(found), bound))
    return found


class Keys(Struct, frozen=True):
    """Under what the failures of one try are counted. Digests: what people type as a name may be
    a password, or a megabyte."""

    pair: str
    name: str
    address: str


def keys(username: str, address: str) -> Keys:
    site = _site(address)
    return Keys(
        pair=_digest("pair", username, site),
        name=_digest("name", username),
        address=_digest("address", site),
    )


def _site(address: str) -> str:
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return f"{int(parsed) >> (128 - _IPV6_SITE_BITS):x}::"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
