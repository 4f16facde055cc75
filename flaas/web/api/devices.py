"""What phones say and fetch, apart from their updates."""

from typing import Any

from flaas.domain.errors import Invalid, Malformed
from flaas.domain.project import INT_MAX
from flaas.domain.round import JoinStatus
from flaas.web.access import Access, allow
from flaas.web.api.views import round_view
from flaas.web.base import Handler
from flaas.web.download import send_file


class ReportAvailability(Handler):
    # A phone sends some 3 KB, and every one is kept for months.
    body_limit = 64 << 10

    @allow(Access.SIGNED_IN)
    async def post(self) -> None:
        request_type, request_id, info = _read_report(self.json())
        counted = await self.services.devices.report(self.user, request_type, request_id, info)
        self.write_json({} if counted is None else {"counted": counted}, 201)


class JoinRound(Handler):
    @allow(Access.SIGNED_IN)
    async def get(self, project_id: str, number: str) -> None:
        text = self.get_query_argument("status", "1")
        if text not in {str(status.value) for status in JoinStatus}:
            raise Invalid({"status": ["Expected a number from 1 to 6."]})
        project, round_ = await self.services.devices.join(
            self.user, self.number(project_id), self.number(number), JoinStatus(int(text))
        )
        self.write_json(round_view(project, round_))


class GetModel(Handler):
    @allow(Access.SIGNED_IN)
    async def get(self, project_id: str, number: str) -> None:
        key = await self.services.devices.model(
            self.user, self.number(project_id), self.number(number)
        )
        await send_file(self, key)


class GetSamples(Handler):
    @allow(Access.SIGNED_IN)
    async def get(self, dataset_type: str, app: str) -> None:
        key = await self.services.devices.samples(self.user, dataset_type, self.number(app))
        await send_file(self, key)


class SubmitResults(Handler):
    @allow(Access.SIGNED_IN)
    async def post(self, project_id: str, number: str, file_name: str) -> None:
        await self.services.devices.submit_results(
            self.user, self.number(project_id), self.number(number), file_name, self.body
        )
        self.write_json({}, 201)


def _read_report(document: Any) -> tuple[str, int | None, dict[str, Any]]:
    """The parts of an availability report. Raises `Malformed`, `Invalid`."""
    if not isinstance(document, dict):
        raise Malformed("Expected a JSON object.")
    wrong: dict[str, list[str]] = {}
    request_type = document.get("request_type")
    if not isinstance(request_type, str):
        wrong["request_type"] = ["This field is required."]
    request_id = document.get("request_id")
    whole = isinstance(request_id, int) and not isinstance(request_id, bool)
    if request_id is not None and not (whole and 0 <= request_id <= INT_MAX):
        wrong["request_id"] = ["A valid integer is required."]
    info = document.get("device_info")
    if not isinstance(info, dict):
        wrong["device_info"] = ["This field is required."]
    elif not isinstance(info.get("device_details"), dict):
        wrong["device_info"] = ["device_details is required."]
    if wrong or not isinstance(request_type, str) or not isinstance(info, dict):
        raise Invalid(wrong)
    return request_type, request_id, info
