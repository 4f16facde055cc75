"""What handlers for operators have in common."""

import base64
from typing import ClassVar

from flaas.domain.device import User
from flaas.domain.errors import NotAuthenticated
from flaas.web.admin.session import user_of_cookie
from flaas.web.base import Handler


class AdminHandler(Handler):
    """Name and password (HTTP Basic) do as well as a token, since operators use curl, and so does
    the cookie of a browser that signed in."""

    realm: ClassVar[str] = 'Basic realm="FLaaS", charset="UTF-8"'

    async def authenticate(self) -> User:
        if "Authorization" not in self.request.headers:
            user = await user_of_cookie(self)
            if user is None:
                raise NotAuthenticated("Authentication credentials were not provided.")
            return user
        scheme, _, credentials = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return await super().authenticate()
        try:
            decoded = base64.b64decode(credentials.strip(), validate=True).decode()
        except ValueError:
            raise NotAuthenticated("The Authorization header cannot be read.") from None
        username, _, password = decoded.partition(":")
        return await self.sign_in(username, password)
