import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from random import Random
from typing import Any

import aiohttp
import numpy as np
import pytest

from flaas.domain.project import TrainingMode
from flaas.fleet import training
from flaas.fleet.client import Account, Client
from flaas.fleet.phone import Phone
from flaas.fleet.retry import Backoff
from flaas.fleet.task import Event
from flaas.fleet.training import Records

from .fake import FLOW, PASSWORD, PUSH, USERNAME, FakeServer, Reply

JOIN, MODEL, SAMPLES, SUBMIT, REPORT, RESULTS = (path.partition("?")[0] for _, path in FLOW)
TOKEN = ("POST", "/api/token/")
WHOLE_TASK = [
    Event.JOINED,
    Event.DOWNLOADED,
    Event.TRAINED,
    Event.SUBMITTED,
    Event.ANSWERED,
    Event.RESULTS,
]

MakePhone = Callable[..., Phone]


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def make_phone(
    session: aiohttp.ClientSession, server: FakeServer, pool: Executor, events: list[Event]
) -> MakePhone:
    def make(password: str = PASSWORD, **options: Any) -> Phone:
        return Phone(
            Client(session, server.url, Account(USERNAME, password)),
            pool,
            random=Random(1),
            backoff=Backoff(base=0.0),
            on_event=lambda event, detail: events.append(event),
            **options,
        )

    return make


async def test_a_ping_signs_in_and_reports(
    make_phone: MakePhone, server: FakeServer, events: list[Event]
) -> None:
    phone = make_phone(power_plugged=False, battery_level=0.3)

    await phone.ping()
    await phone.ping()

    assert server.flow == [TOKEN, ("POST", REPORT), ("POST", REPORT)]
    report = server.calls[1].json
    assert report.keys() == {"request_type", "device_info"}
    assert report["request_type"] == "device-ping"
    battery = report["device_info"]["battery_status"]
    assert (battery["power_plugged"], battery["level"]) == (False, 0.3)
    assert events == [Event.PINGED, Event.PINGED]


async def test_a_task_calls_in_the_order_of_the_app(
    make_phone: MakePhone, server: FakeServer, events: list[Event]
) -> None:
    await make_phone().run_task(PUSH)

    assert server.flow == [TOKEN, *FLOW]
    report = server.calls[5].json
    assert report["request_type"] == "device-train"
    assert report["request_id"] == 9
    assert "device_details" in report["device_info"]
    assert events == WHOLE_TASK


async def test_the_numbers_of_a_push_may_be_strings(
    make_phone: MakePhone, events: list[Event]
) -> None:
    await make_phone().run_task({key: str(value) for key, value in PUSH.items()})

    assert events == WHOLE_TASK


@pytest.mark.parametrize("mode", TrainingMode)
async def test_the_submitted_model_and_results(
    make_phone: MakePhone, server: FakeServer, mode: TrainingMode
) -> None:
    server.round.update(number_of_samples=20, number_of_epochs=3, number_of_apps=2)
    start = np.random.default_rng(5).normal(0, 0.1, 650).astype("<f4")
    server.model = start.tobytes()

    await make_phone().run_task({**PUSH, "trainingMode": mode.value})

    apps = 1 if mode is TrainingMode.BASELINE else 2
    assert sum(uri.startswith("/api/get-samples/") for _, uri in server.flow) == apps
    submitted = next(call.body for call in server.calls if call.uri == SUBMIT)
    results = server.calls[-1].json
    worker = results["local_training_worker"]
    split = [training.hold_out(training.read_records(server.samples[app])) for app in range(apps)]
    seed = (2**32 - 5, 2_079_985_225)  # the round's -5, and the CRC-32 of "phone1"
    if mode is TrainingMode.JOINT_SAMPLES:
        sets = [Records.concatenate([kept[:20] for kept, _ in split])]
    else:
        sets = [kept[:20] for kept, _ in split]
    trained = [training.train(start, part, 3, (*seed, app)) for app, part in enumerate(sets)]
    assert submitted == training.mean([weights for weights, _ in trained]).tobytes()
    if mode is TrainingMode.JOINT_MODELS:
        assert list(worker) == ["Red", "Green"]
        assert [worker[app]["epochs"] for app in worker] == [losses for _, losses in trained]
    else:
        assert worker["epochs"] == trained[0][1]
        assert isinstance(worker["training_duration"], int)
        assert worker["attempt"] == 1
    held_out = training.evaluate(start, Records.concatenate([test for _, test in split]))
    assert results["evaluation"] == {
        "accuracy": held_out.accuracy,
        "loss": held_out.loss,
        "samples": held_out.samples,
    }
    assert results["general"]["backend_request_id"] == 9
    assert isinstance(results["general"]["total_duration"], int)
    assert results.keys() == {
        "general",
        "download_weights_worker",
        "local_training_worker",
        "merge_models_worker",
        "submit_results_worker",
        "evaluation",
    }


async def test_samples_are_fetched_once(make_phone: MakePhone, server: FakeServer) -> None:
    phone = make_phone()

    await phone.run_task(PUSH)
    await phone.run_task(PUSH)

    assert server.flow.count(("GET", SAMPLES)) == 1
    assert server.flow.count(("POST", RESULTS)) == 2


async def test_a_failed_step_is_repeated_whole_with_the_same_model(
    make_phone: MakePhone, server: FakeServer, events: list[Event]
) -> None:
    server.script(MODEL, Reply(500))
    server.script(REPORT, Reply(503), Reply(409))

    await make_phone().run_task(PUSH)

    merge = [("POST", SUBMIT), ("POST", REPORT)]
    assert server.flow == [TOKEN, FLOW[0], FLOW[1], *FLOW[1:3], *merge, *merge, *merge, FLOW[-1]]
    assert len({call.body for call in server.calls if call.uri == SUBMIT}) == 1
    reports = {call.body for call in server.calls if call.uri == REPORT}
    assert len(reports) == 3, "what the device says of itself moves on"
    results = server.calls[-1].json
    assert results["download_weights_worker"]["attempt"] == 2
    assert results["merge_models_worker"]["attempt"] == 3
    assert events == WHOLE_TASK, "each is told once"


@pytest.mark.parametrize("path", [JOIN, MODEL, SAMPLES, SUBMIT, REPORT, RESULTS])
async def test_three_failures_end_a_task(
    make_phone: MakePhone, server: FakeServer, events: list[Event], path: str
) -> None:
    server.script(path, *[Reply(500)] * 3)

    await make_phone().run_task(PUSH)

    assert [uri.partition("?")[0] for _, uri in server.flow].count(path) == 3
    assert server.calls[-1].uri.startswith(path)
    assert events[-1] == Event.FAILED


async def test_a_model_of_another_form_ends_a_task(
    make_phone: MakePhone, server: FakeServer, events: list[Event]
) -> None:
    server.model = bytes(100)

    await make_phone().run_task(PUSH)

    assert events == [Event.JOINED, Event.FAILED]


async def test_a_task_that_comes_too_late_is_dropped(
    make_phone: MakePhone, server: FakeServer, events: list[Event]
) -> None:
    await make_phone(clock=lambda: 1000.001).run_task({**PUSH, "validDate": 1_000_000})

    assert server.calls == []
    assert events == [Event.EXPIRED]


@pytest.mark.parametrize(
    ("last_in_time", "status", "before"), [(0, 2, FLOW[:1]), (1, 4, FLOW[:3]), (2, 5, FLOW[:5])]
)
async def test_a_task_that_expires_on_the_way_says_where(
    make_phone: MakePhone,
    server: FakeServer,
    events: list[Event],
    last_in_time: int,
    status: int,
    before: list[tuple[str, str]],
) -> None:
    looks = 0

    def clock() -> float:
        # Looked at when the push comes, when the task starts, then before each of three steps.
        nonlocal looks
        looks += 1
        return 10.0 if looks <= 2 + last_in_time else 2000.0

    await make_phone(clock=clock).run_task({**PUSH, "validDate": 1_000_000})

    assert server.flow == [TOKEN, *before, ("GET", f"{JOIN}?status={status}")]
    assert events[-1] == Event.EXPIRED


async def test_a_second_push_for_a_running_round_is_ignored(
    make_phone: MakePhone, server: FakeServer, events: list[Event]
) -> None:
    phone = make_phone()

    await asyncio.gather(phone.run_task(PUSH), phone.run_task(PUSH))

    assert server.flow == [TOKEN, *FLOW]
    assert events == [Event.DUPLICATE, *WHOLE_TASK]


async def test_it_is_also_ignored_while_the_first_waits_for_its_turn(
    make_phone: MakePhone, events: list[Event]
) -> None:
    turn = asyncio.Semaphore(0)
    phone = make_phone(at_work=turn)
    first = asyncio.create_task(phone.run_task(PUSH))
    await asyncio.sleep(0)

    await phone.run_task(PUSH)
    assert events == [Event.DUPLICATE]

    turn.release()
    await first
    assert events[-1] == Event.RESULTS


async def test_pushes_that_are_not_for_it(
    make_phone: MakePhone, server: FakeServer, events: list[Event]
) -> None:
    await make_phone().run_task({"type": "news"})
    await make_phone(drop_rate=1.0).run_task(PUSH)
    await make_phone().run_task({**PUSH, "project": "seven"})

    assert events == [Event.IGNORED, Event.FAILED]
    assert server.calls == []


async def test_a_signed_out_phone_does_nothing_any_more(
    make_phone: MakePhone, server: FakeServer, events: list[Event]
) -> None:
    phone = make_phone(password="wrong")

    await phone.ping()
    await phone.run_task(PUSH)

    assert phone.signed_out
    assert events == [Event.SIGNED_OUT, Event.IGNORED]
    assert len(server.calls) == 2, "a refused refresh is not tried again"
