"""Which files of a project somebody owns: a round its model, a participant what it submitted.

A file is written before what names it, so a process that died in between, or a project deleted
while a phone uploads, leaves a file that nothing will ever name. Whoever looks lists the files
first and reads the rounds after that: what was in place by then has its owner by then.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flaas.domain.round import MODEL_FILE, RESULTS_FILE, Participant, Round, RoundStatus

_PLACE: Final = re.compile(
    rf"projects/(\d{{1,10}})/(\d{{1,10}})/(?:(\d{{1,10}})/({RESULTS_FILE}|{MODEL_FILE})|{MODEL_FILE})"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a project a file is. Without a device it is a global model."""

    project_id: int
    number: int
    """Of the round."""
    device_id: int | None
    is_results: bool


def place_of(key: str) -> Place | None:
    """None for a key that this server does not write: that file is somebody else's."""
    match = _PLACE.fullmatch(key)
    if match is None:
        return None
    project_id, number, device_id, name = match.groups()
    return Place(
        int(project_id),
        int(number),
        None if device_id is None else int(device_id),
        name == RESULTS_FILE,
    )


def why_ownerless(
    place: Place, rounds: Mapping[int, Round] | None, participant: Participant | None
) -> str | None:
    """Why nothing will ever name the file; None where something does, or may.

    `rounds` are the project's by number, None for no such project; `participant` is the
    device's part in the file's round.
    """
    if rounds is None:
        return "there is no such project"
    if place.device_id is None:
        # The next round's model lies there before the round exists.
        is_ahead = place.number > len(rounds)
        return "there is no such round" if is_ahead else None
    round_ = rounds.get(place.number)
    if round_ is None:
        return "there is no such round"
    if round_.status not in (RoundStatus.COMPLETE, RoundStatus.INVALID):
        return None
    if place.is_results:
        asked = participant is not None and participant.requested
        return None if asked else "the device was not asked"
    if participant is None or participant.submission is None:
        return "no update of this device is recorded"
    return None
