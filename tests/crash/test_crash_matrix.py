"""The server dies at every step of every transition, and nothing is different in the end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from pymongo import MongoClient

from flaas.domain.transitions import all_step_lists

from .mortal import ELSEWHERE, Death, Point
from .scene import Project, Scene, facts, prepare, pushed, stand_in

LANES: Final = 4
"""Servers that live and die at a time: most of a life is waiting."""


@pytest.fixture
def databases(mongod: str) -> Iterator[list[tuple[str, Any]]]:
    """URI and database of each lane. Their indexes stay, as making them takes longest."""
    with MongoClient[dict[str, Any]](mongod) as client:
        yield [(f"{mongod}/crash{lane}", client[f"crash{lane}"]) for lane in range(LANES)]


class Lane:
    """One scene after another, each from nothing."""

    def __init__(self, uri: str, database: Any, make_files: Any, folder: Path) -> None:
        self._uri = uri
        self._database = database
        self._make_files = make_files
        self._folder = folder

    @asynccontextmanager
    async def scene(self) -> AsyncIterator[tuple[Scene, Project]]:
        for name in self._database.list_collection_names():
            self._database[name].delete_many({})
        async with stand_in() as push:
            environment = {"MONGODB_URI": self._uri, **self._make_files()}
            scene = Scene(environment, self._folder / uuid4().hex, self._database, push)
            project = await prepare(scene)
            try:
                yield scene, project
            finally:
                await project.close()
                scene.kill()


@pytest.fixture
def lanes(
    databases: list[tuple[str, Any]],
    make_files: Callable[[], dict[str, str]],
    tmp_path: Path,
) -> list[Lane]:
    return [Lane(uri, database, make_files, tmp_path) for uri, database in databases]


async def lived(scene: Scene, project: Project, death: Death | None) -> dict[str, Any]:
    """The facts of a project whose server dies once, or never, on the way."""
    scene.start(death)
    watching = asyncio.create_task(scene.watch())
    running = asyncio.create_task(project.run())
    await asyncio.wait([watching, running], return_when=asyncio.FIRST_COMPLETED)
    if watching.done():
        running.cancel()
        watching.result()
    watching.cancel()
    await running
    assert await scene.stop() == 0, scene.log()
    assert scene.deaths == (death is not None)
    asked = {number: len(sent) for number, sent in pushed(scene).items()}
    assert asked == dict.fromkeys(range(4), 1), "every round is requested, and none twice"
    return await facts(scene, project.id)


def deaths_at(points: list[Point]) -> list[Death]:
    """Before each call and after it. In a transition, after a call is before the next one: there
    the later moment of the two is left to the last call of a step."""
    deaths = []
    for index, point in enumerate(points):
        deaths.append(Death(point, "before"))
        place = [one.place for one in points[index + 1 : index + 2]]
        if point.place == ELSEWHERE or place != [point.place]:
            deaths.append(Death(point, "after"))
    return deaths


async def test_a_server_that_dies_anywhere_loses_nothing_and_counts_nothing_twice(
    lanes: list[Lane],
) -> None:
    async with lanes[0].scene() as (scene, project):
        expected = await lived(scene, project, None)
        points = scene.points()
    assert expected.pop("cleaned up") == []
    assert expected["project"] == ("Completed", 3), "three complete rounds and an invalid one"
    assert expected["verified"] == [[]] * 4
    walked = {f"{name}: {step}" for name, steps in all_step_lists().items() for step in steps}
    assert {point.place for point in points} == walked | {ELSEWHERE}

    deaths = deaths_at(points)

    async def die(lane: Lane) -> None:
        while deaths:
            death = deaths.pop()
            async with lane.scene() as (scene, project):
                try:
                    found = await lived(scene, project, death)
                    # What was left behind is gone, and only that.
                    del found["cleaned up"]
                    assert found == expected
                except BaseException as error:
                    error.add_note(f"killed {death.when} {death.point}")
                    raise

    async with asyncio.TaskGroup() as group:
        for lane in lanes:
            group.create_task(die(lane))
