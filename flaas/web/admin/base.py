"""What handlers for operators have in common."""

import base64
from typing import ClassVar

from flaas.domain.device import User
from flaas.domain.errors import NotAuthenticated
from flaas.web.base import Handler


class AdminHandler(Handler):
    """Name and password (HTTP Basic) do as well as a token: operators use curl."""

    realm: ClassVar[str] = 'Basic realm="FLaaS", charset="UTF-8"'

    async def authenticate(self) -> User:
        scheme, _, credentials = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return await super().authenticate()
        try:
            decoded = base64.b64decode(credentials.strip(), validate=True).decode()
        except ValueError:
            raise NotAuthenticated("The Authorization header cannot be read.") from None
        username, _, password = decoded.partition(":")
        return await self.services.accounts.authenticate(username, password)
