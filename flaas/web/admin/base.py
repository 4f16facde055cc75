"""What handlers for operators have in common."""

from typing import ClassVar

from flaas.domain.device import User
from flaas.web.base import Handler


class AdminHandler(Handler):
    """Name and password (HTTP Basic) do as well as a token: operators use curl."""

    realm: ClassVar[str] = 'Basic realm="FLaaS", charset="UTF-8"'

    async def authenticate(self) -> User:
        scheme, _, credentials = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            return await self.authenticate_basic(credentials)
        return await super().authenticate()
