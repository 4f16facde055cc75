"""Records with everything filled in, of which a test names what it is about."""

from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import HealthCheck, settings

from flaas.domain.project import Project, ProjectStatus
from flaas.domain.round import Participant, Round, Submission

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)

unhurried: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For generated tests: how busy the machine is says nothing about the code."""


def project(**values: Any) -> Project:
    base: dict[str, Any] = {
        "id": 7,
        "create_date": NOW,
        "title": "Faces",
        "model": "CIFAR10_B20",
        "status": ProjectStatus.IN_PROGRESS,
    }
    return Project(**(base | values))


def round_(**values: Any) -> Round:
    base: dict[str, Any] = {
        "id": 11,
        "request_id": 12,
        "project_id": 7,
        "number": 3,
        "create_date": NOW,
        "number_of_samples": 150,
        "number_of_epochs": 20,
        "seed": 42524235,
        "model_sha256": "",
    }
    return Round(**(base | values))


def participant(**values: Any) -> Participant:
    base: dict[str, Any] = {"round_id": 11, "device_id": 1, "username": "phone-1"}
    return Participant(**(base | values))


def submission() -> Submission:
    return Submission(sha256="5a", size=4, at=NOW)
