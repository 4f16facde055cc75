"""The real things that tests run against: a mongod, an S3 endpoint, a whole server.

One mongod and one S3 endpoint serve a test process; every test has a database and a bucket of
its own, so tests run in any order and beside each other.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pymongo import MongoClient

from flaas import settings as settings_module
from flaas.app import App
from flaas.lifecycle import running
from flaas.settings import Settings
from flaas.store.embedded import private_mongod

from .support import ADMIN, ADMIN_PASSWORD, Operator, Server

APPLICATION, API_TOKEN = "TEST-APP", "test-token"


class TestClock:
    """The time of the machine, moved ahead by what a test says has passed."""

    __test__ = False

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        now = datetime.now(UTC) + self._ahead
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def pass_(self, **time: float) -> None:
        self._ahead += timedelta(**time)


@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a running mongod, without a database."""
    with private_mongod(tmp_path_factory.mktemp("mongod")) as uri:
        yield uri.rpartition("/")[0]


@pytest.fixture(scope="session")
def _mongo_client(mongod: str) -> Iterator[MongoClient[dict[str, object]]]:
    with MongoClient(mongod) as client:
        yield client


@pytest.fixture
def mongodb_uri(mongod: str, _mongo_client: MongoClient[dict[str, object]]) -> Iterator[str]:
    """The URI of an empty database. Its indexes outlive the test: making them takes longest."""
    database = _mongo_client["tests"]
    yield f"{mongod}/tests"
    for name in database.list_collection_names():
        database[name].delete_many({})


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_environment(s3_endpoint: str) -> dict[str, str]:
    """Settings for a bucket that is this test's own."""
    return new_bucket(s3_endpoint)


def new_bucket(s3_endpoint: str) -> dict[str, str]:
    """Settings for an empty bucket."""
    bucket = f"test-{secrets.token_hex(6)}"
    client = boto3.client(
        "s3",
        endpoint_url=s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket=bucket)
    client.close()
    return {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_S3_BUCKET_NAME": bucket,
    }


@pytest.fixture(params=["directory", "s3"])
def files_environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """Both kinds of file store, one after the other."""
    if request.param == "s3":
        environment: dict[str, str] = request.getfixturevalue("s3_environment")
        return environment
    return {}


@pytest.fixture(params=["directory", "s3"])
def make_files(request: pytest.FixtureRequest) -> Callable[[], dict[str, str]]:
    """Makes settings for an empty store, of both kinds: for tests that need many."""
    if request.param == "s3":
        endpoint: str = request.getfixturevalue("s3_endpoint")
        return lambda: new_bucket(endpoint)
    return dict


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def make_settings(mongodb_uri: str, tmp_path: Path) -> Callable[..., Settings]:
    """Settings of a test server, with these environment variables on top."""

    def make(**environment: str) -> Settings:
        base = {
            "PORT": "0",
            "MONGODB_URI": mongodb_uri,
            "JWT_SECRET": "a secret that is only for tests, long enough",
            "FLAAS_ADMIN_USERNAME": ADMIN,
            "FLAAS_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "FLAAS_DRAIN_SECONDS": "5",
        }
        return settings_module.load(base | environment, data_dir=str(tmp_path / "data"))

    return make


@pytest.fixture
async def app(make_settings: Callable[..., Settings], clock: TestClock) -> AsyncIterator[App]:
    """Everything wired, nothing served."""
    from flaas.app import open_app

    async with open_app(make_settings(), clock) as opened:
        yield opened


@pytest.fixture
async def server(make_settings: Callable[..., Settings], clock: TestClock) -> AsyncIterator[Server]:
    """A server on a directory store, without a push service, and an operator who is signed in."""
    async with running(make_settings(), clock) as (app, url), Operator(url) as operator:
        yield Server(app, url, operator, clock)
