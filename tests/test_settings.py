"""The settings: one file, one class, the environment, and a start that stops on a wrong value."""

import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from flaas import settings as module
from flaas.settings import CONFIG_FILE, SettingError, Settings, load, signing_secret

TABLE: dict[str, dict[str, Any]] = tomllib.loads(CONFIG_FILE.read_text("utf-8"))
LONG = "x" * 32

OPTIONAL = [
    field.name for field in msgspec.structs.fields(Settings) if type(None) in get_args(field.type)
]


def default(**environ: str) -> Settings:
    return load(environ)


# --- the file and the class ---


def test_every_setting_is_in_the_file_and_in_the_class() -> None:
    assert list(TABLE) == list(Settings.__struct_fields__)


def test_every_setting_says_its_value_its_variable_and_what_it_does() -> None:
    for name, entry in TABLE.items():
        assert {"value", "env", "help"} <= entry.keys() <= {"value", "env", "help", "unit"}, name
        assert re.fullmatch(r"[A-Z][A-Z0-9_]+", entry["env"]), name
        assert entry["help"].endswith("."), name
    variables = [entry["env"] for entry in TABLE.values()]
    assert len(set(variables)) == len(variables)


@pytest.mark.parametrize("name", [name for name in TABLE if re.search("_(seconds|days)$", name)])
def test_a_length_of_time_has_its_unit_in_its_name_and_in_the_file(name: str) -> None:
    assert TABLE[name]["unit"] == name.rpartition("_")[2]


def test_the_prototype_s_environment_works_as_it_is() -> None:
    loaded = default(
        AWS_ACCESS_KEY_ID="id",
        AWS_REGION="eu-west-1",
        AWS_S3_BUCKET_NAME="models",
        AWS_S3_BUCKET_NAME_STATIC="static",
        AWS_SECRET_ACCESS_KEY="key",
        PUSHWOOSH_API_TOKEN="token",
        PUSHWOOSH_APPLICATION_CODE="code",
    )
    assert (loaded.aws_s3_bucket_name, loaded.aws_region) == ("models", "eu-west-1")
    assert loaded.pushwoosh_application_code == "code"


def test_the_defaults_are_the_documents() -> None:
    loaded = default()
    assert (loaded.access_token_days, loaded.refresh_token_days) == (30, 60)
    assert loaded.tick_seconds == 600
    assert loaded.pushwoosh_url == "https://cp.pushwoosh.com"
    assert loaded.mongodb_uri is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("[port]", "[prot]"), "port is missing"),
        (lambda text: f'{text}\n[colour]\nvalue = "red"\nenv = "COLOUR"\n', "colour is not a"),
        (lambda text: text.replace("value = 8000", 'value = "many"'), "port in flaas.toml: "),
        (lambda text: text.replace("value = 8000", "value ="), "flaas.toml: "),
    ],
)
def test_a_wrong_file_is_said_in_one_line(tmp_path: Path, change: Any, said: str) -> None:
    file = tmp_path / "flaas.toml"
    file.write_text(change(CONFIG_FILE.read_text()))
    with pytest.raises(SettingError, match=re.escape(said)) as caught:
        load({}, file)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"none\.toml") as caught:
        load({}, tmp_path / "none.toml")
    assert "\n" not in str(caught.value)


# --- precedence ---


def test_an_option_comes_before_the_environment_and_that_before_the_file() -> None:
    assert load({}).port == 8000
    assert load({"PORT": "9000"}).port == 9000
    assert load({"PORT": "9000"}, port=9001).port == 9001
    assert load({"PORT": "9000"}, port=None).port == 9000
    assert load({}, port=0).port == 0


@pytest.mark.parametrize("name", TABLE)
def test_every_setting_is_read_from_its_variable(name: str) -> None:
    """Each takes a value that is not its default."""
    values = {
        "port": "1234",
        "proxies": "2",
        "aggregation_memory_mb": "64",
        "data_dir": "/elsewhere",
        "s3_redirect": "false",
        "time_zone": "Europe/Madrid",
        "jwt_secret": LONG,
        "aws_endpoint_url": "http://localhost:9000",
        "pushwoosh_url": "http://localhost:9001",
    }
    together = {
        "admin": {"FLAAS_ADMIN_USERNAME": "a", "FLAAS_ADMIN_PASSWORD": "b"},
        "aws_a": {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
        "aws_s": {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
        "pushw": {"PUSHWOOSH_API_TOKEN": "a", "PUSHWOOSH_APPLICATION_CODE": "b"},
    }
    value = values.get(name, "77" if re.search("_(seconds|days|time)$", name) else "a-value")
    environ = together.get(name[:5], {}) | {TABLE[name]["env"]: f" {value} "}
    read = getattr(load(environ), name)
    shown = read.reveal() if hasattr(read, "reveal") else read
    assert shown != getattr(load({}), name)
    assert str(shown).lower().removesuffix(".0") == value.lower()


# --- not set ---


def test_what_has_no_default_is_not_set() -> None:
    loaded = load({})
    assert len(OPTIONAL) >= 10
    assert [getattr(loaded, name) for name in OPTIONAL] == [None] * len(OPTIONAL)


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_variable_is_as_good_as_none(name: str, empty: str) -> None:
    variable = TABLE[name]["env"]
    assert getattr(load({variable: empty}), name) == getattr(load({}), name)


def test_an_empty_variable_leaves_the_value_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "flaas.toml"
    file.write_text(CONFIG_FILE.read_text().replace("value = 8000", "value = 9000"))
    assert load({}, file).port == load({"PORT": ""}, file).port == 9000


@pytest.mark.parametrize("name", ["address", "port"])
def test_an_empty_option_is_a_wrong_value(name: str) -> None:
    with pytest.raises(SettingError, match=f"^--{name}: "):
        load({}, **{name: ""})


# --- wrong values ---


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "many"),
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("PORT", "80.5"),
        ("PORT", "8000\nPORT"),
        ("FLAAS_TICK_SECONDS", "0"),
        ("FLAAS_TICK_SECONDS", "-5"),
        ("FLAAS_TICK_SECONDS", "nan"),
        ("FLAAS_TICK_SECONDS", "inf"),
        ("FLAAS_TICK_SECONDS", "ten minutes"),
        ("FLAAS_TICK_TIMEOUT_SECONDS", "0"),
        ("FLAAS_DRAIN_SECONDS", "-1"),
        ("FLAAS_UPLOAD_TIMEOUT_SECONDS", "1e30"),
        ("FLAAS_ACCESS_TOKEN_DAYS", "0"),
        ("FLAAS_ACCESS_TOKEN_DAYS", "1.5"),
        ("FLAAS_REFRESH_TOKEN_DAYS", "999999"),
        ("FLAAS_STATUS_DAYS", "0"),
        ("FLAAS_TIME_ZONE", "Mars/Olympus"),
        ("FLAAS_TIME_ZONE", "Europe"),
        ("FLAAS_TIME_ZONE", "../../etc/passwd"),
        ("FLAAS_TIME_ZONE", "/etc/localtime"),
        ("FLAAS_S3_REDIRECT", "perhaps"),
        ("AWS_ENDPOINT_URL", "minio:9000"),
        ("AWS_ENDPOINT_URL", "ftp://minio"),
        ("AWS_S3_BUCKET_NAME", "ab"),
        ("AWS_S3_BUCKET_NAME", "a" * 64),
        ("PUSHWOOSH_URL", "cp.pushwoosh.com"),
        ("JWT_SECRET", "short"),
        ("FLAAS_ADMIN_USERNAME", "a" * 151),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_setting(variable: str, value: str) -> None:
    with pytest.raises(SettingError) as caught:
        load({variable: value})
    assert str(caught.value).startswith(variable)
    assert "\n" not in str(caught.value)


def test_a_wrong_option_is_named_as_it_is_written() -> None:
    with pytest.raises(SettingError, match=r"^--port: "):
        load({}, port=70_000)


def test_a_wrong_secret_does_not_show() -> None:
    with pytest.raises(SettingError) as caught:
        load({"JWT_SECRET": "hunter2"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("FLAAS_ADMIN_USERNAME", "FLAAS_ADMIN_PASSWORD"),
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("PUSHWOOSH_API_TOKEN", "PUSHWOOSH_APPLICATION_CODE"),
    ],
)
def test_what_belongs_together_is_set_together(one: str, other: str) -> None:
    load({one: "a", other: "b"})
    for alone in ({one: "a"}, {other: "b"}, {one: "a", other: ""}):
        with pytest.raises(SettingError, match="together") as caught:
            load(alone)
        assert all(
            name in str(caught.value)
            for name, entry in TABLE.items()
            if entry["env"] in (one, other)
        )


# --- Heroku ---


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"MONGODB_URI": "mongodb://db/flaas"},
        {"AWS_S3_BUCKET_NAME": "models"},
        {"MONGODB_URI": "", "AWS_S3_BUCKET_NAME": "models"},
    ],
)
def test_on_heroku_what_would_lie_on_its_disk_is_refused(environ: Mapping[str, str]) -> None:
    with pytest.raises(SettingError, match="MONGODB_URI") as caught:
        load({"DYNO": "web.1", **environ})
    assert "Heroku" in str(caught.value)
    load(environ)


def test_on_heroku_a_database_and_a_bucket_are_enough() -> None:
    load(
        {
            "DYNO": "web.1",
            "MONGODB_URI": "mongodb://db/flaas",
            "AWS_S3_BUCKET_NAME": "models",
            "JWT_SECRET": LONG,
        }
    )


# --- secrets ---


def test_secrets_do_not_show() -> None:
    hidden = {
        "MONGODB_URI": "mongodb://root:hidden1@db/flaas",
        "JWT_SECRET": f"hidden2{LONG}",
        "FLAAS_ADMIN_USERNAME": "root",
        "FLAAS_ADMIN_PASSWORD": "hidden3",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "hidden4",
        "PUSHWOOSH_API_TOKEN": "hidden5",
        "PUSHWOOSH_APPLICATION_CODE": "code",
    }
    loaded = load(hidden)
    for shown in (repr(loaded), str(loaded), f"{loaded!r}"):
        assert "hidden" not in shown
        assert shown.count("Secret(…)") == 5
    assert loaded.jwt_secret is not None
    assert loaded.jwt_secret.reveal() == hidden["JWT_SECRET"]


def secret_of(folder: Path) -> str:
    return signing_secret(load({}, data_dir=str(folder)))


def test_a_set_secret_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    loaded = load({"JWT_SECRET": LONG}, data_dir=str(tmp_path / "data"))
    assert signing_secret(loaded) == LONG
    assert not (tmp_path / "data").exists()


def test_a_secret_is_made_once_and_is_its_owner_s_only(tmp_path: Path) -> None:
    made = secret_of(tmp_path / "data")
    assert len(made) >= 43
    assert secret_of(tmp_path / "data") == made
    assert secret_of(tmp_path / "other") != made
    (file,) = (tmp_path / "data").iterdir()
    assert file.name == "jwt_secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "short", "   \n"])
def test_a_file_without_a_usable_secret_stops_the_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "jwt_secret").write_text(content)
    with pytest.raises(SettingError, match="JWT_SECRET"):
        secret_of(tmp_path)


def test_first_starts_at_once_agree(tmp_path: Path) -> None:
    code = (
        "import sys, time; from flaas.settings import load, signing_secret;"
        "settings = load({}, data_dir=sys.argv[1]);"
        "print('ready', flush=True); sys.stdin.readline(); print(signing_secret(settings))"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "data")],
            cwd=CONFIG_FILE.parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in started:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    made = {process.communicate(timeout=20)[0] for process in started}
    assert len(made) == 1
    assert made == {secret_of(tmp_path / "data") + "\n"}
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["jwt_secret"]


def test_who_made_a_secret_meanwhile_is_agreed_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is between our look and our write."""
    real = module.os.fsync

    def other_is_faster(descriptor: int) -> None:
        (tmp_path / "jwt_secret").write_text("y" * 64)
        real(descriptor)

    monkeypatch.setattr(module.os, "fsync", other_is_faster)
    assert secret_of(tmp_path) == "y" * 64
    assert [file.name for file in tmp_path.iterdir()] == ["jwt_secret"]
