"""The time is the database's, whatever the machine's clock says."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from flaas.app import App, open_app, utc_now
from flaas.services.clock import SharedClock
from flaas.settings import Settings

CLOSE = timedelta(seconds=2)


@pytest.mark.parametrize("ahead", [timedelta(), timedelta(minutes=1), timedelta(days=-400)])
async def test_a_clock_that_is_off_is_set_right(
    app: App, caplog: pytest.LogCaptureFixture, ahead: timedelta
) -> None:
    caplog.set_level(logging.WARNING)
    clock = SharedClock(app.services.store, lambda: utc_now() + ahead)
    assert abs(clock() - datetime.now(UTC) - ahead) < CLOSE
    for _ in range(2):
        await clock.set_right()
        assert abs(clock() - datetime.now(UTC)) < CLOSE
        assert clock().microsecond % 1000 == 0
    said = [one.message for one in caplog.records if "clock is" in one.message]
    assert len(said) == (ahead != timedelta()), "it is said once"


async def test_two_servers_whose_clocks_differ_tell_the_same_time(app: App) -> None:
    store = app.services.store
    clocks = [SharedClock(store, lambda n=n: utc_now() + n * timedelta(minutes=1)) for n in (0, 1)]
    for clock in clocks:
        await clock.set_right()
    assert abs(clocks[0]() - clocks[1]()) < CLOSE


async def test_a_server_sets_its_clock_right_at_its_start(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flaas.app.utc_now", lambda: utc_now() + timedelta(minutes=1))
    async with open_app(make_settings()) as opened:
        assert abs(opened.clock() - datetime.now(UTC)) < CLOSE
