"""Projects, registered models, and what was done by whom."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from flaas.domain.device import StatusReport
from flaas.domain.event import Event
from flaas.domain.ports import AlreadyExists, Model
from flaas.domain.project import ProjectStatus
from flaas.store.mongo import MongoStore

from .records import START, project

IN_PROGRESS, COMPLETED = ProjectStatus.IN_PROGRESS, ProjectStatus.COMPLETED


async def test_projects_come_in_the_order_of_their_ids(store: MongoStore) -> None:
    for number in (3, 1, 2):
        await store.projects.insert(project(number))
    assert [one.id for one in await store.projects.all()] == [1, 2, 3]
    assert await store.projects.get(2) == project(2)
    assert await store.projects.get(4) is None


async def test_those_in_progress_come_in_the_order_of_their_ids(store: MongoStore) -> None:
    states = {4: IN_PROGRESS, 1: IN_PROGRESS, 2: ProjectStatus.STOPPED, 3: COMPLETED}
    for number, status in states.items():
        await store.projects.insert(project(number, status=status))
    assert await store.projects.in_progress() == [1, 4]


async def test_a_title_is_a_project_s_own(store: MongoStore) -> None:
    await store.projects.insert(project(1))
    await store.projects.insert(project(2))
    with pytest.raises(AlreadyExists):
        await store.projects.insert(project(3, title="Project 1"))
    with pytest.raises(AlreadyExists):
        await store.projects.update(2, {"title": "Project 1"})
    assert await store.projects.all() == [project(1), project(2)]


@pytest.mark.parametrize(
    "values",
    [{}, {"title": "New", "seed": None}, {"status": IN_PROGRESS}, {"number_of_rounds": 3}],
)
async def test_an_update_changes_what_it_names(store: MongoStore, values: dict[str, Any]) -> None:
    await store.projects.insert(project())
    assert await store.projects.update(1, values) == project(**values)
    assert await store.projects.get(1) == project(**values)
    assert await store.projects.update(2, values) is None


async def test_the_current_round_never_moves_back(store: MongoStore) -> None:
    await store.projects.insert(project())
    for number in (1, 2, 1):
        await store.projects.advance(1, number)
    assert await store.projects.get(1) == project(current_round=2)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (IN_PROGRESS, COMPLETED),
        (COMPLETED, COMPLETED),
        (ProjectStatus.STOPPED, ProjectStatus.STOPPED),
    ],
)
async def test_only_a_project_in_progress_is_finished(
    store: MongoStore, before: ProjectStatus, after: ProjectStatus
) -> None:
    await store.projects.insert(project(status=before))
    await store.projects.finish(1)
    assert await store.projects.get(1) == project(status=after)


async def test_whether_a_model_is_used(store: MongoStore) -> None:
    await store.projects.insert(project(model="A"))
    assert await store.projects.using_model("A")
    assert not await store.projects.using_model("B")


async def test_a_deleted_project_is_gone(store: MongoStore) -> None:
    await store.projects.insert(project(1))
    await store.projects.insert(project(2))
    await store.projects.delete(1)
    await store.projects.delete(1)
    assert await store.projects.all() == [project(2)]


async def test_a_model_is_registered_once_a_name(store: MongoStore) -> None:
    first = Model(name="A", parameters=4, sha256="one")
    other = Model(name="A", parameters=8, sha256="two")
    assert await store.models.get("A") is None
    await store.models.put(first)
    await store.models.put(other)
    await store.models.put(other)
    assert await store.models.get("A") == other


async def test_a_status_report_is_kept_as_it_came(store: MongoStore, database: Any) -> None:
    info = {"battery_status": {"level": 0.5}, "odd.key": {"$set": 1}, "": None}
    report = StatusReport(at=START, user_id=1, device_id=2, request_id=3, device_info=info)
    await store.statuses.insert(report)
    kept = database["device_statuses"].find_one({}, {"_id": 0})
    assert kept == {
        "at": START,
        "user_id": 1,
        "device_id": 2,
        "request_id": 3,
        "device_info": info,
    }


async def test_an_event_says_who_did_what_when(store: MongoStore) -> None:
    event = Event(id="e1", at=START, who="root", what="project created", project_id=1)
    await store.events.record(event)
    assert [one async for one in store.events.find(None, None)] == [event]


async def test_an_event_that_is_recorded_again_takes_the_first_one_s_place(
    store: MongoStore,
) -> None:
    first = Event(id="e1", at=START, who="scheduler", what="asks 3/4", project_id=1, round=2)
    again = Event(id="e1", at=START, who="scheduler", what="asks 4/4", project_id=1, round=2)
    await store.events.record(first)
    await store.events.record(again)
    assert [one async for one in store.events.find(1, None)] == [again]


async def test_events_are_found_by_project_and_time_in_order(store: MongoStore) -> None:
    made = [
        Event(id=name, at=START + timedelta(seconds=after), who="root", what="-", project_id=of)
        for name, after, of in [("c", 2, 1), ("a", 0, 1), ("b", 1, 2), ("d", 3, None)]
    ]
    for event in made:
        await store.events.record(event)

    async def found(project: int | None, since: datetime | None) -> str:
        return "".join([one.id async for one in store.events.find(project, since)])

    assert await found(None, None) == "abcd"
    assert await found(1, None) == "ac"
    assert await found(None, START + timedelta(seconds=1)) == "bcd"
    assert await found(1, START + timedelta(seconds=1)) == "c"
