"""Operations over HTTP: commands, wrong arguments, and who may call."""

from typing import Any

import pytest
from aiohttp import encode_basic_auth

from flaas.operations.catalogue import OPERATIONS

from ..support import ADMIN, ADMIN_PASSWORD, Caller, Server
from ..web.conftest import Trial, trial  # noqa: F401 - a fixture

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_the_list_names_every_report_with_its_parameters(server: Server) -> None:
    listed = (await server.operator.call("GET", "/admin/reports/")).json
    expected = {name for name, one in OPERATIONS.items() if not one.changes}
    assert {one["name"] for one in listed} == expected
    (found,) = [one for one in listed if one["name"] == "performance"]
    assert found["columns"][0] == "project"
    assert found["parameters"] == [
        {
            "name": "project",
            "help": "Project ID",
            "type": "number",
            "positional": True,
            "many": False,
            "required": True,
            "default": None,
        },
        {
            "name": "round",
            "help": "Round to be evaluated. If not defined, last completed round will be used.",
            "type": "number",
            "positional": False,
            "many": False,
            "required": False,
            "default": None,
        },
    ]


async def test_accounts_are_created_and_assigned_over_http(server: Server) -> None:
    await server.operator.put_model("M", [1.0])
    await server.operator.create_project()
    created = await server.operator.call(
        "POST", "/admin/commands/createusers", {"accounts": 2, "prefix": "test_user"}
    )
    assert created.status == 200
    assert created.headers["Content-Type"] == "text/csv; charset=utf-8"
    header, first, second = created.body.decode().splitlines()
    assert header == "username, password, samples_index"
    username, password, index = second.split(", ")
    assert (username, index) == ("test_user2", "1")
    async with Caller(server.url) as phone:
        await phone.sign_in(username, password)
    assert first.startswith("test_user1, ")

    assigned = await server.operator.call(
        "POST", "/admin/commands/assign/", body=b"project=1&prefix=test_user", headers=FORM
    )
    assert assigned.body == b"2 user(s) assigned succesfully to project 'Project 1'\n"
    assert assigned.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_a_single_account(server: Server) -> None:
    document = {"username": "one", "samples_index": 7}
    wrong = await server.operator.call("POST", "/admin/commands/create-single-user", document)
    assert wrong.json == {
        "samples_index": ["Unknown option."],
        "samples-index": ["This argument is required."],
    }
    document = {"username": "one", "samples-index": 7}
    said = await server.operator.call("POST", "/admin/commands/create-single-user", document)
    lines = said.body.decode().splitlines()
    assert lines[:2] == ["Created account with the following details:", "Username: one"]
    assert lines[2].startswith("Password: ")
    assert len(lines[2]) == len("Password: ") + 10
    assert lines[3] == "Samples Index: 7"
    again = await server.operator.call("POST", "/admin/commands/create-single-user", document)
    assert (again.status, again.json["detail"]) == (409, "one exists already; nothing was created.")


async def test_a_tick_over_http(trial: Trial) -> None:  # noqa: F811
    said = await trial.server.operator.call("POST", "/admin/commands/tick")
    assert said.body == (
        b"Project 1 (Project 1): round 0: 0/3 devices eligible, 0.30 of them needed\n"
    )
    typed = await trial.server.operator.call("POST", "/admin/commands/tick", {"format": "json"})
    assert typed.json[0]["now"] == "round 0: 0/3 devices eligible, 0.30 of them needed"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("roundstats", {"project"}),
        ("roundstats/x", {"project"}),
        ("roundstats/1/2", {"non_field_errors"}),
        ("roundstats/99999999999", {"project"}),
        ("roundstats/1?colour=red", {"colour"}),
        ("roundstats/1?format=xml", {"format"}),
        ("performance/1?round=-1&round=2", {"round"}),
        ("performance/1?round=-1", {"round"}),
        (
            "projectresponses/1?past-minutes=soon&plugged-only=maybe",
            {"past-minutes", "plugged-only"},
        ),
        ("projectresponses/1?battery-level=nan", {"battery-level"}),
        ("responses-per-user?usernames=%00", {"usernames"}),
        ("extract-device-status-responses/yesterday/2021-11-06/x", {"start"}),
        ("extract-device-status-responses/2021-11-05/2021-11-06/.hidden", {"filename"}),
        ("extract-train-responses/1/x?type=everyone", {"type"}),
    ],
)
async def test_wrong_arguments_are_named(server: Server, path: str, fields: set[str]) -> None:
    answer = await server.operator.call("GET", f"/admin/reports/{path}")
    assert answer.status == 400
    assert answer.json.keys() == fields


async def test_an_extract_is_returned_and_kept(server: Server) -> None:
    path = "/admin/reports/extract-device-status-responses/2021-11-05/2021-11-06/pings.json"
    answer = await server.operator.call("GET", path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json == []
    read = server.app.services.files.read("results/responses/pings.json")
    assert b"".join([piece async for piece in read]) == answer.body


async def test_usernames_may_be_repeated(server: Server) -> None:
    await server.app.services.accounts.create_users(3, prefix="u")
    answer = await server.operator.call(
        "GET", "/admin/reports/countresponses?usernames=u1&usernames=u3&plugged-only"
    )
    assert answer.body == b"username, responses\nu1, 0\nu3, 0\n"


@pytest.mark.parametrize("path", ["reports/assign", "commands/roundstats", "reports/nothing"])
async def test_what_is_no_report_or_no_command(server: Server, path: str) -> None:
    verb = "GET" if path.startswith("reports") else "POST"
    assert (await server.operator.call(verb, f"/admin/{path}")).status == 404


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/admin/reports"),
        ("GET", "/admin/reports/roundstats/1"),
        ("POST", "/admin/commands/createusers"),
    ],
)
async def test_only_staff_may(trial: Trial, verb: str, path: str) -> None:  # noqa: F811
    document: Any = {"accounts": 1, "prefix": "new"} if verb == "POST" else None
    async with Caller(trial.server.url) as nobody:
        assert (await nobody.call(verb, path, document)).status == 401
    assert (await trial.phones[0].call(verb, path, document)).status == 403
    basic = encode_basic_auth(ADMIN, ADMIN_PASSWORD)
    async with Caller(trial.server.url) as curl:
        answer = await curl.call(verb, path, document, headers={"Authorization": basic})
        assert answer.status == 200
