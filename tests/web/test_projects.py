"""Projects over HTTP."""

from typing import Any

import pytest

from ..support import Server
from .conftest import MODEL, Trial

FIELDS = {
    "title": "P",
    "description": None,
    "status": "Stopped",
    "model": "M",
    "dataset": "CIFAR10",
    "dataset_type": "IID",
    "training_mode": "BASELINE",
    "number_of_rounds": 20,
    "number_of_apps": 3,
    "number_of_samples": 150,
    "number_of_epochs": 20,
    "responses_ratio_threshold": "0.80",
    "max_training_time": 60,
    "valid_round_training_threshold": "0.70",
    "power_plugged_only": True,
    "battery_level_threshold": "0.60",
    "seed": 42524235,
    "current_round": 0,
}


@pytest.fixture(autouse=True)
async def _model(server: Server) -> None:
    await server.operator.put_model("M", MODEL)


async def test_a_new_project_has_every_field_with_its_default(server: Server) -> None:
    answer = await server.operator.call("POST", "/api/project", {"title": "P", "model": "M"})
    assert answer.status == 201
    document = answer.json
    assert document.pop("id") == 1
    assert document.pop("create_date").endswith("Z")
    assert document == FIELDS


async def test_a_document_that_was_read_can_be_sent_back(server: Server) -> None:
    project_id = await server.operator.create_project(title="P")
    path = f"/api/project/{project_id}"
    document = (await server.operator.call("GET", path)).json
    document["number_of_rounds"] = 7
    answer = await server.operator.call("PUT", path + "/", document)
    assert (answer.status, answer.json) == (200, document)
    assert (await server.operator.call("GET", path)).json == document


async def test_patch_changes_a_part_and_put_needs_the_whole(server: Server) -> None:
    project_id = await server.operator.create_project(title="P")
    path = f"/api/project/{project_id}"
    answer = await server.operator.call("PATCH", path, {"seed": None})
    assert answer.json["seed"] is None
    answer = await server.operator.call("PUT", path, {"title": "Q"})
    assert answer.json == {"model": ["This field is required."]}


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ({}, {"title", "model"}),
        ([], {"non_field_errors"}),
        ({"title": "", "model": "M"}, {"title"}),
        ({"title": "x" * 31, "model": "M"}, {"title"}),
        ({"title": "P", "model": "never uploaded"}, {"model"}),
        ({"title": "P", "model": "NEVER"}, {"model"}),
        ({"title": "P", "model": "../M"}, {"model"}),
        (
            {"title": "P", "model": "M", "number_of_rounds": 0, "seed": 2**31},
            {"number_of_rounds", "seed"},
        ),
        ({"title": "P", "model": "M", "number_of_rounds": "5"}, {"number_of_rounds"}),
        ({"title": "P", "model": "M", "number_of_rounds": 1.5}, {"number_of_rounds"}),
        (
            {"title": "P", "model": "M", "responses_ratio_threshold": "1.01"},
            {"responses_ratio_threshold"},
        ),
        ({"title": "P", "model": "M", "status": "Started"}, {"status"}),
        ({"title": "P", "model": "M", "colour": 1}, {"colour"}),
    ],
)
async def test_what_is_wrong_is_said_field_by_field(
    server: Server, document: Any, fields: set[str]
) -> None:
    answer = await server.operator.call("POST", "/api/project", document)
    assert answer.status == 400
    assert answer.json.keys() == fields
    assert all(isinstance(said, list) and said for said in answer.json.values())
    assert (await server.operator.call("GET", "/api/project")).json == []


async def test_a_title_is_taken_once(server: Server) -> None:
    first = await server.operator.create_project(title="P")
    second = await server.operator.create_project(title="Q")
    taken = {"title": ["A project with this title already exists."]}
    answer = await server.operator.call("POST", "/api/project", {"title": "P", "model": "M"})
    assert (answer.status, answer.json) == (400, taken)
    answer = await server.operator.call("PATCH", f"/api/project/{second}", {"title": "P"})
    assert (answer.status, answer.json) == (400, taken)
    assert first != second


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"title": NaN}', b"[" * 200_000])
async def test_what_is_no_json_is_refused(server: Server, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await server.operator.call("POST", "/api/project", body=body, headers=headers)
    assert answer.status == 400
    assert answer.json["code"] == "malformed"


async def test_another_media_type_is_refused(server: Server) -> None:
    headers = {"Content-Type": "text/xml"}
    answer = await server.operator.call("POST", "/api/project", body=b"<a/>", headers=headers)
    assert answer.status == 415


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/project"),
        ("PUT", "/api/project/{id}"),
        ("PATCH", "/api/project/{id}"),
        ("DELETE", "/api/project/{id}"),
        ("PUT", "/admin/models/M"),
        ("PUT", "/admin/samples/IID/0/0"),
    ],
)
async def test_a_phone_changes_nothing(trial: Trial, method: str, path: str) -> None:
    answer = await trial.phones[0].call(method, path.format(id=trial.project_id), {})
    assert (answer.status, answer.json["code"]) == (403, "permission_denied")


async def test_deleting_a_project_deletes_all_of_it(trial: Trial) -> None:
    await trial.ask_all()
    phone, operator = trial.phones[0], trial.server.operator
    assert (await phone.submit_model(trial.project_id, 0, bytes(16))).status == 201
    path = f"/api/project/{trial.project_id}"
    answer = await operator.call("DELETE", path)
    assert (answer.status, answer.body) == (204, b"")
    assert (await operator.call("GET", path)).status == 404
    files = trial.server.app.services.files
    assert [info.key async for info in files.walk("projects/")] == []
    assert await trial.server.app.services.store.rounds.all(trial.project_id) == []
    assert (await phone.call("GET", "/api/project")).json == []
    assert (await operator.call("DELETE", path)).status == 404


async def test_the_model_of_a_project_with_rounds_cannot_change(trial: Trial) -> None:
    operator = trial.server.operator
    await operator.put_model("N", [1.0])
    answer = await operator.call("PATCH", f"/api/project/{trial.project_id}", {"model": "N"})
    assert answer.json == {"model": ["The project has rounds; its model cannot change."]}


@pytest.mark.parametrize(
    "path", ["/api/project/2147483648", "/api/project/99999999999999999999", "/api/project/0"]
)
async def test_an_id_that_cannot_be_is_nothing(server: Server, path: str) -> None:
    assert (await server.operator.call("GET", path)).status == 404


@pytest.mark.parametrize("path", ["/api/project/-1", "/api/project/1.0", "/nowhere", "/", "//"])
async def test_an_unknown_route_is_answered_in_json(server: Server, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = await server.operator.call(method, path)
        assert (answer.status, answer.json["code"]) == (404, "not_found")


async def test_a_verb_that_a_route_has_not_is_said_with_those_it_has(server: Server) -> None:
    answer = await server.operator.call("DELETE", "/api/project")
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, POST"
    assert answer.json["code"] == "method_not_allowed"
