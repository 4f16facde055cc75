"""Every route there is."""

from typing import Final

from flaas.web.admin.operations import Command, Report, ReportList
from flaas.web.admin.session import Login, Logout
from flaas.web.admin.uploads import PutModel, PutSamples
from flaas.web.api.devices import (
    GetModel,
    GetSamples,
    JoinRound,
    ReportAvailability,
    SubmitResults,
)
from flaas.web.api.projects import ProjectDetail, ProjectList
from flaas.web.api.submissions import SubmitModel
from flaas.web.api.tokens import Token, TokenRefresh
from flaas.web.base import Handler
from flaas.web.health import Health

_PIECES: Final = {"": "[^/]+", "n": "[0-9]+", "rest": ".+?"}

# In a path below, {name} matches a piece of the path, {name:n} a number, {name:rest} many pieces.
ROUTES: Final[list[tuple[str, type[Handler]]]] = [
    ("/healthz", Health),
    ("/api/token", Token),
    ("/api/token/refresh", TokenRefresh),
    ("/api/project", ProjectList),
    ("/api/project/{project_id:n}", ProjectDetail),
    ("/api/project/{project_id:n}/join-round/{number:n}", JoinRound),
    ("/api/project/{project_id:n}/get-model/{number:n}", GetModel),
    ("/api/project/{project_id:n}/submit-model/{number:n}/{file_name}", SubmitModel),
    ("/api/project/{project_id:n}/submit-results/{number:n}/{file_name}", SubmitResults),
    ("/api/get-samples/{dataset_type}/{app:n}", GetSamples),
    ("/api/report-availability", ReportAvailability),
    ("/admin/login", Login),
    ("/admin/logout", Logout),
    ("/admin/reports", ReportList),
    ("/admin/reports/{name}", Report),
    ("/admin/reports/{name}/{arguments:rest}", Report),
    ("/admin/commands/{name}", Command),
    ("/admin/models/{name}", PutModel),
    ("/admin/samples/{dataset_type}/{index:n}/{app:n}", PutSamples),
]


def pattern(path: str) -> str:
    """The path as a regular expression that takes it with and without a trailing slash.

    Both are served directly: a client that is redirected turns its POST into a GET.
    """
    parts = []
    for part in path.split("/"):
        if part.startswith("{"):
            name, _, kind = part.strip("{}").partition(":")
            parts.append(f"(?P<{name}>{_PIECES[kind]})")
        else:
            parts.append(part)
    return "/".join(parts) + "/?"
