"""Records as phones read them. Fields may be added here, never removed or retyped."""

from typing import Any

from flaas.domain.project import Project
from flaas.domain.round import Round


def project_view(project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "create_date": project.create_date,
        "title": project.title,
        "description": project.description,
        "status": project.status,
        "model": project.model,
        "dataset": project.dataset,
        "dataset_type": project.dataset_type,
        "training_mode": project.training_mode,
        "number_of_rounds": project.number_of_rounds,
        "number_of_apps": project.number_of_apps,
        "number_of_samples": project.number_of_samples,
        "number_of_epochs": project.number_of_epochs,
        "responses_ratio_threshold": project.responses_ratio_threshold,
        "max_training_time": project.max_training_time,
        "valid_round_training_threshold": project.valid_round_training_threshold,
        "power_plugged_only": project.power_plugged_only,
        "battery_level_threshold": project.battery_level_threshold,
        "seed": project.seed,
        "current_round": project.current_round,
    }


def round_view(project: Project, round_: Round) -> dict[str, Any]:
    return {
        "id": round_.id,
        "create_date": round_.create_date,
        "round_number": round_.number,
        "status": round_.status,
        "start_training_date": round_.start_training_date,
        "stop_training_date": round_.stop_training_date,
        "number_of_samples": round_.number_of_samples,
        "number_of_epochs": round_.number_of_epochs,
        "seed": round_.seed,
        "project": project.id,
        "model": project.model,
        "dataset": project.dataset,
        "dataset_type": project.dataset_type,
        "training_mode": project.training_mode,
        "number_of_apps": project.number_of_apps,
    }
