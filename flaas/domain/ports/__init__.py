"""What the rules need from the world: the interfaces that `store`, `files` and `push` offer.

Services know these and nothing behind them, so a test can put a fault in front of a real one.
"""

from collections.abc import Callable
from datetime import datetime

from flaas.domain.ports.files import FileChanged, FileInfo, FileMissing, Files, FileWriter
from flaas.domain.ports.push import Push, PushFailed
from flaas.domain.ports.store import (
    AlreadyExists,
    Events,
    Leases,
    Model,
    Models,
    Outbox,
    Participants,
    Projects,
    RefreshTokens,
    Rounds,
    SignIns,
    Statuses,
    Store,
    Users,
)

__all__ = [
    "AlreadyExists",
    "Clock",
    "Events",
    "FileChanged",
    "FileInfo",
    "FileMissing",
    "FileWriter",
    "Files",
    "Leases",
    "Model",
    "Models",
    "Outbox",
    "Participants",
    "Projects",
    "Push",
    "PushFailed",
    "RefreshTokens",
    "Rounds",
    "SignIns",
    "Statuses",
    "Store",
    "Users",
]

Clock = Callable[[], datetime]
"""The time now, with a zone, in whole milliseconds (what MongoDB keeps)."""
