"""JSON Web Tokens, with the claims of djangorestframework-simplejwt.

An existing deployment that moves here with its secret keeps its phones signed in.
"""

import logging
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt

from flaas.domain.device import User
from flaas.domain.errors import FlaasError, Forbidden, NotAuthenticated
from flaas.domain.ports import Clock, Store
from flaas.domain.project import INT_MAX
from flaas.services.audit import record

log = logging.getLogger(__name__)

_ALGORITHM: Final = "HS256"
_CODE: Final = "token_not_valid"


@dataclass(frozen=True, slots=True)
class TokenPair:
    access: str = field(repr=False)
    refresh: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    store: Store
    clock: Clock
    secret: str
    access_lifetime: timedelta
    refresh_lifetime: timedelta

    def __repr__(self) -> str:
        return "Tokens(…)"

    def issue(self, user: User) -> TokenPair:
        """A new pair for a user who just signed in."""
        return TokenPair(
            self._access(user), self._encode(user, "refresh", self.refresh_lifetime)[0]
        )

    async def refresh(self, token: str) -> TokenPair:
        """A new pair for a refresh token.

        A phone may lose the answer and come back with the old token, so that one stays good
        until a successor of it was used; then it and the other successors are retired.

        Raises `Forbidden`, never anything that reads as 401: on that the app would refresh again.
        """
        refused = Forbidden("Token is invalid or expired", code=_CODE)
        claims = self._decode(token, "refresh", refused)
        jti = claims["jti"]
        if await self.store.refresh_tokens.is_retired(jti):
            log.warning("a retired refresh token of user %s was presented", claims["user_id"])
            who = f"user {claims['user_id']}"
            await record(self.store, self.clock(), "retired refresh token presented", who=who)
            raise refused
        user = await self._user(claims, refused)
        successor, successor_jti = self._encode(user, "refresh", self.refresh_lifetime)
        until = datetime.fromtimestamp(claims["exp"], UTC)
        successor_until = self.clock() + self.refresh_lifetime
        remembered = self.store.refresh_tokens
        if not await remembered.succeed(jti, until, successor_jti, successor_until):
            raise refused
        await remembered.used(jti)
        return TokenPair(self._access(user), successor)

    async def user_of(self, access: str) -> User:
        """The active user whom an access token speaks for. Raises `NotAuthenticated`."""
        refused = NotAuthenticated("Given token not valid for any token type", code=_CODE)
        return await self._user(self._decode(access, "access", refused), refused)

    def _access(self, user: User) -> str:
        return self._encode(user, "access", self.access_lifetime)[0]

    def _encode(self, user: User, token_type: str, lifetime: timedelta) -> tuple[str, str]:
        now, jti = self.clock(), secrets.token_hex(16)
        claims = {
            "token_type": token_type,
            "exp": int((now + lifetime).timestamp()),
            # A token says its second only. One that is issued in the second of a password change
            # would pass for one from before it.
            "iat": max(int(now.timestamp()), user.tokens_valid_from),
            "jti": jti,
            "user_id": user.id,
        }
        return jwt.encode(claims, self.secret, _ALGORITHM), jti

    def _decode(self, token: str, token_type: str, refused: FlaasError) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self.secret,
                algorithms=[_ALGORITHM],
                # The times are checked below, against our clock.
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
            expires = datetime.fromtimestamp(claims["exp"], UTC)
            issued, jti = claims["iat"], claims["jti"]
            # Some versions of simplejwt write the id as a string.
            claims["user_id"] = int(str(claims["user_id"]))
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, OverflowError, OSError):
            raise refused from None
        if claims.get("token_type") != token_type or expires <= self.clock():
            raise refused
        if not isinstance(issued, int) or not isinstance(jti, str):
            raise refused
        if not 0 <= claims["user_id"] <= INT_MAX:
            raise refused
        return claims

    async def _user(self, claims: dict[str, Any], refused: FlaasError) -> User:
        user = await self.store.users.get(claims["user_id"])
        if user is None or not user.accepts(claims["iat"]):
            raise refused
        return user
