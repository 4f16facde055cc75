"""The composition root: the only module that sees both the services and what is behind them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from tornado.web import Application

from flaas.domain.ports import Clock, Files, Push, Store
from flaas.files.directory import DirectoryFiles
from flaas.files.s3 import S3Files
from flaas.push.log import LogPush
from flaas.push.pushwoosh import open_pushwoosh
from flaas.scheduler import Scheduler
from flaas.services.accounts import Accounts
from flaas.services.aggregation import Aggregation
from flaas.services.all import Services
from flaas.services.catalogue import Catalogue
from flaas.services.cleanup import CleanUp
from flaas.services.clock import SharedClock
from flaas.services.devices import Devices
from flaas.services.outbox import OutboxSender
from flaas.services.projects import Projects
from flaas.services.reports import Reports
from flaas.services.rounds import Rounds
from flaas.services.runner import Runner
from flaas.services.signin import SignIn
from flaas.services.submissions import Submissions
from flaas.services.tokens import Tokens
from flaas.services.transitions import Transitions
from flaas.services.verification import Verification
from flaas.settings import Settings, signing_secret
from flaas.store.embedded import private_mongod
from flaas.store.mongo import open_store
from flaas.web.admin.session import cookie_secret
from flaas.web.base import UnknownRoute
from flaas.web.context import Context
from flaas.web.log import log_request
from flaas.web.routes import ROUTES, pattern
from flaas.web.turns import Turns

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class App:
    """Everything of one process, wired together. Nothing runs yet."""

    settings: Settings
    clock: Clock
    services: Services
    scheduler: Scheduler
    cookie_secret: str = field(repr=False)


def utc_now() -> datetime:
    """In whole milliseconds: a time reads the same before and after it was stored."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


@dataclass(frozen=True, slots=True)
class Ports:
    """What is behind the services, connected."""

    store: Store
    files: Files
    push: Push


@asynccontextmanager
async def open_app(settings: Settings, clock: Clock | None = None) -> AsyncIterator[App]:
    """Connect to everything, and close it at the end. Without `clock`, the time is the database's.

    Raises `SettingError`, `MongodUnavailable`, `StoreUnavailable`, `FilesUnavailable`.
    """
    async with open_ports(settings) as ports:
        with closing(Runner()) as runner:
            if clock is None:
                clock = SharedClock(ports.store, utc_now)
                await clock.set_right()
            yield assemble(settings, ports, runner, clock)


@asynccontextmanager
async def open_ports(settings: Settings) -> AsyncIterator[Ports]:
    """Connect to the store, the files and the push service. Raises as `open_app`."""
    async with AsyncExitStack() as stack:
        uri = await _mongodb_uri(settings, stack)
        keep_statuses = timedelta(days=settings.status_days)
        store = await stack.enter_async_context(open_store(uri, keep_statuses))
        files = await _files(settings, stack)
        push = await _push(settings, stack)
        yield Ports(store, files, push)


def assemble(settings: Settings, ports: Ports, runner: Runner, clock: Clock) -> App:
    """The services on their ports. A test may put a fault in front of a port."""
    store, files = ports.store, ports.files
    secret = signing_secret(settings)
    aggregation = Aggregation(files, runner, memory=settings.aggregation_memory_mb << 20)
    rounds = Rounds(store, Transitions(store, files, aggregation), clock)
    outbox = OutboxSender(store, ports.push, clock)
    scheduler = Scheduler(
        rounds,
        outbox,
        every=timedelta(seconds=settings.tick_seconds),
        timeout=timedelta(seconds=settings.tick_timeout_seconds),
        before_tick=clock.set_right if isinstance(clock, SharedClock) else None,
    )
    accounts = Accounts(store, runner, clock)
    catalogue = Catalogue(store, files, clock)
    services = Services(
        store=store,
        files=files,
        accounts=accounts,
        sign_in=SignIn(store, accounts),
        tokens=Tokens(
            store,
            clock,
            secret,
            access_lifetime=timedelta(days=settings.access_token_days),
            refresh_lifetime=timedelta(days=settings.refresh_token_days),
        ),
        catalogue=catalogue,
        projects=Projects(store, files, catalogue, clock, on_change=scheduler.nudge),
        rounds=rounds,
        outbox=outbox,
        devices=Devices(store, files, clock, on_answer=scheduler.nudge),
        submissions=Submissions(store, files, clock),
        reports=Reports(store),
        clean_up=CleanUp(store, files, clock),
        verification=Verification(store, aggregation),
    )
    return App(settings, clock, services, scheduler, cookie_secret(secret))


def make_web(app: App) -> tuple[Application, Context]:
    """The Tornado application, and what its handlers share."""
    settings = app.settings
    context = Context(
        services=app.services,
        upload_seconds=settings.upload_timeout_seconds,
        uploads=Turns(settings.uploads_at_a_time),
        downloads=Turns(settings.downloads_at_a_time),
        clock=app.clock,
        time_zone=settings.time_zone,
        proxies=settings.proxies,
    )
    kwargs = {"context": context}
    application = Application(
        [(pattern(path), handler, kwargs) for path, handler in ROUTES],
        default_handler_class=UnknownRoute,
        default_handler_args=kwargs,
        log_function=log_request,
        cookie_secret=app.cookie_secret,
    )
    return application, context


async def _mongodb_uri(settings: Settings, stack: AsyncExitStack) -> str:
    if settings.mongodb_uri is not None:
        if settings.jwt_secret is None:
            log.warning("JWT_SECRET is not set: several servers on one database need the same")
        return settings.mongodb_uri.reveal()
    return await _enter_in_thread(stack, private_mongod(settings.data_dir))


async def _files(settings: Settings, stack: AsyncExitStack) -> Files:
    if settings.aws_s3_bucket_name is None:
        return await stack.enter_async_context(DirectoryFiles.open(settings.data_dir / "files"))
    secret = settings.aws_secret_access_key
    return await stack.enter_async_context(
        S3Files.open(
            bucket=settings.aws_s3_bucket_name,
            region=settings.aws_region,
            access_key=settings.aws_access_key_id,
            secret_key=secret.reveal() if secret else None,
            endpoint_url=settings.aws_endpoint_url,
            links=settings.s3_redirect,
        )
    )


async def _push(settings: Settings, stack: AsyncExitStack) -> Push:
    token, code = settings.pushwoosh_api_token, settings.pushwoosh_application_code
    if token is None or code is None:
        return LogPush()
    return await stack.enter_async_context(
        open_pushwoosh(settings.pushwoosh_url, token.reveal(), code)
    )


async def _enter_in_thread(stack: AsyncExitStack, blocking: AbstractContextManager[T]) -> T:
    """Enter a context manager whose beginning and end block for a while."""

    async def leave() -> None:
        await asyncio.to_thread(blocking.__exit__, None, None, None)

    entering = asyncio.create_task(asyncio.to_thread(blocking.__enter__))
    try:
        value = await asyncio.shield(entering)
    except asyncio.CancelledError:
        # The thread goes on whatever happens here; what it began has to be ended.
        await entering
        await leave()
        raise
    stack.push_async_callback(leave)
    return value
