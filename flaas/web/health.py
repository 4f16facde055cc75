"""Whether this process can serve."""

from flaas.web.access import Access, allow
from flaas.web.base import Handler


class Health(Handler):
    @allow(Access.PUBLIC)
    async def get(self) -> None:
        await self.services.store.ping()
        self.write_json({"status": "ok"})
