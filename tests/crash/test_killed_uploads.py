"""The server is killed while a phone sends its model; the phone sends it again."""

import asyncio
import io
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pymongo import MongoClient

from flaas.app import open_app
from flaas.domain.round import update_key

from .scene import Project, Scene, prepare, stand_in

PARAMETERS = 3_000_000
"""12 MB: on its way to a bucket it is more than one part."""


@pytest.fixture
def database(mongodb_uri: str) -> Iterator[Any]:
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        yield client.get_default_database()


async def training(scene: Scene, project: Project) -> int:
    """The round trains; the request's number."""
    scene.start()
    await project.ping()
    await project.change(status="In Progress")
    async with asyncio.timeout(30):
        while True:
            round_ = scene.database["rounds"].find_one({"status": 2, "phase": None})
            if round_:
                return int(round_["request_id"])
            await asyncio.sleep(0.03)


async def test_a_phone_whose_server_is_killed_in_the_middle_of_its_upload_sends_it_again(
    mongodb_uri: str, database: Any, make_files: Callable[[], dict[str, str]], tmp_path: Path
) -> None:
    async with stand_in() as push:
        environment = {"MONGODB_URI": mongodb_uri, **make_files()}
        scene = Scene(environment, tmp_path / "scene", database, push)
        project = await prepare(scene, parameters=PARAMETERS)
        try:
            request = await training(scene, project)
            phone, body = project.phones[0], bytes(PARAMETERS * 4)
            await asyncio.to_thread(send_most, scene, phone.token or "", project.id, body)
            scene.kill()
            assert participant(database)["submission"] is None

            scene.start()
            async with asyncio.timeout(60):
                # Not one of these is refused for what the dead server left.
                while (status := await answered(phone, project.id, body)) is None:
                    await asyncio.sleep(0.05)
            assert status == 201
            report = await phone.report(request)
            assert (report.status, json.loads(report.body)) == (201, {"counted": True})
            assert await scene.stop() == 0
        finally:
            await project.close()
            scene.kill()
        async with open_app(scene.settings) as app:
            key = update_key(project.id, 0, participant(database)["device_id"])
            assert b"".join([piece async for piece in app.services.files.read(key)]) == body
            found = [info.key async for info in app.services.files.walk(f"projects/{project.id}/")]
            assert sorted(found) == [key, f"projects/{project.id}/0/model_weights.bin"]


def send_most(scene: Scene, token: str, project_id: int, body: bytes) -> None:
    """All of the body but a little, and see that the server has read it."""
    with closing(socket.create_connection(("127.0.0.1", scene.port), 30)) as connection:
        head = (
            f"POST /api/project/{project_id}/submit-model/0/model_weights.bin HTTP/1.1\r\n"
            f"Host: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[:-1000])


async def answered(phone: Any, project_id: int, body: bytes) -> int | None:
    """The status; None where no server answers yet."""
    try:
        answer = await phone.submit_model(project_id, 0, io.BytesIO(body))
    except (aiohttp.ClientError, OSError):
        return None
    return int(answer.status)


def participant(database: Any) -> dict[str, Any]:
    found = database["participants"].find_one({}, sort=[("device_id", 1)])
    return {"submission": None, **found}
