"""Accounts: who there is, and whether a password is theirs."""

import asyncio
import re
import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from flaas.domain.device import User, sessions_end
from flaas.domain.errors import Conflict, Invalid, NotAuthenticated, NotFound
from flaas.domain.ports import AlreadyExists, Clock, Store
from flaas.domain.project import INT_MAX, Project
from flaas.services.audit import record
from flaas.services.runner import Runner

# OWASP's parameters for argon2id: about 15 ms a password on one core. The library's defaults
# take five times as long, which a fleet that signs in at once would feel.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

_NOBODYS_HASH: Final = _HASHER.hash(secrets.token_hex(16))
"""Checked for unknown names, so that they take as long as known ones."""

_LONGEST_PASSWORD: Final = 1024
"""Characters. Hashing is for passwords, not for documents."""

_USERNAME: Final = re.compile(r"[\w.@+-]{1,150}")
_ALPHABET: Final = string.ascii_letters + string.digits
_IDS: Final = "users"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A new account with its password, which is stored nowhere."""

    username: str
    password: str = field(repr=False)
    samples_index: int | None


@dataclass(frozen=True, slots=True)
class Accounts:
    store: Store
    runner: Runner
    clock: Clock

    async def authenticate(self, username: str, password: str) -> User:
        """The active user of that name and password. Raises `NotAuthenticated`."""
        user = await self.store.users.by_username(username) if "\x00" not in username else None
        stored = user.password_hash if user else _NOBODYS_HASH
        right = len(password) <= _LONGEST_PASSWORD and await self.runner.run(
            _verify, stored, password
        )
        if user is None or not right or not user.is_active:
            raise NotAuthenticated(
                "No active account found with the given credentials", code="no_active_account"
            )
        if _HASHER.check_needs_rehash(stored):
            new = await self.runner.run(_HASHER.hash, password)
            await self.store.users.upgrade_hash(user.id, stored, new)
        return user

    async def create_users(
        self,
        count: int,
        *,
        prefix: str,
        length: int = 10,
        samples_index_start: int = 0,
        progress: Callable[[], None] = lambda: None,
    ) -> list[Credentials]:
        """Accounts `prefix`1 … `prefix`N with random passwords: all of them, or none.

        `progress` is called once a hashed password. Raises `Conflict` when a name is taken.
        """
        if not 1 <= count <= INT_MAX or samples_index_start + count > INT_MAX:
            raise Invalid({"accounts": ["Expected a positive number of accounts."]})
        new = [
            Credentials(f"{prefix}{number}", _password(length), samples_index_start + number - 1)
            for number in range(1, count + 1)
        ]
        _check_username(new[-1].username)
        taken = await self.store.users.names_taken([one.username for one in new])
        if taken:
            raise Conflict(f"{_some(taken)} exist already; nothing was created.")

        async def hashed(one: Credentials) -> str:
            result = await self.runner.run(_HASHER.hash, one.password)
            progress()
            return result

        hashes = await asyncio.gather(*map(hashed, new))
        first = await self.store.next_ids(_IDS, count)
        users = [
            User(
                id=first + offset,
                device_id=first + offset,
                username=one.username,
                password_hash=hashes[offset],
                samples_index=one.samples_index,
            )
            for offset, one in enumerate(new)
        ]
        try:
            await self.store.users.insert(users)
        except AlreadyExists:
            raise Conflict("Some of these names exist already; nothing was created.") from None
        names = {"first": new[0].username, "last": new[-1].username}
        await record(self.store, self.clock(), f"{count} accounts created", after=names)
        return new

    async def create_user(self, username: str, *, samples_index: int, length: int) -> Credentials:
        """One account with a random password. Raises `Conflict` when the name is taken."""
        _check_username(username)
        new = Credentials(username, _password(length), samples_index)
        user_id = await self.store.next_ids(_IDS)
        user = User(
            id=user_id,
            device_id=user_id,
            username=username,
            password_hash=await self.runner.run(_HASHER.hash, new.password),
            samples_index=samples_index,
        )
        try:
            await self.store.users.insert([user])
        except AlreadyExists:
            raise Conflict(f"{username} exists already; nothing was created.") from None
        after = {"username": username, "samples_index": samples_index}
        await record(self.store, self.clock(), "account created", after=after)
        return new

    async def ensure_staff(self, username: str, password: str) -> bool:
        """That staff account exists and has that password. True: it was made now."""
        _check_username(username)
        if not 1 <= len(password) <= _LONGEST_PASSWORD:
            raise Invalid({"password": [f"Expected 1 to {_LONGEST_PASSWORD} characters."]})
        user = await self.store.users.by_username(username)
        if user is None:
            user_id = await self.store.next_ids(_IDS)
            new = User(
                id=user_id,
                device_id=user_id,
                username=username,
                password_hash=await self.runner.run(_HASHER.hash, password),
                is_staff=True,
            )
            try:
                await self.store.users.insert([new])
            except AlreadyExists:
                # Another replica that starts with the same settings was faster.
                return False
            await self._record_access("staff account created", username)
            return True
        same = await self.runner.run(_verify, user.password_hash, password)
        if not (same and user.is_staff and user.is_active):
            new_hash = await self.runner.run(_HASHER.hash, password)
            await self._change(user, password_hash=new_hash, is_staff=True, is_active=True)
            await self._record_access("staff account changed", username)
        return False

    async def set_password(self, username: str, *, length: int) -> Credentials:
        """A new random password, which ends the account's sessions. Raises `NotFound`."""
        user = await self._named(username)
        new = Credentials(username, _password(length), user.samples_index)
        await self._change(user, password_hash=await self.runner.run(_HASHER.hash, new.password))
        await self._record_access("password set", username)
        return new

    async def set_active(self, username: str, active: bool) -> None:
        """Let the account sign in, or not; either way its sessions end. Raises `NotFound`."""
        user = await self._named(username)
        await self._change(user, is_active=active)
        await record(
            self.store,
            self.clock(),
            f"account {'activated' if active else 'deactivated'}",
            before={"is_active": user.is_active},
            after={"is_active": active, "username": username},
        )

    async def _named(self, username: str) -> User:
        user = await self.store.users.by_username(username)
        if user is None:
            raise NotFound(f"There is no user {username}.")
        return user

    async def _change(self, user: User, **values: Any) -> None:
        await self.store.users.change_access(user.id, values, sessions_end(self.clock()))

    async def assign(self, project_id: int, prefix: str) -> tuple[int, Project]:
        """Make the users of a prefix the project's members, in place of those it has."""
        project = await self.store.projects.get(project_id)
        if project is None:
            raise NotFound(f"There is no project {project_id}.")
        members = await self.store.users.registered(project_id)
        count = await self.store.users.assign(prefix, project_id)
        if not count:
            raise NotFound(f"No user's name starts with '{prefix}'; nothing was changed.")
        await record(
            self.store,
            self.clock(),
            "members assigned",
            project_id=project_id,
            before={"members": members},
            after={"members": count, "prefix": prefix},
        )
        return count, project

    async def _record_access(self, what: str, username: str) -> None:
        await record(self.store, self.clock(), what, after={"username": username})


def _verify(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def _password(length: int) -> str:
    if not 4 <= length <= 128:
        raise Invalid({"length": ["Expected a password length of 4 to 128."]})
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _check_username(username: str) -> None:
    if not _USERNAME.fullmatch(username):
        raise Invalid(
            {"username": ["Expected 1 to 150 letters, digits and @ . + - _ (with its number)."]}
        )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
