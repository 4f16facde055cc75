"""The settings: `config/flaas.toml` and the environment, read once into a frozen object.

The file says what each setting is; the class below says of which type and within which bounds.
A setting that is in one and not in the other stops the start, as a wrong value does.
"""

import contextlib
import os
import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, Struct

CONFIG_FILE: Final = Path(__file__).resolve().parent.parent / "config" / "flaas.toml"

_SHORTEST_JWT_SECRET: Final = 32
"""Characters. HS256 wants a key of 256 bits."""

_LONGEST: Final = 10**9
Seconds = Annotated[float, Meta(gt=0, le=_LONGEST)]
Days = Annotated[int, Meta(ge=1, le=18_000)]
"""MongoDB's deletion of old documents knows no times from before 1970."""
Transfers = Annotated[int, Meta(ge=1, le=100_000)]
Url = Annotated[str, Meta(pattern=r"^https?://[^\s/]+\S*$")]


class SettingError(Exception):
    """One line that names the wrong setting."""


class Secret:
    """A value that does not show in logs, tracebacks and `repr`."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"


class Settings(Struct, frozen=True, kw_only=True):
    address: Annotated[str, Meta(min_length=1)]
    port: Annotated[int, Meta(ge=0, le=65_535)]
    proxies: Annotated[int, Meta(ge=0, le=10)]
    data_dir: Path
    mongodb_uri: Secret | None
    jwt_secret: Secret | None
    access_token_days: Days
    refresh_token_days: Days
    admin_username: Annotated[str, Meta(max_length=150)] | None
    admin_password: Secret | None
    tick_seconds: Seconds
    tick_timeout_seconds: Seconds
    time_zone: ZoneInfo
    status_days: Days
    drain_seconds: Seconds
    upload_timeout_seconds: Seconds
    uploads_at_a_time: Transfers
    downloads_at_a_time: Transfers
    aggregation_memory_mb: Annotated[int, Meta(ge=1, le=1 << 20)]
    aws_access_key_id: str | None
    aws_secret_access_key: Secret | None
    aws_region: str | None
    aws_endpoint_url: Url | None
    aws_s3_bucket_name: Annotated[str, Meta(min_length=3, max_length=63)] | None
    aws_s3_bucket_name_static: str | None
    s3_redirect: bool
    pushwoosh_api_token: Secret | None
    pushwoosh_application_code: str | None
    pushwoosh_url: Url


def load(
    environ: Mapping[str, str] = os.environ, file: Path = CONFIG_FILE, **overrides: Any
) -> Settings:
    """Read the settings. `overrides` are options of the command line; None is not given.

    Raises `SettingError`.
    """
    table = _read_file(file)
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        name, entry = field.name, table[field.name]
        source, raw = f"{name} in {file.name}", entry["value"]
        if environ.get(entry["env"], "").strip():
            source, raw = entry["env"], environ[entry["env"]].strip()
        if overrides.get(name) is not None:
            source, raw = f"--{name.replace('_', '-')}", overrides[name]
        values[name] = _read_value(source, raw, field.type)
    settings = Settings(**values)
    _check_together(settings, environ)
    return settings


def _read_file(file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"{file}: {error}") from None
    known = {field.name for field in msgspec.structs.fields(Settings)}
    for name in sorted(table.keys() ^ known):
        problem = "is not a setting" if name in table else "is missing"
        raise SettingError(f"{file.name}: {name} {problem}")
    return table


def _read_value(source: str, raw: Any, type_: Any) -> Any:
    if raw == "" and type(None) in get_args(type_):
        return None
    try:
        return msgspec.convert(raw, type_, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise SettingError(f"{source}: {error}") from None


def _decode(type_: type, raw: Any) -> Any:
    if type_ is Secret:
        return Secret(raw)
    if type_ is Path:
        return Path(raw).expanduser()
    if type_ is ZoneInfo:
        try:
            return ZoneInfo(raw)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"There is no time zone {raw!r}") from None
    raise NotImplementedError(type_)


def _check_together(settings: Settings, environ: Mapping[str, str]) -> None:
    """What no single value shows to be wrong."""
    for one, other in (
        ("admin_username", "admin_password"),
        ("aws_access_key_id", "aws_secret_access_key"),
        ("pushwoosh_api_token", "pushwoosh_application_code"),
    ):
        if (getattr(settings, one) is None) != (getattr(settings, other) is None):
            raise SettingError(f"{one} and {other} are set together or not at all")
    if settings.jwt_secret and len(settings.jwt_secret.reveal()) < _SHORTEST_JWT_SECRET:
        raise SettingError(f"JWT_SECRET: at least {_SHORTEST_JWT_SECRET} characters are needed")
    if "DYNO" in environ and not (
        settings.mongodb_uri and settings.aws_s3_bucket_name and settings.jwt_secret
    ):
        raise SettingError(
            "MONGODB_URI, AWS_S3_BUCKET_NAME and JWT_SECRET are needed on Heroku: "
            "its disk does not last"
        )


def signing_secret(settings: Settings) -> str:
    """The key that signs tokens: the one that is set, else one that is made once and kept.

    Raises `SettingError`.
    """
    if settings.jwt_secret is not None:
        return settings.jwt_secret.reveal()
    try:
        return _kept_secret(settings.data_dir)
    except OSError as error:
        raise SettingError(f"data_dir {settings.data_dir}: {error.strerror}") from None


def _kept_secret(data_dir: Path) -> str:
    file = data_dir / "jwt_secret"
    data_dir.mkdir(parents=True, exist_ok=True)
    # Linked into place when it is whole: of two that start at once, both read the same.
    new = file.with_name(f".jwt_secret.{secrets.token_hex(8)}")
    if not file.exists():
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(secrets.token_urlsafe(48))
            out.flush()
            os.fsync(out.fileno())
        with contextlib.suppress(FileExistsError):
            file.hardlink_to(new)
        new.unlink()
    secret = file.read_text().strip()
    if len(secret) < _SHORTEST_JWT_SECRET:
        raise SettingError(f"{file} holds no usable secret; remove it or set JWT_SECRET")
    return secret
