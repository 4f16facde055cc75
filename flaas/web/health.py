"""Whether this process can serve."""

from flaas.web.base import Access, Handler, allow


class Health(Handler):
    @allow(Access.PUBLIC)
    async def get(self) -> None:
        await self.services.store.ping()
        self.write_json({"status": "ok"})
