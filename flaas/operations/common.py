"""What several operations need."""

import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final

from flaas.domain.device import StatusLine, User
from flaas.domain.errors import Invalid, NotFound
from flaas.domain.project import Project
from flaas.domain.round import Round, RoundStatus
from flaas.operations.operation import Arguments, Desk, Kind, Lines, Parameter
from flaas.services.audit import record

PROJECT: Final = Parameter("project", "Project ID", Kind.NUMBER, positional=True)

USERNAME: Final = Parameter("username", "Username of the account", positional=True)

STATUS_FILTERS: Final = (
    Parameter("past-minutes", "Past time in minutes to lookup", Kind.NUMBER, 60, least=0),
    Parameter(
        "battery-level",
        "Include power-plugged AND users with >= battery level threshold.",
        Kind.DECIMAL,
        0.0,
        least=0,
    ),
    Parameter("plugged-only", "Only include power-plugged users", Kind.FLAG, default=False),
)

_EVER: Final = 10**8
"""Minutes: nearly two centuries, so before any report, and still a time that can be written."""

USERNAMES: Final = Parameter(
    "usernames",
    "Usernames to report. If not specified, all registerd users will be reported.",
    default=(),
    positional=True,
    many=True,
)


async def project_of(desk: Desk, arguments: Arguments) -> Project:
    """Raises `NotFound`."""
    project = await desk.store.projects.get(arguments["project"])
    if project is None:
        raise NotFound(f"There is no project {arguments['project']}.")
    return project


async def named_devices(desk: Desk, arguments: Arguments) -> AsyncIterator[User]:
    """The users that are named, or all. Raises `NotFound` for a name that nobody has."""
    names = arguments["usernames"]
    missing = set(names) - set(await desk.store.users.names_taken(names) if names else [])
    if missing:
        raise NotFound(f"There is no user {', '.join(sorted(missing))}.")
    async for user in desk.store.users.devices(names):
        yield user


async def with_reports(
    desk: Desk, arguments: Arguments, users: AsyncIterator[User]
) -> AsyncIterator[tuple[User, list[StatusLine]]]:
    """Every user with the reports inside the window, newest first, filtered or not.

    Both streams come in the order of user ids, so only one user's reports are held at a time.
    """
    since = desk.now - timedelta(minutes=min(arguments["past_minutes"], _EVER))
    reports = desk.store.statuses.since(since)
    report = await anext(reports, None)
    async for user in users:
        while report is not None and report.user_id < user.id:
            report = await anext(reports, None)
        own = []
        while report is not None and report.user_id == user.id:
            own.append(report)
            report = await anext(reports, None)
        yield user, own


def passes(report: StatusLine, arguments: Arguments) -> bool:
    return report.passes(
        plugged_only=arguments["plugged_only"], battery_level=arguments["battery_level"]
    )


FILE_NAME: Final = Parameter("filename", "Name of the file in the file store", positional=True)


async def json_lines(items: AsyncIterator[bytes]) -> Lines:
    """An array, an item a line."""
    before = "["
    async for item in items:
        yield before
        before = f"{item.decode()},"
    if before == "[":
        yield "[]"
    else:
        yield before.removesuffix(",")
        yield "]"


async def kept(desk: Desk, folder: str, arguments: Arguments, lines: Lines) -> Lines:
    """The same lines, which also become the content of a file below `results/`.

    Raises `Invalid` for a bad file name.
    """
    name = arguments["filename"]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", name):
        raise Invalid({"filename": ["Expected up to 128 letters, digits, dots, - and _."]})
    key = f"results/{folder}/{name}"
    async with desk.services.files.create(key) as out:
        async for line in lines:
            await out.write(f"{line}\n".encode())
            yield line
        await out.commit()
    await record(desk.store, desk.now, "extract written", after={"file": key})


def stamp(desk: Desk, moment: datetime) -> str:
    """As reports print a time, to the millisecond, in the configured zone."""
    local = moment.astimezone(desk.time_zone)
    return f"{local:%d/%m/%Y %H:%M:%S}.{local.microsecond // 1000:03d}"


def describe(report: StatusLine) -> str:
    """The part of a line that speaks of one report."""
    return (
        f"version_code: {report.version_code} - bucket: {report.bucket} - "
        f"power_plugged: {report.power_plugged} - battery: {report.level:.2f}"
    )


def status_word(round_: Round) -> str:
    return round_.status.name.lower()


def last_completed(rounds: list[Round]) -> Round | None:
    complete = [one for one in rounds if one.status is RoundStatus.COMPLETE]
    return complete[-1] if complete else None
