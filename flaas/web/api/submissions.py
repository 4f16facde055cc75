"""Updates."""

from flaas.services.submissions import Update
from flaas.web.access import Access, allow
from flaas.web.uploads import UploadHandler


class SubmitModel(UploadHandler[int]):
    async def open(self) -> Update:
        path = self.path_kwargs
        return await self.services.submissions.begin(
            self.user,
            self.number(path["project_id"]),
            self.number(path["number"]),
            path["file_name"],
            self.announced_length,
        )

    @allow(Access.SIGNED_IN)
    async def post(self, **_: str) -> None:
        self.write_json({}, await self.finish_upload())
