"""Simulated phones that speak the wire protocol as the field app does, and really train.

They are the demo's fleet, the load generator and the client of the end-to-end tests. Only the
wire connects them with the server: of the rest of flaas they know the words of
`flaas.domain.project`, nothing else.

`Fleet` runs phones, `PushwooshStandIn` wakes them, `Digits` and `split` give them data.
"""

from flaas.fleet.client import Account, Client
from flaas.fleet.data import Digits, split, write_samples
from flaas.fleet.fleet import Fleet
from flaas.fleet.phone import Phone
from flaas.fleet.pushwoosh import Failure, PushwooshStandIn
from flaas.fleet.retry import Backoff
from flaas.fleet.task import Event

__all__ = [
    "Account",
    "Backoff",
    "Client",
    "Digits",
    "Event",
    "Failure",
    "Fleet",
    "Phone",
    "PushwooshStandIn",
    "split",
    "write_samples",
]
