"""Both stores of files, as a server opens them: a real folder, and a real S3 endpoint over HTTP."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiobotocore.session import get_session
from moto.server import ThreadedMotoServer

from flaas.domain.ports import Files
from flaas.files.directory import DirectoryFiles
from flaas.files.s3 import S3Files


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
async def s3_client(endpoint: str) -> AsyncIterator[Any]:
    """For looking behind `S3Files`."""
    async with get_session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="id",
        aws_secret_access_key="secret",
    ) as client:
        yield client


@pytest.fixture
async def bucket(s3_client: Any) -> str:
    name = f"flaas-{uuid4().hex}"
    await s3_client.create_bucket(Bucket=name)
    return name


@pytest.fixture
async def s3_files(endpoint: str, bucket: str) -> AsyncIterator[S3Files]:
    async with S3Files.open(
        bucket=bucket,
        region="us-east-1",
        access_key="id",
        secret_key="secret",
        endpoint_url=endpoint,
    ) as files:
        yield files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
async def directory_files(root: Path) -> AsyncIterator[DirectoryFiles]:
    async with DirectoryFiles.open(root) as files:
        yield files


@pytest.fixture(params=["directory", "s3"])
def files(request: pytest.FixtureRequest) -> Files:
    store: Files = request.getfixturevalue(f"{request.param}_files")
    return store
