"""What a phone may do, by the state of the round: the protocol's table over HTTP."""

import asyncio

import pytest

from flaas.domain.round import RoundStatus, results_key, update_key

from ..support import DEVICE_INFO, floats
from .conftest import Trial

UPDATE, OTHER = floats([1, 2, 3, 4]), floats([5, 6, 7, 8])


async def stored(trial: Trial, key: str) -> bytes | None:
    files = trial.server.app.services.files
    if await files.stat(key) is None:
        return None
    return b"".join([piece async for piece in files.read(key)])


async def participants(trial: Trial, number: int = 0) -> list[str]:
    round_ = await trial.round(number)
    found = await trial.server.app.services.store.participants.all(round_.id)
    return [one.username for one in found if one.joined_at]


async def test_a_waiting_round_can_be_looked_at_and_nothing_else(trial: Trial) -> None:
    phone, round_ = trial.phones[0], await trial.round()
    joined = await phone.join(trial.project_id, 0)
    assert joined.status == 200
    assert joined.json["status"] == 1
    assert joined.json["start_training_date"] is None
    assert await participants(trial) == []
    assert (await phone.get_model(trial.project_id, 0)).status == 200
    assert (await phone.submit_model(trial.project_id, 0, UPDATE)).status == 409
    assert (await phone.report(round_.request_id)).status == 409
    assert (await phone.submit_results(trial.project_id, 0, {})).status == 409


async def test_a_round_is_answered_with_all_the_fields_that_the_app_reads(trial: Trial) -> None:
    await trial.ask_all()
    answer = (await trial.phones[0].join(trial.project_id, 0)).json
    assert answer.keys() == {
        "id",
        "create_date",
        "round_number",
        "status",
        "start_training_date",
        "stop_training_date",
        "number_of_samples",
        "number_of_epochs",
        "seed",
        "project",
        "model",
        "dataset",
        "dataset_type",
        "training_mode",
        "number_of_apps",
    }
    assert answer["status"] == 2
    assert answer["seed"] == 42524235
    assert answer["start_training_date"].endswith("Z")
    assert answer["project"] == trial.project_id


async def test_joins_are_recorded_in_the_order_of_the_first_one(trial: Trial) -> None:
    await trial.ask_all()
    for index in (2, 0, 1, 2, 0):
        assert (await trial.phones[index].join(trial.project_id, 0)).status == 200
        await asyncio.sleep(0.002)
    expected = [trial.phones[index].username for index in (2, 0, 1)]
    assert await participants(trial) == expected


@pytest.mark.parametrize("status", ["0", "7", "x", "-1", ""])
async def test_a_join_status_that_does_not_exist_is_refused(trial: Trial, status: str) -> None:
    path = f"/api/project/{trial.project_id}/join-round/0/?status={status}"
    answer = await trial.phones[0].call("GET", path)
    assert answer.status == 400
    assert answer.json == {"status": ["Expected a number from 1 to 6."]}


async def test_an_update_is_stored_and_replaced_until_it_is_reported(trial: Trial) -> None:
    round_ = await trial.ask_all()
    phone, key = trial.phones[0], update_key(trial.project_id, 0, 2)
    user = await trial.server.app.services.store.users.by_username(phone.username)
    assert user
    key = update_key(trial.project_id, 0, user.device_id)

    assert (await phone.report(round_.request_id)).json["detail"].startswith("Submit the model")
    assert (await phone.submit_model(trial.project_id, 0, OTHER)).status == 201
    assert (await phone.submit_model(trial.project_id, 0, UPDATE)).status == 201
    assert await stored(trial, key) == UPDATE

    reported = await phone.report(round_.request_id)
    assert (reported.status, reported.json) == (201, {"counted": True})
    assert (await phone.submit_model(trial.project_id, 0, UPDATE)).status == 200
    assert (await phone.submit_model(trial.project_id, 0, OTHER)).status == 409
    assert (await phone.report(round_.request_id)).json == {"counted": True}
    assert await stored(trial, key) == UPDATE


async def test_a_device_that_was_not_asked_may_join_and_not_submit(trial: Trial) -> None:
    await trial.ask(trial.phones[:2])
    phone = trial.phones[2]
    assert (await phone.join(trial.project_id, 0)).status == 200
    assert (await phone.submit_model(trial.project_id, 0, UPDATE)).status == 403
    assert (await phone.submit_results(trial.project_id, 0, {})).status == 403
    round_ = await trial.round()
    assert (await phone.report(round_.request_id)).status == 409


async def test_after_the_close_only_what_is_known_is_accepted(trial: Trial) -> None:
    round_ = await trial.ask_all()
    in_time, late, silent = trial.phones
    assert (await in_time.submit_model(trial.project_id, 0, UPDATE)).status == 201
    assert (await in_time.report(round_.request_id)).status == 201
    assert (await late.submit_model(trial.project_id, 0, OTHER)).status == 201
    await trial.close_round()
    assert (await trial.round()).status is RoundStatus.COMPLETE

    assert (await in_time.report(round_.request_id)).json == {"counted": True}
    assert (await late.report(round_.request_id)).json == {"counted": False}
    assert (await silent.report(round_.request_id)).status == 410
    assert (await late.submit_model(trial.project_id, 0, OTHER)).status == 200
    assert (await late.submit_model(trial.project_id, 0, UPDATE)).status == 410
    assert (await silent.submit_model(trial.project_id, 0, UPDATE)).status == 410
    assert (await late.submit_results(trial.project_id, 0, {})).status == 201
    assert (await silent.join(trial.project_id, 0)).status == 200
    assert await participants(trial) == []
    # Only the update that was reported in time is in the next model.
    assert (await silent.get_model(trial.project_id, 1)).body == UPDATE


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
async def test_everything_three_times_and_at_once_counts_once(
    trial: Trial, order: tuple[int, ...]
) -> None:
    round_ = await trial.ask_all()
    updates = [UPDATE, OTHER, floats([9, 9, 9, 9])]
    for index in order:
        phone = trial.phones[index]
        await asyncio.gather(*(phone.join(trial.project_id, 0) for _ in range(3)))
        answers = await asyncio.gather(
            *(phone.submit_model(trial.project_id, 0, updates[index]) for _ in range(3))
        )
        assert {answer.status for answer in answers} <= {200, 201}
        answers = await asyncio.gather(*(phone.report(round_.request_id) for _ in range(3)))
        assert [answer.json for answer in answers] == [{"counted": True}] * 3
        document = {"local_training_worker": {"epochs": [2.0, 1.0]}}
        answers = await asyncio.gather(
            *(phone.submit_results(trial.project_id, 0, document) for _ in range(3))
        )
        assert {answer.status for answer in answers} == {201}
    async with asyncio.timeout(10):
        while (await trial.round()).status is not RoundStatus.COMPLETE:
            await asyncio.sleep(0.02)
    (summary, _) = await trial.server.app.services.reports.rounds(trial.project_id)
    assert (summary.asked, summary.joined, summary.answered) == (3, 3, 3)
    assert summary.loss == (1.0, 0.0)
    assert (await trial.phones[0].get_model(trial.project_id, 1)).body == floats(
        [5, 17 / 3, 19 / 3, 7]
    )


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (UPDATE[:-1], "The model has 16 bytes; 15 were sent."),
        (UPDATE + b"\0", "The model has 16 bytes; 17 were sent."),
        (b"", "The model has 16 bytes; 0 were sent."),
        (
            floats([1, float("nan"), float("inf"), -float("inf")]),
            "The model has 3 values that are not finite (NaN or Inf).",
        ),
    ],
)
async def test_a_bad_update_is_refused_and_leaves_nothing(
    trial: Trial, body: bytes, detail: str
) -> None:
    round_ = await trial.ask_all()
    phone = trial.phones[0]
    answer = await phone.submit_model(trial.project_id, 0, body)
    assert answer.status == 400
    assert answer.json["detail"] == detail
    found = trial.server.app.services.files.walk(f"projects/{trial.project_id}/0/")
    keys = [info.key async for info in found]
    assert keys == [f"projects/{trial.project_id}/0/model_weights.bin"]
    assert (await phone.report(round_.request_id)).status == 409


async def test_a_bad_update_does_not_replace_a_good_one(trial: Trial) -> None:
    await trial.ask_all()
    phone = trial.phones[0]
    user = await trial.server.app.services.store.users.by_username(phone.username)
    assert user
    assert (await phone.submit_model(trial.project_id, 0, UPDATE)).status == 201
    bad = floats([1, 2, 3, float("nan")])
    assert (await phone.submit_model(trial.project_id, 0, bad)).status == 400
    assert await stored(trial, update_key(trial.project_id, 0, user.device_id)) == UPDATE


@pytest.mark.parametrize(
    "name", ["weights.bin", "..%2F..%2Fmodel_weights.bin", "%00", "performance.json", "%ff"]
)
@pytest.mark.parametrize("call", ["submit-model", "submit-results"])
async def test_another_file_name_is_refused(trial: Trial, name: str, call: str) -> None:
    await trial.ask_all()
    if call == "submit-results" and name == "performance.json":
        name = "model_weights.bin"
    path = f"/api/project/{trial.project_id}/{call}/0/{name}"
    answer = await trial.phones[0].call("POST", path, body=UPDATE)
    assert answer.status == 400
    assert "detail" in answer.json


async def test_results_are_kept_as_they_came_and_replaced(trial: Trial) -> None:
    await trial.ask_all()
    phone = trial.phones[0]
    user = await trial.server.app.services.store.users.by_username(phone.username)
    assert user
    for loss in (2.0, 1.5):
        document = {
            "local_training_worker": {"epochs": [3.0, loss]},
            "evaluation": {"accuracy": 0.5, "loss": 1.0, "samples": 10},
        }
        assert (await phone.submit_results(trial.project_id, 0, document)).status == 201
    key = results_key(trial.project_id, 0, user.device_id)
    assert b'"epochs": [3.0, 1.5]' in (await stored(trial, key) or b"")
    participant = await trial.server.app.services.store.participants.get(
        (await trial.round()).id, user.device_id
    )
    assert participant
    assert participant.results
    assert (participant.results.loss, participant.results.accuracy) == (1.5, 0.5)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"a": NaN}', b"[" * 100_000])
async def test_results_that_are_no_json_object_are_refused(trial: Trial, body: bytes) -> None:
    await trial.ask_all()
    path = f"/api/project/{trial.project_id}/submit-results/0/performance.json"
    answer = await trial.phones[0].call("POST", path, body=body)
    assert answer.status == 400
    assert answer.json["detail"] == "The body is not a JSON object."


async def test_a_phone_reaches_its_own_project_only(trial: Trial) -> None:
    other = await trial.server.operator.create_project(title="Another")
    phone = trial.phones[0]
    for path in (
        f"/api/project/{other}",
        f"/api/project/{other}/join-round/0/",
        f"/api/project/{other}/get-model/0/",
    ):
        assert (await phone.call("GET", path)).status == 403
    for name in ("submit-model/0/model_weights.bin", "submit-results/0/performance.json"):
        answer = await phone.call("POST", f"/api/project/{other}/{name}", body=UPDATE)
        assert answer.status == 403
    assert (await phone.call("GET", "/api/project/999")).status == 404
    assert [one["id"] for one in (await phone.call("GET", "/api/project")).json] == [
        trial.project_id
    ]


async def test_another_projects_request_cannot_be_answered(trial: Trial) -> None:
    round_ = await trial.ask_all()
    other = await trial.server.operator.create_project(title="Another")
    (stranger,) = await trial.server.phones(1, other, prefix="stranger")
    async with stranger:
        assert (await stranger.report(round_.request_id)).status == 403


async def test_a_phone_that_was_assigned_a_moment_ago_is_let_in(trial: Trial) -> None:
    created = await trial.server.app.services.accounts.create_users(1, prefix="late")
    phone = trial.phones[0]
    await phone.sign_in(created[0].username, created[0].password)
    assert (await phone.join(trial.project_id, 0)).status == 403
    await trial.server.app.services.accounts.assign(trial.project_id, "late")
    assert (await phone.join(trial.project_id, 0)).status == 200


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "request_type"),
        ({"request_type": 5, "device_info": DEVICE_INFO}, "request_type"),
        ({"request_type": "other", "device_info": DEVICE_INFO}, "request_type"),
        ({"request_type": "device-ping"}, "device_info"),
        ({"request_type": "device-ping", "device_info": {}}, "device_info"),
        ({"request_type": "device-ping", "device_info": {"device_details": 1}}, "device_info"),
        ({"request_type": "device-train", "device_info": DEVICE_INFO}, "request_id"),
        (
            {"request_type": "device-train", "request_id": "x", "device_info": DEVICE_INFO},
            "request_id",
        ),
        (
            {"request_type": "device-train", "request_id": 2**31, "device_info": DEVICE_INFO},
            "request_id",
        ),
    ],
)
async def test_a_malformed_report_names_what_is_wrong(
    trial: Trial, document: dict[str, object], field: str
) -> None:
    answer = await trial.phones[0].call("POST", "/api/report-availability", document)
    assert answer.status == 400
    assert field in answer.json


async def test_a_report_on_an_unknown_request_is_refused(trial: Trial) -> None:
    assert (await trial.phones[0].report(999_999)).status == 404


async def test_a_report_updates_what_is_known_of_the_device(trial: Trial) -> None:
    phone = trial.phones[0]
    info = {
        "battery_status": {"level": 0.25, "power_plugged": False},
        "device_details": {"os": "Android", "brand": "acme", "type": "user", "version": 33},
    }
    assert (await phone.ping(info)).status == 201
    user = await trial.server.app.services.store.users.by_username(phone.username)
    assert user
    assert user.device
    assert user.last_status
    assert (user.device.brand, user.device.build_type, user.device.os_version) == (
        "acme",
        "user",
        33,
    )
    assert (user.last_status.level, user.last_status.power_plugged) == (0.25, False)


async def test_a_round_closes_at_once_when_the_last_asked_device_answers(trial: Trial) -> None:
    round_ = await trial.ask_all()
    for phone in trial.phones:
        assert (await phone.submit_model(trial.project_id, 0, UPDATE)).status == 201
        assert (await phone.report(round_.request_id)).status == 201
    async with asyncio.timeout(5):
        while (await trial.round()).status is not RoundStatus.COMPLETE:
            await asyncio.sleep(0.01)
    # The devices' reports are fresh, so the next round asks them at once.
    async with asyncio.timeout(5):
        while (await trial.round(1)).status is not RoundStatus.TRAINING:
            await asyncio.sleep(0.01)


async def test_staff_read_and_take_no_part(trial: Trial) -> None:
    round_ = await trial.ask_all()
    operator, path = trial.server.operator, f"/api/project/{trial.project_id}"
    assert (await operator.call("GET", f"{path}/get-model/0")).status == 200
    assert (await operator.call("GET", f"{path}/join-round/0")).status == 403
    answer = await operator.call("POST", f"{path}/submit-model/0/model_weights.bin", body=UPDATE)
    assert answer.status == 403
    document = {
        "request_type": "device-train",
        "request_id": round_.request_id,
        "device_info": DEVICE_INFO,
    }
    assert (await operator.call("POST", "/api/report-availability", document)).status == 403
    assert await participants(trial) == []
