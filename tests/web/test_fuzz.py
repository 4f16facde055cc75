"""Every route there is, called with every verb and every kind of credentials, with requests that
are wrong in many ways. Whatever comes in, nothing breaks, nothing of the inside is told, and
what is refused leaves no trace.
"""

import time
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flaas.operations.catalogue import OPERATIONS
from flaas.operations.operation import Operation
from flaas.web.admin.operations import Command, Report
from flaas.web.base import UnknownRoute
from flaas.web.routes import ROUTES

from .inputs import Request, Route, requests
from .wire import Reply
from .world import World

TABLE: Final = [Route(path, handler) for path, handler in ROUTES]


def runs(route: Route) -> list[Operation | None]:
    """The operations that a route runs, each a case of its own; None for any other route."""
    changes = {Report: False, Command: True}.get(route.handler)
    found: list[Operation | None] = [one for one in OPERATIONS.values() if one.changes is changes]
    return found or [None]


OPEN: Final = [
    pytest.param(verb, route, run, id=f"{verb} {route.path} {run.name if run else ''}".strip())
    for route in TABLE
    for verb in sorted(route.handler.access)
    for run in runs(route)
]
"""Every verb that a route takes."""

VERBS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
CLOSED: Final = [
    (verb, route) for route in TABLE for verb in VERBS if verb not in route.handler.access
]

INSIDE: Final = (b"Traceback", b"site-packages", b'File "', b"Error(", b"Exception", b"pymongo")
"""What only the text of an exception has."""

fuzzing = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def judge(world: World, request: Request) -> Reply:
    """Send it and check what comes back and what is left. Everything is as before afterwards."""
    reply = world.send(request.sent)
    assert reply is not None, "the connection was closed without an answer"
    logged = world.new_in_log()
    changes = world.changes()
    if changes:
        world.restore()
        world.new_in_log()
    assert reply.status < 500, (reply, logged)
    assert "Traceback" not in logged, logged
    assert not any(one in reply.body for one in INSIDE), reply.body
    if reply.status >= 400:
        assert changes == [], f"refused with {reply.status}, and stored"
        assert reply.headers["content-type"] == "application/json"
        if request.method != "HEAD":
            check_error(reply)
    return reply


def check_error(reply: Reply) -> None:
    """Either one sentence and a word, or a list of sentences a field."""
    document = reply.json
    assert isinstance(document, dict)
    assert document
    if isinstance(document.get("detail"), str):
        assert document["code"]
    else:
        assert all(isinstance(said, list) and all(said) for said in document.values())


@pytest.mark.parametrize(("verb", "route", "run"), OPEN)
def test_whatever_comes_in(world: World, verb: str, route: Route, run: Operation | None) -> None:
    @settings(fuzzing, max_examples=30)
    @given(requests(world, verb, route, run))
    def tried(request: Request) -> None:
        judge(world, request)

    tried()


def test_verbs_that_a_route_does_not_take(world: World) -> None:
    cases = st.sampled_from(CLOSED).flatmap(lambda case: requests(world, *case))

    @settings(fuzzing, max_examples=150)
    @given(cases)
    def tried(request: Request) -> None:
        # 404: the path was made wrong; 400: it cannot be decoded.
        assert judge(world, request).status in (400, 404, 405)

    tried()


def test_paths_that_lead_nowhere(world: World) -> None:
    paths = st.sampled_from(["/", "/{a}", "/api/{a}", "/api/project/{a}/{b}", "/admin/{rest:rest}"])
    routes = st.builds(Route, paths, st.just(UnknownRoute))
    cases = st.tuples(st.sampled_from(VERBS), routes)

    @settings(fuzzing, max_examples=100)
    @given(cases.flatmap(lambda case: requests(world, *case)))
    def tried(request: Request) -> None:
        judge(world, request)

    tried()


def test_no_upload_is_left_in_the_air(world: World) -> None:
    """Last: what the requests above began and were refused has been put away."""
    deadline = time.monotonic() + 30
    while world.partials and time.monotonic() < deadline:
        time.sleep(0.05)
    assert world.partials == []
    assert world.process.poll() is None
