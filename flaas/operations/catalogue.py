"""All operations."""

from typing import Final

from flaas.operations import (
    activate,
    assign,
    clean_up,
    countresponses,
    create_single_user,
    createusers,
    deactivate,
    events,
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
    verify,
)
from flaas.operations.operation import Operation

OPERATIONS: Final[dict[str, Operation]] = {
    module.OPERATION.name: module.OPERATION
    for module in (
        activate,
        assign,
        clean_up,
        countresponses,
        create_single_user,
        createusers,
        deactivate,
        events,
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
        verify,
    )
}
"""By name."""
