"""Signing in, and staying so."""

from flaas.web.access import Access, allow
from flaas.web.fields import FieldsHandler


class Token(FieldsHandler):
    @allow(Access.PUBLIC)
    async def post(self) -> None:
        username, password = self.fields("username", "password")
        user = await self.sign_in(username, password)
        self.write_json(self.services.tokens.issue(user))


class TokenRefresh(FieldsHandler):
    """Never answers 401: on that the app would call this very route again, without end."""

    @allow(Access.PUBLIC)
    async def post(self) -> None:
        (refresh,) = self.fields("refresh")
        self.write_json(await self.services.tokens.refresh(refresh))
