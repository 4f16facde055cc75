"""What the events report says of what operators and the scheduler did."""

import json
from datetime import timedelta

import pytest

from flaas.app import App
from flaas.domain.project import ProjectStatus
from flaas.operations.catalogue import OPERATIONS
from flaas.operations.operation import Desk

from ..store.records import project
from ..support import ADMIN, Server, floats


async def test_it_tells_who_did_what_and_what_changed(server: Server) -> None:
    operator = server.operator
    await operator.put_model("M", [1.0, 2.0])
    project_id = await operator.create_project(title="Pets", number_of_rounds=2)
    await operator.call("POST", "/admin/commands/createusers", {"accounts": 2, "prefix": "u"})
    await operator.call("POST", "/admin/commands/assign", {"project": project_id, "prefix": "u"})
    await operator.call("PATCH", f"/api/project/{project_id}", {"number_of_rounds": 3})
    refused = await operator.call("PATCH", f"/api/project/{project_id}", {"number_of_rounds": 0})
    assert refused.status == 400
    await operator.call("DELETE", f"/api/project/{project_id}")

    answer = await operator.call("GET", "/admin/reports/events?format=json")
    found = [(one["who"], one["what"]) for one in answer.json]
    assert found == [
        ("server", "staff account created"),
        (ADMIN, "model uploaded"),
        (ADMIN, "project created"),
        (ADMIN, "2 accounts created"),
        (ADMIN, "members assigned"),
        (ADMIN, "project changed"),
        (ADMIN, "project deleted"),
    ]
    changed = answer.json[5]
    assert changed["before"] == {"number_of_rounds": 2}
    assert changed["after"] == {"number_of_rounds": 3}
    assert changed["project"] == project_id
    lines = (await operator.call("GET", "/admin/reports/events")).body.decode().splitlines()
    assert lines[5].endswith(
        f"{ADMIN} - Project {project_id}: project changed (number_of_rounds: 2 -> 3)"
    )


async def test_it_shows_one_project_from_one_time_on(server: Server) -> None:
    operator = server.operator
    await operator.put_model("M", [1.0])
    first = await operator.create_project(title="One")
    second = await operator.create_project(title="Two")
    server.clock.pass_(hours=2)
    since = (server.clock() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")
    await operator.start(first)
    await operator.start(second)

    path = f"/admin/reports/events?project={first}&format=json"
    everything = (await operator.call("GET", path)).json
    assert {one["project"] for one in everything} == {first}
    later = (await operator.call("GET", f"{path}&since={since}")).json
    # The scheduler is at work meanwhile, and may have done more since the first look.
    assert later[0] == everything[1]
    assert later[0]["after"] == {"status": "In Progress"}
    assert all(one["who"] == "scheduler" for one in later[1:])


async def test_what_somebody_wrote_cannot_pass_for_another_line(server: Server) -> None:
    await server.operator.put_model("M", [1.0])
    await server.operator.create_project(description="x\n05/11/2021 root - nothing happened")
    text = (await server.operator.call("GET", "/admin/reports/events")).body.decode()
    assert len(text.splitlines()) == 3
    assert json.dumps("x\n05/11/2021 root - nothing happened") in text


@pytest.mark.parametrize(
    "since",
    [
        "yesterday",
        "2021-13-01",
        # Times that are none in UTC.
        "0001-01-01T00:00:00%2B14:00",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01",
    ],
)
async def test_a_time_that_is_none_is_refused(server: Server, since: str) -> None:
    answer = await server.operator.call("GET", f"/admin/reports/events?since={since}")
    assert answer.status == 400
    assert answer.json == {"since": ["Expected a time such as 2021-11-05 or 2021-11-05T14:30."]}


async def test_a_stopped_account_is_named_once(server: Server) -> None:
    operator = server.operator
    await operator.call("POST", "/admin/commands/createusers", {"accounts": 1, "prefix": "u"})
    await operator.call("POST", "/admin/commands/deactivate", {"username": "u1"})
    text = (await operator.call("GET", "/admin/reports/events")).body.decode()
    assert text.endswith(
        f'{ADMIN} - account deactivated (is_active: true -> false, username: "u1")\n'
    )


async def test_an_extract_that_leaves_a_file_is_recorded(server: Server) -> None:
    path = "/admin/reports/extract-device-status-responses/2024-01-01/2024-01-02/a.json"
    assert (await server.operator.call("GET", path)).status == 200
    events = (await server.operator.call("GET", "/admin/reports/events?format=json")).json
    assert (events[-1]["who"], events[-1]["what"]) == (ADMIN, "extract written")
    assert events[-1]["after"] == {"file": "results/responses/a.json"}


async def test_a_tick_that_moved_something_is_recorded(app: App) -> None:
    """Started behind the services' backs, so that nobody else moves it first."""
    async with await app.services.catalogue.receive_model("M") as model:
        await model.write(floats([1.0]))
        await model.finish()
    await app.services.store.projects.insert(project(1, status=ProjectStatus.IN_PROGRESS))
    desk = Desk(services=app.services, now=app.clock(), time_zone=app.settings.time_zone)
    for _ in range(2):
        assert [one async for one in OPERATIONS["tick"].lines(desk, {"once": True})]
    ticks = [one async for one in app.services.store.events.find(None, None) if one.what == "tick"]
    assert [one.after for one in ticks] == [{"projects moved": 1}]
    assert (await app.services.store.rounds.all(1))[0].number == 0
