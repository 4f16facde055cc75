from random import Random

import pytest

from flaas.fleet.retry import Backoff, StepFailed

QUICK = Backoff(base=0)


async def test_a_step_is_tried_three_times_and_told_which_try_it_is() -> None:
    attempts = []

    async def step(attempt: int) -> str:
        attempts.append(attempt)
        if attempt < 3:
            raise StepFailed
        return "done"

    assert await QUICK.run(step, Random(1)) == "done"
    assert attempts == [1, 2, 3]


async def test_the_last_failure_gets_through() -> None:
    async def step(attempt: int) -> None:
        raise StepFailed(f"try {attempt}")

    with pytest.raises(StepFailed, match="try 3"):
        await QUICK.run(step, Random(1))


async def test_another_exception_is_no_reason_to_try_again() -> None:
    attempts = []

    async def step(attempt: int) -> None:
        attempts.append(attempt)
        raise KeyError

    with pytest.raises(KeyError):
        await QUICK.run(step, Random(1))
    assert attempts == [1]


def test_the_wait_doubles_and_is_never_shorter_than_the_server_asked() -> None:
    steady = Backoff(base=2, jitter=0)
    random = Random(1)

    assert [steady.delay(attempt, 0, random) for attempt in (1, 2, 3)] == [2, 4, 8]
    assert steady.delay(1, 30, random) == 30
    waits = {Backoff(base=2).delay(1, 30, random) for _ in range(50)}
    assert len(waits) == 50
    assert all(30 <= wait <= 45 for wait in waits)
