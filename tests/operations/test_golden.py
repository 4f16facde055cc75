"""The outputs that the system's own description shows, byte for byte, in both ways."""

import csv
import io
import json
import re
from typing import Any

import pytest

from flaas.domain.round import Results, RoundStatus

from .conftest import EVER, Desk

ROUNDSTATS = (
    "round, status, joined_devices_ratio, usernames\n"
    + "".join(
        f"{number}, complete, 0.75, ['test_user2', 'test_user3', 'test_user1']\n"
        for number in range(18)
    )
    + "18, complete, 1.00, ['test_user2', 'test_user4', 'test_user3', 'test_user1']\n"
    + "19, training, 1.00, ['test_user2', 'test_user4', 'test_user3', 'test_user1']\n"
)

JOINEDROUNDS = """\
username, joined_rounds
test_user1, 16
test_user2, 12
test_user3, 15
"""

PERFORMANCE = """\
Project: Test Baseline IID
Rounds completed: 18/20 (plus 0 invalid)
Round 1 Test Accuracy: TBD
Round 1 Loss: 0.31 (0.01)
"""

PERFORMANCE_OF_LAST = """\
Project: Test Baseline IID
Exact round was not specified, using last completed round '17'
Rounds completed: 18/20 (plus 1 invalid)
Round 17 Test Accuracy: 0.73 (0.02)
Round 17 Loss: TBD
"""

PROJECTRESPONSES = """\
Project responses: 4/4 (ratio: 1.00)
    test_user1 - last_reponse: 05/11/2021 16:25:14.761 - version_code: 12 - bucket: 30 - power_plugged: True - battery: 1.00
    test_user2 - last_reponse: 05/11/2021 16:24:55.484 - version_code: 12 - bucket: 30 - power_plugged: True - battery: 1.00
    test_user3 - last_reponse: 05/11/2021 16:24:58.886 - version_code: 12 - bucket: 40 - power_plugged: True - battery: 1.00
    test_user4 - last_reponse: 05/11/2021 16:28:07.406 - version_code: 12 - bucket: 10 - power_plugged: True - battery: 1.00
"""  # noqa: E501

RESPONSES_PER_USER = """\
Filtered Device Status Responses of user 'test_user1':
    05/11/2021 14:47:47.172 - version_code: 12 - bucket: 30 - power_plugged: False - battery: 1.00
    05/11/2021 14:44:04.430 - version_code: 12 - bucket: 30 - power_plugged: True - battery: 1.00
    05/11/2021 14:35:58.184 - version_code: 12 - bucket: 30 - power_plugged: True - battery: 1.00

Filtered Device Status Responses of user 'test_user2':
    05/11/2021 14:43:46.010 - version_code: 12 - bucket: 30 - power_plugged: True - battery: 1.00
    05/11/2021 14:35:40.389 - version_code: 12 - bucket: 10 - power_plugged: True - battery: 1.00

Filtered Device Status Responses of user 'test_user3':
    05/11/2021 14:55:02.405 - version_code: 12 - bucket: 30 - power_plugged: True - battery: 1.00
    05/11/2021 14:49:23.924 - version_code: 12 - bucket: 10 - power_plugged: True - battery: 1.00
    05/11/2021 14:43:49.177 - version_code: 12 - bucket: 10 - power_plugged: True - battery: 1.00
    05/11/2021 14:35:42.836 - version_code: 12 - bucket: 10 - power_plugged: True - battery: 1.00

Filtered Device Status Responses of user 'test_user4':
    05/11/2021 15:12:06.894 - version_code: 12 - bucket: 10 - power_plugged: True - battery: 1.00
    05/11/2021 15:03:10.347 - version_code: 12 - bucket: 10 - power_plugged: True - battery: 1.00
    05/11/2021 14:48:09.845 - version_code: 12 - bucket: 10 - power_plugged: True - battery: 1.00
"""


async def both(desk: Desk, name: str, *positional: object, **options: object) -> str:
    """What the command prints, once it is seen that HTTP says the same."""
    command = await desk.by_command(name, *positional, **options)
    assert (command.status, command.error) == (0, "")
    http = await desk.by_http(name, *positional, **options)
    assert http.status == 200
    assert http.text == command.text
    return command.text


async def rows(desk: Desk, name: str, *positional: object, **options: object) -> list[Any]:
    """The typed rows, once it is seen that the strict CSV says the same."""
    found = json.loads((await desk.by_http(name, *positional, format="json", **options)).text)
    as_csv = (await desk.by_http(name, *positional, format="csv", **options)).text
    read = list(csv.DictReader(io.StringIO(as_csv, newline="")))
    assert [{key: flat(value) for key, value in row.items()} for row in found] == read
    return list(found)


def flat(value: Any) -> str:
    if isinstance(value, list):
        return ";".join(value)
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


async def test_roundstats(desk: Desk) -> None:
    await desk.project()
    await desk.users(4)
    for number in range(18):
        await desk.round(number, joined=(2, 3, 1))
    await desk.round(18, joined=(2, 4, 3, 1))
    await desk.round(19, RoundStatus.TRAINING, joined=(2, 4, 3, 1))
    assert await both(desk, "roundstats", 1) == ROUNDSTATS
    found = await rows(desk, "roundstats", 1)
    assert found[0] == {
        "round": 0,
        "status": "complete",
        "joined_devices_ratio": 0.75,
        "usernames": ["test_user2", "test_user3", "test_user1"],
    }


async def test_joinedrounds(desk: Desk) -> None:
    await desk.project()
    await desk.users(4)
    for number in range(16):
        last = {1: 16, 2: 12, 3: 15}
        await desk.round(number, joined=tuple(user for user in last if number < last[user]))
    assert await both(desk, "joinedrounds", 1) == JOINEDROUNDS
    assert (await rows(desk, "joinedrounds", 1))[1] == {
        "username": "test_user2",
        "joined_rounds": 12,
    }


async def test_performance(desk: Desk) -> None:
    await desk.project("Test Baseline IID", number_of_rounds=20)
    await desk.users(2)
    for number in range(18):
        results = {1: Results(loss=0.30), 2: Results(loss=0.32)} if number == 1 else {}
        await desk.round(number, joined=(1, 2), results=results)
    await desk.round(18, RoundStatus.TRAINING)
    assert await both(desk, "performance", 1, round=1) == PERFORMANCE
    assert (await rows(desk, "performance", 1, round=1))[0]["accuracy_mean"] is None


async def test_performance_of_the_last_completed_round(desk: Desk) -> None:
    await desk.project("Test Baseline IID", number_of_rounds=20)
    await desk.users(2)
    for number in range(17):
        await desk.round(number)
    measured = {1: Results(accuracy=0.71), 2: Results(accuracy=0.75)}
    await desk.round(17, joined=(1, 2), results=measured)
    await desk.round(18, RoundStatus.INVALID)
    assert await both(desk, "performance", 1) == PERFORMANCE_OF_LAST


async def test_performance_of_many_rounds(desk: Desk) -> None:
    await desk.project()
    await desk.users(2)
    figures = {1: Results(loss=0.30, accuracy=0.7), 2: Results(loss=0.32, accuracy=0.8)}
    await desk.round(0, joined=(1, 2), results=figures)
    await desk.round(1, RoundStatus.INVALID)
    await desk.round(2, joined=(1,), results={1: Results(loss=0.25)})
    assert await both(desk, "performance_multirounds", 1) == (
        "round, status, devices, loss_mean, loss_std, accuracy_mean, accuracy_std\n"
        "0, complete, 2, 0.31, 0.01, 0.75, 0.05\n"
        "1, invalid, 0, , , , \n"
        "2, complete, 1, 0.25, 0.00, , \n"
    )
    found = await rows(desk, "performance_multirounds", 1, **{"from": 1, "to": 2})
    assert [row["round"] for row in found] == [1, 2]


async def test_projectresponses(desk: Desk) -> None:
    await desk.project()
    await desk.users(4)
    await desk.response(1, "05/11/2021 16:25:14.761")
    await desk.response(1, "05/11/2021 10:00:00.000", plugged=False)
    await desk.response(2, "05/11/2021 16:24:55.484")
    await desk.response(3, "05/11/2021 16:24:58.886", bucket=40)
    await desk.response(4, "05/11/2021 16:28:07.406", bucket=10)
    options: dict[str, object] = {"past_minutes": EVER}
    assert await both(desk, "projectresponses", 1, show_details=True, **options) == PROJECTRESPONSES
    assert await both(desk, "projectresponses", 1, **options) == PROJECTRESPONSES.split("    ")[0]
    assert await both(desk, "projectresponses", 1) == "Project responses: 0/4 (ratio: 0.00)\n"
    assert len(await rows(desk, "projectresponses", 1, **options)) == 4


async def test_the_filters_apply_to_the_newest_response(desk: Desk) -> None:
    await desk.project()
    await desk.users(3)
    await desk.response(1, "05/11/2021 10:00:00.000", plugged=True)
    await desk.response(1, "05/11/2021 11:00:00.000", plugged=False, level=0.2)
    await desk.response(2, "05/11/2021 11:00:00.000", plugged=False, level=0.5)
    options: dict[str, object] = {"past_minutes": EVER}
    for more, expected in (
        ({}, "2/3 (ratio: 0.67)"),
        ({"battery_level": 0.5}, "1/3 (ratio: 0.33)"),
        ({"plugged_only": True}, "0/3 (ratio: 0.00)"),
    ):
        said = await both(desk, "projectresponses", 1, **options, **more)
        assert said == f"Project responses: {expected}\n"


async def responses_of_the_description(desk: Desk) -> None:
    for block in RESPONSES_PER_USER.strip().split("\n\n"):
        user = int(re.findall(r"test_user(\d)", block)[0])
        for at, bucket, plugged in re.findall(
            r"    (\S+ \S+) - version_code: 12 - bucket: (\d+) - power_plugged: (\w+)", block
        ):
            await desk.response(user, at, bucket=int(bucket), plugged=plugged == "True")


async def test_responses_per_user(desk: Desk) -> None:
    await desk.users(5, project_id=None)
    await responses_of_the_description(desk)
    options: dict[str, object] = {"past_minutes": EVER}
    assert await both(desk, "responses-per-user", **options) == RESPONSES_PER_USER
    second = RESPONSES_PER_USER.split("\n\n")[1] + "\n"
    assert await both(desk, "responses-per-user", "test_user2", **options) == second
    assert await both(desk, "responses-per-user") == ""
    assert len(await rows(desk, "responses-per-user", **options)) == 12


async def test_countresponses(desk: Desk) -> None:
    await desk.users(5, project_id=None)
    await responses_of_the_description(desk)
    options: dict[str, object] = {"past_minutes": EVER}
    assert await both(desk, "countresponses", "test_user5", "test_user1", **options) == (
        "username, responses\ntest_user1, 3\ntest_user5, 0\n"
    )
    plugged = await both(desk, "countresponses", plugged_only=True, **options)
    assert plugged.splitlines()[1] == "test_user1, 2"
    assert len(await rows(desk, "countresponses", **options)) == 5


async def test_times_are_those_of_the_configured_zone(desk: Desk) -> None:
    await desk.users(1, project_id=None)
    await desk.response(1, "05/11/2021 23:30:00.000")
    desk.environment["FLAAS_TIME_ZONE"] = "Europe/Madrid"
    said = await desk.by_command("responses-per-user", past_minutes=EVER)
    assert said.text.splitlines()[1].startswith("    06/11/2021 00:30:00.000 - ")


async def test_extract_projects_start(desk: Desk) -> None:
    await desk.project(max_training_time=60)
    await desk.users(1)
    for number in range(3):
        await desk.round(number)
    assert await both(desk, "extract-projects-start") == (
        "Project 1 (Project 1) \t Begin: 05/11/2021 12:00:00.000 \t End: 05/11/2021 15:00:00.000\n"
    )
    assert len(await rows(desk, "extract-projects-start")) == 1


async def test_extract_device_status_responses(desk: Desk) -> None:
    await desk.users(2, project_id=None)
    await desk.response(1, "04/11/2021 23:59:59.999")
    await desk.response(1, "05/11/2021 00:00:00.000")
    await desk.response(2, "06/11/2021 23:59:59.999")
    await desk.response(2, "07/11/2021 00:00:00.000")
    name = "extract-device-status-responses"
    said = await both(desk, name, "2021-11-05", "2021-11-06", "pings.json")
    assert json.loads(said) == [
        {"timestamp": "2021-11-06T23:59:59.999000Z", "username": "test_user2"},
        {"timestamp": "2021-11-05T00:00:00Z", "username": "test_user1"},
    ]
    assert (await both(desk, name, "2020-01-01", "2020-01-02", "none.json")) == "[]\n"
    assert len(await rows(desk, name, "2021-11-05", "2021-11-06", "pings.json")) == 2


@pytest.mark.parametrize(
    ("part", "expected"), [("available", [1, 2]), ("joined", [1, 2]), ("replied", [])]
)
async def test_extract_train_responses(desk: Desk, part: str, expected: list[int]) -> None:
    await desk.project()
    await desk.users(2)
    await desk.round(0, joined=(2, 1))
    await desk.round(1, RoundStatus.INVALID, joined=(1,))
    await desk.round(2, RoundStatus.TRAINING)
    said = await both(desk, "extract-train-responses", 1, "out.json", type=part)
    devices = [{"username": f"test_user{user}", "samples_index": user - 1} for user in expected]
    assert json.loads(said) == [devices, []]


@pytest.mark.parametrize(
    ("name", "positional", "options", "detail"),
    [
        ("roundstats", (9,), {}, "There is no project 9."),
        ("joinedrounds", (9,), {}, "There is no project 9."),
        ("projectresponses", (9,), {}, "There is no project 9."),
        ("performance", (1,), {}, "Project 1 has no completed round."),
        ("performance", (1,), {"round": 7}, "Project 1 has no round 7."),
        ("responses-per-user", ("nobody",), {}, "There is no user nobody."),
        ("countresponses", ("nobody",), {}, "There is no user nobody."),
    ],
)
async def test_what_is_not_there_is_one_line(
    desk: Desk, name: str, positional: tuple[object, ...], options: dict[str, object], detail: str
) -> None:
    await desk.project()
    command = await desk.by_command(name, *positional, **options)
    assert (command.status, command.text, command.error) == (1, "", f"error: {detail}\n")
    http = await desk.by_http(name, *positional, **options)
    assert (http.status, json.loads(http.text)["detail"]) == (404, detail)


CREATEUSERS = """\
username, password, samples_index
test_user1, FUA3ByyLAP, 0
test_user2, M5UJfEjit4, 1
test_user3, uxOlcxrHZi, 2
test_user4, nVJYSxsWEq, 3
test_user5, M5peA7ZzHc, 4
"""

ASSIGN = "5 user(s) assigned succesfully to project 'Project 1'\n"


def masked(text: str) -> str:
    """Passwords aside: ten letters and digits, whichever."""
    return re.sub(r", [A-Za-z0-9]{10}, ", ", (password), ", text)


@pytest.mark.parametrize("way", ["shell", "HTTP"])
async def test_createusers_and_assign(desk: Desk, way: str) -> None:
    async def run(name: str, *positional: object, **named: object) -> str:
        if way == "shell":
            said = await desk.by_command(name, *positional, prefix="test_user")
            assert (said.status, said.error) == (0, "")
            return said.text
        document = {**named, "prefix": "test_user"}
        answer = await desk.operator.call("POST", f"/admin/commands/{name}", document)
        assert answer.status == 200
        return answer.body.decode()

    await desk.project()
    assert masked(await run("createusers", 5, accounts=5)) == masked(CREATEUSERS)
    assert await run("assign", 1, project=1) == ASSIGN
    assert await desk.store.users.registered(1) == 5
