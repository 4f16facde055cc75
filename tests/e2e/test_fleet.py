"""A fleet against a server that it knows by its address only."""

import asyncio
import io
import socket
from collections.abc import Callable

import pytest
from rich.console import Console

from flaas.domain.project import DatasetType
from flaas.fleet.run import FleetError, FleetRun, PushService, Uploads, read_accounts
from flaas.lifecycle import running
from flaas.settings import Settings

from ..conftest import TestClock
from ..support import ADMIN, ADMIN_PASSWORD, Operator, Server


def uploads(password: str = ADMIN_PASSWORD) -> Uploads:
    return Uploads(ADMIN, password, "DIGITS", 650, DatasetType.IID)


async def test_a_fleet_uploads_its_data_and_trains_until_its_time_is_over(
    make_settings: Callable[..., Settings], clock: TestClock
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = make_settings(
        PUSHWOOSH_API_TOKEN="token",
        PUSHWOOSH_APPLICATION_CODE="CODE",
        PUSHWOOSH_URL=f"http://127.0.0.1:{port}",
        FLAAS_TICK_SECONDS="0.2",
    )
    async with running(settings, clock) as (app, url), Operator(url) as operator:
        printed = await operator.call(
            "POST", "/admin/commands/createusers", {"accounts": 3, "prefix": "phone"}
        )
        rows = read_accounts(io.StringIO(printed.body.decode()), "accounts.csv")
        assert [row.samples_index for row in rows] == [0, 1, 2]
        said = io.StringIO()
        run = FleetRun(
            url=url,
            rows=rows,
            push=PushService(port, "token", "CODE"),
            uploads=uploads(),
            ping_seconds=60,
            drop_rate=0.0,
            seconds=6,
        )
        fleet = asyncio.create_task(run.run(Console(file=said, width=200)))
        async with asyncio.timeout(5):
            while (await operator.call("GET", "/admin/reports/countresponses")).body.count(
                b", 1"
            ) < 3:
                await asyncio.sleep(0.05)
        project_id = await operator.create_project(
            model="DIGITS", number_of_rounds=2, number_of_epochs=1
        )
        await app.services.accounts.assign(project_id, "phone")
        await operator.start(project_id)
        await fleet
        project = (await operator.call("GET", f"/api/project/{project_id}")).json
        assert project["status"] == "Completed"
    assert "model DIGITS and the samples of 3 phones uploaded" in said.getvalue()
    assert "6 answered, 6 results" in said.getvalue()


async def test_a_wrong_password_is_said_in_one_line(server: Server) -> None:
    run = FleetRun(server.url, [], PushService(0, "t", "c"), uploads("wrong"), 60, 0.0, 1)
    with pytest.raises(FleetError, match="root cannot sign in at http"):
        await run.run(Console(file=io.StringIO()))


@pytest.mark.parametrize("text", ["a, b\n1, 2\n", "username, password, samples_index\nx, y, z\n"])
def test_what_createusers_does_not_print_is_refused(text: str) -> None:
    with pytest.raises(FleetError, match=r"users\.csv is not what createusers prints"):
        read_accounts(io.StringIO(text), "users.csv")
