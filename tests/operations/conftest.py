"""Operations run twice: as commands in a process of their own, and over HTTP."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from flaas.domain.device import StatusReport, User
from flaas.domain.ports import Model, Store
from flaas.domain.project import Project
from flaas.domain.round import JoinStatus, Member, Results, Round, RoundStatus
from flaas.lifecycle import running
from flaas.settings import Settings

from ..support import Operator

ROOT = Path(__file__).parent.parent.parent
BEGIN = datetime(2021, 11, 5, 12, 0, tzinfo=UTC)
EVER = 10**8
"""Minutes: a window that reaches back to the reports of these tests."""


@dataclass
class Said:
    """What an operation answered: `status` is an exit status, or an HTTP status."""

    status: int
    text: str
    error: str = ""


@dataclass
class Desk:
    """A data set, and both ways to run an operation on it."""

    store: Store
    operator: Operator
    environment: dict[str, str]

    async def by_command(self, name: str, *positional: object, **options: object) -> Said:
        words = [name, *map(str, positional)]
        for option, value in options.items():
            flag = f"--{option.replace('_', '-')}"
            words += [flag] if value is True else [flag, str(value)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "server.py",
            *words,
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return Said(process.returncode or 0, out.decode(), err.decode())

    async def by_http(self, name: str, *positional: object, **options: object) -> Said:
        path = "/".join(["/admin/reports", name, *map(str, positional)])
        query = {
            option.replace("_", "-"): "true" if value is True else value
            for option, value in options.items()
        }
        answer = await self.operator.call("GET", f"{path}?{urlencode(query, doseq=True)}")
        return Said(answer.status, answer.body.decode())

    # --- the data set ---

    async def users(self, count: int, project_id: int | None = 1) -> None:
        """test_user1 … with ids from 2 on: 1 is the operator's."""
        await self.store.users.insert(
            [
                User(
                    id=number + 1,
                    device_id=number + 1,
                    username=f"test_user{number}",
                    password_hash="-",
                    project_id=project_id,
                    samples_index=number - 1,
                )
                for number in range(1, count + 1)
            ]
        )

    async def project(self, title: str = "Project 1", **settings: Any) -> None:
        await self.store.models.put(Model(name="M", parameters=1, sha256=""))
        await self.store.projects.insert(
            Project(id=1, create_date=BEGIN, title=title, model="M", **settings)
        )

    async def round(
        self,
        number: int,
        status: RoundStatus = RoundStatus.COMPLETE,
        joined: tuple[int, ...] = (),
        results: dict[int, Results] | None = None,
    ) -> None:
        """Round `number`, joined by these users (1 is test_user1) in this order."""
        round_id = number + 1
        await self.store.rounds.insert(
            Round(
                id=round_id,
                request_id=round_id,
                project_id=1,
                number=number,
                create_date=BEGIN + timedelta(hours=number),
                status=status,
                number_of_samples=1,
                number_of_epochs=1,
                seed=1,
                model_sha256="",
            )
        )
        cohort = [Member(user + 1, f"test_user{user}") for user in sorted(joined)]
        await self.store.participants.fix_cohort(round_id, cohort)
        for order, user in enumerate(joined):
            found = await self.store.users.get(user + 1)
            assert found
            moment = BEGIN + timedelta(seconds=order)
            await self.store.participants.join(round_id, found, JoinStatus.JOIN, moment)
        for user, figures in (results or {}).items():
            await self.store.participants.record_results(round_id, user + 1, figures)

    async def response(
        self, user: int, at: str, *, bucket: int = 30, plugged: bool = True, level: float = 1.0
    ) -> None:
        """A report of test_user`user`; `at` as reports print it."""
        await self.store.statuses.insert(
            StatusReport(
                at=datetime.strptime(at, "%d/%m/%Y %H:%M:%S.%f").replace(tzinfo=UTC),
                user_id=user + 1,
                device_id=user + 1,
                request_id=None,
                device_info={
                    "app_details": {"version_code": 12},
                    "battery_status": {"power_plugged": plugged, "level": level},
                    "usage_stats_details": {"app_standby_bucket": bucket},
                },
            )
        )


@pytest.fixture
async def desk(make_settings: Callable[..., Settings], tmp_path: Path) -> AsyncIterator[Desk]:
    # Reports of 2021 would not live long under the default.
    settings = make_settings(FLAAS_STATUS_DAYS="18000")
    environment = {
        "MONGODB_URI": settings.mongodb_uri.reveal() if settings.mongodb_uri else "",
        "FLAAS_DATA_DIR": str(tmp_path / "data"),
        "FLAAS_STATUS_DAYS": "18000",
        "JWT_SECRET": "x" * 32,
    }
    async with running(settings) as (app, url), Operator(url) as operator:
        yield Desk(app.services.store, operator, environment)
