"""Between records and documents, and what a database that is away looks like."""

import asyncio
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from flaas.domain.device import DeviceDetails, StatusReport, User
from flaas.domain.errors import Unavailable
from flaas.domain.event import Event
from flaas.domain.ports import Model
from flaas.domain.round import JoinStatus, Part, Participant, Results, Round, RoundStatus
from flaas.domain.signin import ADDRESS, PAIR
from flaas.store import mongo
from flaas.store.documents import Repository, dump, load, load_optional
from flaas.store.mongo import MongoStore, StoreUnavailable, open_store

from .records import START, batch, members, project, round_, seen, submission, training, user

KEEP = timedelta(days=90)
EVENT = Event(id="e1", at=START, who="root", what="nothing")


@pytest.mark.parametrize(
    "record",
    [
        user(1),
        user(1, last_status=seen(), device=DeviceDetails(os="Android", os_version=33)),
        user(1, is_staff=True, is_active=False, project_id=3, samples_index=0),
        project(),
        project(seed=None, description=None, responses_ratio_threshold="0.80"),
        round_(),
        training(),
        round_(status=RoundStatus.COMPLETE, result_sha256="another", stop_training_date=START),
        batch(),
        Participant(round_id=1, device_id=2, username="x", submission=submission(), counted=True),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_record_survives_the_way_to_a_document_and_back(record: Any) -> None:
    document = dump(record)
    if hasattr(record, "id"):
        assert document["_id"] == record.id
        assert "id" not in document
    again = load(type(record), document)
    assert dump(again) == dump(record)


def test_a_field_that_the_record_has_not_is_left_out() -> None:
    assert load(Round, dump(round_()) | {"note": "of a newer version"}) == round_()


def test_a_field_that_the_document_has_not_gets_its_default() -> None:
    document = dump(user(1))
    del document["tokens_valid_from"], document["last_status"]
    assert load(User, document) == user(1)


def test_no_document_is_no_record() -> None:
    assert load_optional(User, None) is None


# --- the database as a whole ---


async def test_times_keep_their_zone_and_their_milliseconds(store: MongoStore) -> None:
    await store.projects.insert(project())
    found = await store.projects.get(1)
    assert found is not None
    assert found.create_date == START
    assert found.create_date.utcoffset() == timedelta()


async def test_thresholds_stay_exact_decimals(store: MongoStore) -> None:
    await store.projects.insert(project(responses_ratio_threshold="0.10"))
    found = await store.projects.get(1)
    assert found is not None
    assert str(found.responses_ratio_threshold) == "0.10"


async def test_opening_twice_finds_its_indexes(store: MongoStore, mongodb_uri: str) -> None:
    await store.projects.insert(project())
    async with open_store(mongodb_uri, KEEP) as again:
        assert await again.projects.get(1) == await store.projects.get(1)


@pytest.mark.parametrize(
    ("collection", "keys"),
    [
        ("users", ("username",)),
        ("users", ("device_id",)),
        ("projects", ("title",)),
        ("rounds", ("project_id", "number")),
        ("rounds", ("request_id",)),
        ("participants", ("round_id", "device_id")),
    ],
)
async def test_what_must_be_unique_is(
    store: MongoStore, database: Any, collection: str, keys: tuple[str, ...]
) -> None:
    found = database[collection].index_information().values()
    unique = [tuple(name for name, _ in one["key"]) for one in found if one.get("unique")]
    assert keys in unique


async def test_status_reports_and_refresh_tokens_expire(store: MongoStore, database: Any) -> None:
    def lifetimes(collection: str) -> dict[str, int]:
        found = database[collection].index_information().values()
        return {
            one["key"][0][0]: one["expireAfterSeconds"]
            for one in found
            if "expireAfterSeconds" in one
        }

    assert lifetimes("device_statuses") == {"at": KEEP.total_seconds()}
    assert lifetimes("refresh_tokens") == {"expires": 0}


async def test_another_lifetime_of_status_reports_takes_effect_at_the_next_start(
    mongod: str,
) -> None:
    name = "other_lifetime"
    with MongoClient(f"{mongod}/{name}") as client:
        client.drop_database(name)
        try:
            for days in (90, 7):
                async with open_store(f"{mongod}/{name}", timedelta(days=days)):
                    pass
            found = client[name]["device_statuses"].index_information().values()
            kept = [one["expireAfterSeconds"] for one in found if "expireAfterSeconds" in one]
            assert kept == [7 * 24 * 3600]
        finally:
            client.drop_database(name)


@pytest.mark.parametrize(
    "uri",
    [
        "postgres://user:hidden@localhost/db",
        "mongodb://user:hidden@localhost:port/db",
        "mongodb://user:hid/den@localhost/db",
    ],
)
async def test_what_is_no_uri_is_said_without_it(uri: str) -> None:
    with pytest.raises(StoreUnavailable, match="MONGODB_URI") as caught:
        async with open_store(uri, KEEP):
            pass
    assert "hid" not in str(caught.value)


async def test_a_uri_where_nobody_answers_is_said_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mongo, "_AWAY_AFTER_MS", 50)
    uri = "mongodb://user:hidden@127.0.0.1:9/db"
    with pytest.raises(StoreUnavailable, match="MONGODB_URI") as caught:
        async with open_store(uri, KEEP):
            pass
    assert "hidden" not in str(caught.value)


# --- ids ---


async def test_ids_begin_at_one_and_each_kind_counts_for_itself(store: MongoStore) -> None:
    assert await store.next_ids("users") == 1
    assert await store.next_ids("users", 5) == 2
    assert await store.next_ids("users") == 7
    assert await store.next_ids("rounds") == 1


async def test_the_database_answers_a_ping(store: MongoStore) -> None:
    await store.ping()


# --- away ---

CALLS: dict[str, Callable[[MongoStore], Any]] = {
    "next_ids": lambda s: s.next_ids("users"),
    "ping": lambda s: s.ping(),
    "time": lambda s: s.time(),
    "users.get": lambda s: s.users.get(1),
    "users.by_username": lambda s: s.users.by_username("a"),
    "users.names_taken": lambda s: s.users.names_taken(["a"]),
    "users.insert": lambda s: s.users.insert([user(1)]),
    "users.change_access": lambda s: s.users.change_access(1, {"is_active": False}, 9),
    "users.upgrade_hash": lambda s: s.users.upgrade_hash(1, "old", "new"),
    "users.assign": lambda s: s.users.assign("a", 1),
    "users.unassign": lambda s: s.users.unassign(1),
    "users.registered": lambda s: s.users.registered(1),
    "users.reporting_since": lambda s: s.users.reporting_since(1, START),
    "users.members": lambda s: s.users.members(1),
    "users.devices": lambda s: s.users.devices(["a"]),
    "users.record_status": lambda s: s.users.record_status(1, seen(), None),
    "refresh_tokens.is_retired": lambda s: s.refresh_tokens.is_retired("a"),
    "refresh_tokens.succeed": lambda s: s.refresh_tokens.succeed("a", START, "b", START),
    "refresh_tokens.used": lambda s: s.refresh_tokens.used("a"),
    "sign_ins.admit": lambda s: s.sign_ins.admit("key", PAIR),
    "sign_ins.failed": lambda s: s.sign_ins.failed("key", ADDRESS),
    "sign_ins.withdraw": lambda s: s.sign_ins.withdraw("key", PAIR),
    "sign_ins.is_known": lambda s: s.sign_ins.is_known("key"),
    "sign_ins.know": lambda s: s.sign_ins.know("key"),
    "projects.get": lambda s: s.projects.get(1),
    "projects.all": lambda s: s.projects.all(),
    "projects.in_progress": lambda s: s.projects.in_progress(),
    "projects.insert": lambda s: s.projects.insert(project()),
    "projects.update": lambda s: s.projects.update(1, {"title": "T"}),
    "projects.advance": lambda s: s.projects.advance(1, 1),
    "projects.finish": lambda s: s.projects.finish(1),
    "projects.using_model": lambda s: s.projects.using_model("M"),
    "projects.delete": lambda s: s.projects.delete(1),
    "rounds.by_number": lambda s: s.rounds.by_number(1, 1),
    "rounds.by_request": lambda s: s.rounds.by_request(1),
    "rounds.open_round": lambda s: s.rounds.open_round(1),
    "rounds.all": lambda s: s.rounds.all(1),
    "rounds.spans": lambda s: s.rounds.spans(),
    "rounds.count": lambda s: s.rounds.count(1),
    "rounds.insert": lambda s: s.rounds.insert(round_()),
    "rounds.begin_training": lambda s: s.rounds.begin_training(1, START),
    "rounds.move_phase": lambda s: s.rounds.move_phase(1, None, None),
    "rounds.end_closing": lambda s: s.rounds.end_closing(1, 4),
    "rounds.seal": lambda s: s.rounds.seal(1, RoundStatus.INVALID, None, START),
    "rounds.delete_all": lambda s: s.rounds.delete_all(1),
    "participants.get": lambda s: s.participants.get(1, 1),
    "participants.of_devices": lambda s: s.participants.of_devices(1, [2]),
    "participants.all": lambda s: s.participants.all(1),
    "participants.fix_cohort": lambda s: s.participants.fix_cohort(1, members(1)),
    "participants.cohort": lambda s: s.participants.cohort(1),
    "participants.join": lambda s: s.participants.join(1, user(1), JoinStatus.JOIN, START),
    "participants.reserve": lambda s: s.participants.reserve(1, 1, "c", "a", START),
    "participants.submit": lambda s: s.participants.submit(1, 1, "c", submission()),
    "participants.release": lambda s: s.participants.release(1, 1, "a"),
    "participants.report": lambda s: s.participants.report(1, 1, START),
    "participants.freeze": lambda s: s.participants.freeze(1),
    "participants.reject": lambda s: s.participants.reject(1, 1, "why"),
    "participants.tally": lambda s: s.participants.tally(1),
    "participants.all_answered": lambda s: s.participants.all_answered(1),
    "participants.counted": lambda s: s.participants.counted(1),
    "participants.joins": lambda s: s.participants.joins([1]),
    "participants.join_counts": lambda s: s.participants.join_counts([1]),
    "participants.chosen": lambda s: s.participants.chosen([1], Part.JOINED),
    "participants.results": lambda s: s.participants.results([1]),
    "participants.record_results": lambda s: s.participants.record_results(1, 1, Results()),
    "participants.delete_all": lambda s: s.participants.delete_all([1]),
    "statuses.insert": lambda s: s.statuses.insert(
        StatusReport(at=START, user_id=1, device_id=1, request_id=None, device_info={})
    ),
    "statuses.since": lambda s: s.statuses.since(START),
    "statuses.pings": lambda s: s.statuses.pings(START, START),
    "outbox.put": lambda s: s.outbox.put(batch(), START),
    "outbox.claim": lambda s: s.outbox.claim(START),
    "outbox.sent": lambda s: s.outbox.sent("a"),
    "outbox.dropped": lambda s: s.outbox.dropped("a", "why"),
    "outbox.retry_at": lambda s: s.outbox.retry_at("a", START, "why"),
    "outbox.next_due": lambda s: s.outbox.next_due(),
    "outbox.delete_all": lambda s: s.outbox.delete_all([1]),
    "models.get": lambda s: s.models.get("M"),
    "models.put": lambda s: s.models.put(Model(name="M", parameters=1, sha256="a")),
    "events.record": lambda s: s.events.record(EVENT),
    "events.find": lambda s: s.events.find(None, None),
    "leases.acquire": lambda s: s.leases.acquire("name", "holder", 30),
    "leases.release": lambda s: s.leases.release("name", "holder"),
}


async def test_every_call_of_the_store_is_in_the_table(away: MongoStore) -> None:
    calls = {name for name in vars(MongoStore) if not name.startswith("_")} - {"close"}
    for attribute, repository in vars(away).items():
        if isinstance(repository, Repository) and not attribute.startswith("_"):
            calls |= {
                f"{attribute}.{name}"
                for name, member in vars(type(repository)).items()
                if not name.startswith("_") and inspect.isfunction(member)
            }
    assert CALLS.keys() == calls


async def test_a_database_that_is_away_is_unavailable_to_every_call(away: MongoStore) -> None:
    async def outcome(name: str) -> str:
        call = CALLS[name](away)
        try:
            if inspect.isawaitable(call):
                await call
            else:
                async for _ in call:
                    pass
        except Unavailable as error:
            return error.detail
        except Exception as error:
            return f"{name} raised {type(error).__name__}"
        return f"{name} returned"

    said = set(await asyncio.gather(*map(outcome, CALLS)))
    assert len(said) == 1, said
    assert "127.0.0.1" not in said.pop()
