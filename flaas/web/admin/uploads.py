"""Initial models and samples, as operators send them."""

from flaas.domain.ports import Model
from flaas.services.catalogue import IncomingModel, IncomingSamples
from flaas.web.access import Access, allow
from flaas.web.admin.base import AdminHandler
from flaas.web.uploads import UploadHandler


class PutModel(UploadHandler[Model], AdminHandler):
    async def open(self) -> IncomingModel:
        return await self.services.catalogue.receive_model(self.path_kwargs["name"])

    @allow(Access.STAFF)
    async def put(self, **_: str) -> None:
        model = await self.finish_upload()
        self.write_json(model, 201)


class PutSamples(UploadHandler[int], AdminHandler):
    async def open(self) -> IncomingSamples:
        path = self.path_kwargs
        return self.services.catalogue.receive_samples(
            path["dataset_type"], self.number(path["index"]), self.number(path["app"])
        )

    @allow(Access.STAFF)
    async def put(self, **_: str) -> None:
        records = await self.finish_upload()
        self.write_json({"records": records}, 201)
