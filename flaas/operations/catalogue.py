"""All operations."""

from typing import Final

from flaas.operations import (
    activate,
    assign,
    countresponses,
    create_single_user,
    createusers,
    deactivate,
    extract_device_status_responses,
    extract_projects_start,
    extract_train_responses,
    joinedrounds,
    performance,
    performance_multirounds,
    projectresponses,
    responses_per_user,
    roundstats,
    set_password,
    tick,
)
from flaas.operations.operation import Operation

OPERATIONS: Final[dict[str, Operation]] = {
    module.OPERATION.name: module.OPERATION
    for module in (
        activate,
        assign,
        countresponses,
        create_single_user,
        createusers,
        deactivate,
        extract_device_status_responses,
        extract_projects_start,
        extract_train_responses,
        joinedrounds,
        performance,
        performance_multirounds,
        projectresponses,
        responses_per_user,
        roundstats,
        set_password,
        tick,
    )
}
"""By name."""
