import asyncio
import copy
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from flaas.fleet.pushwoosh import PATH, Failure, PushwooshStandIn

from .fake import PUSH


def message(**changes: Any) -> dict[str, Any]:
    """A right request, with `changes` to its notification."""
    notification = {
        "send_date": "now",
        "ignore_user_timezone": True,
        "data": copy.copy(PUSH),
        "users": ["ann", "bob"],
        "ios_silent": 1,
        "android_silent": 1,
        "ios_ttl": 3600,
        "android_gcm_ttl": 3600,
    }
    return {
        "request": {
            "auth": "token",
            "application": "APP",
            "notifications": [{**notification, **changes}],
        }
    }


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def push(clock: Clock) -> AsyncIterator[PushwooshStandIn]:
    async with PushwooshStandIn("token", "APP", clock=clock) as push:
        yield push


async def send(
    session: aiohttp.ClientSession, push: PushwooshStandIn, body: dict[str, Any]
) -> dict[str, Any]:
    async with session.post(push.url + PATH, json=body) as response:
        assert response.status == 200
        answer: dict[str, Any] = await response.json()
        return answer


async def test_a_right_request_is_delivered_to_its_users(
    session: aiohttp.ClientSession, push: PushwooshStandIn
) -> None:
    got: list[tuple[str, dict[str, str | int]]] = []
    push.subscribe("ann", lambda data: got.append(("ann", data)))
    push.subscribe("eve", lambda data: got.append(("eve", data)))

    answer = await send(session, push, message())

    assert answer["status_code"] == 200
    assert answer["status_message"] == "OK"
    assert len(answer["response"]["Messages"]) == 1
    assert got == [("ann", PUSH)]
    assert [user for user, _ in push.delivered] == ["ann", "bob"]
    assert push.requests == [message()["request"]]
    assert push.refusals == []


async def test_unsubscribing(session: aiohttp.ClientSession, push: PushwooshStandIn) -> None:
    got: list[dict[str, str | int]] = []
    unsubscribe = push.subscribe("ann", got.append)
    unsubscribe()

    await send(session, push, message())

    assert got == []


def without(name: str) -> dict[str, Any]:
    body = message()
    del body["request"]["notifications"][0][name]
    return body


def with_data(**changes: Any) -> dict[str, Any]:
    return message(data={**PUSH, **changes})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"request": []},
        {"request": {**message()["request"], "auth": "other"}},
        {"request": {**message()["request"], "application": "OTHER"}},
        {"request": {**message()["request"], "notifications": []}},
        {"request": {**message()["request"], "notifications": message()}},
        *(without(name) for name in message()["request"]["notifications"][0]),
        message(send_date="later"),
        message(ignore_user_timezone=1),
        message(users=[]),
        message(users=["ann", "ann"]),
        message(users=[f"user{n}" for n in range(1001)]),
        message(users=[7]),
        message(ios_silent=True),
        message(android_gcm_ttl="3600"),
        message(ios_ttl=3600.5),
        message(ios_ttl=0),
        message(transaction_id="misspelt"),
        message(transactionId=7),
        message(data='{"type": "train"}'),
        *(message(data={k: v for k, v in PUSH.items() if k != name}) for name in PUSH),
        with_data(type="ping"),
        with_data(validDate=1_700_000_000),
        with_data(validDate="4000000000000"),
        with_data(request="9"),
        with_data(request=2**31),
        with_data(round=True),
        with_data(project={"id": 7}),
        with_data(trainingMode="joint"),
        with_data(other=1),
    ],
)
async def test_a_wrong_request_is_refused_inside_a_200(
    session: aiohttp.ClientSession, push: PushwooshStandIn, body: dict[str, Any]
) -> None:
    answer = await send(session, push, body)

    assert answer["status_code"] == 210
    assert answer["status_message"]
    assert push.refusals == [answer["status_message"]]
    await asyncio.sleep(0)
    assert push.delivered == []


async def test_the_refusal_names_the_field(
    session: aiohttp.ClientSession, push: PushwooshStandIn
) -> None:
    answer = await send(session, push, with_data(round="3"))

    assert "$.request.notifications[0].data.round" in answer["status_message"]


async def test_a_body_that_is_no_json_or_too_large(
    session: aiohttp.ClientSession, push: PushwooshStandIn
) -> None:
    for body in (b"auth=token", b"[" + b" " * 10_000_000 + b"]"):
        async with session.post(push.url + PATH, data=io.BytesIO(body)) as response:
            assert (await response.json())["status_code"] == 210


async def test_a_full_batch_is_taken(
    session: aiohttp.ClientSession, push: PushwooshStandIn
) -> None:
    answer = await send(session, push, message(users=[f"user{n}" for n in range(1000)]))

    assert answer["status_code"] == 200
    assert len(push.delivered) == 1000


async def test_a_repeated_transaction_is_ignored_for_five_minutes(
    session: aiohttp.ClientSession, push: PushwooshStandIn, clock: Clock
) -> None:
    first = await send(session, push, message(transactionId="a", users=["ann"]))
    clock.now = 299
    repeat = await send(session, push, message(transactionId="a", users=["ann"]))
    other = await send(session, push, message(transactionId="b", users=["bob"]))
    assert repeat == first != other
    assert [user for user, _ in push.delivered] == ["ann", "bob"]

    clock.now = 301
    await send(session, push, message(transactionId="a", users=["ann"]))
    assert [user for user, _ in push.delivered] == ["ann", "bob", "ann"]


async def test_ordered_failures(session: aiohttp.ClientSession, push: PushwooshStandIn) -> None:
    push.fail_next(1, Failure.HTTP_500)
    push.fail_next(1, Failure.STATUS_500)
    push.fail_next(2, Failure.DROP)

    async with session.post(push.url + PATH, json=message()) as response:
        assert response.status == 500
    assert (await send(session, push, message()))["status_code"] == 500
    for _ in range(2):
        with pytest.raises(aiohttp.ClientError):
            await send(session, push, message())
    assert push.delivered == []

    assert (await send(session, push, message()))["status_code"] == 200


async def test_a_lost_answer_still_delivers_and_the_repeat_does_not(
    session: aiohttp.ClientSession, push: PushwooshStandIn
) -> None:
    push.fail_next(1, Failure.LOST_ANSWER)
    body = message(transactionId="a", users=["ann"])

    with pytest.raises(aiohttp.ClientError):
        await send(session, push, body)
    assert (await send(session, push, body))["status_code"] == 200

    assert [user for user, _ in push.delivered] == ["ann"]
