"""What a phone may do, by the state of the round and by its own part in it.

One table decides every call; services carry out what it says. It is the table of the wire
protocol, and nothing else says yes or no to a phone.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from flaas.domain.errors import Conflict, FlaasError, Forbidden, Gone
from flaas.domain.round import Participant, Phase, Round, RoundStatus


class Call(Enum):
    JOIN = auto()
    SUBMIT_MODEL = auto()
    REPORT = auto()
    SUBMIT_RESULTS = auto()


class Period(Enum):
    """The three columns of the table."""

    WAITS = auto()
    TRAINS = auto()
    CLOSED = auto()


class Standing(Enum):
    """How far a device is in a round: the rows of the table."""

    NOT_ASKED = auto()
    ASKED = auto()
    SUBMITTED = auto()
    REPORTED = auto()


@dataclass(frozen=True, slots=True)
class Accept:
    """Go on. `record` says whether anything is written; a repeat of an act writes nothing."""

    status: int
    record: bool = True


@dataclass(frozen=True, slots=True)
class Refuse:
    error: type[FlaasError]
    detail: str

    def raised(self) -> FlaasError:
        return self.error(self.detail)


@dataclass(frozen=True, slots=True)
class Compare:
    """Only the bytes decide: those that are stored already are a repeat, others are refused."""

    same: Accept
    other: Refuse


Verdict = Accept | Refuse | Compare

_SEEN: Final = Accept(200, record=False)
_JOINED: Final = Accept(200)
_STORED: Final = Accept(201)
_REPEAT: Final = Accept(201, record=False)

_NOT_STARTED: Final = Refuse(Conflict, "The round has not started; wait for its train request.")
_NOT_ASKED: Final = Refuse(Forbidden, "This device was not asked to train in this round.")
_OVER: Final = Refuse(Gone, "The round is over; wait for the next train request.")
_SUBMIT_FIRST: Final = Refuse(Conflict, "Submit the model first, then report.")
_FINAL: Final = Refuse(Conflict, "The model was reported already and can no longer change.")
_SAME_OR_OVER: Final = Compare(same=_SEEN, other=_OVER)
_SAME_OR_FINAL: Final = Compare(same=_SEEN, other=_FINAL)

# fmt: off
_TABLE: Final[dict[tuple[Call, Standing], tuple[Verdict, Verdict, Verdict]]] = {
    #                                           round waits   round trains     round closed
    (Call.JOIN, Standing.NOT_ASKED):           (_SEEN,        _JOINED,         _SEEN),
    (Call.JOIN, Standing.ASKED):               (_JOINED,      _JOINED,         _SEEN),
    (Call.JOIN, Standing.SUBMITTED):           (_JOINED,      _JOINED,         _SEEN),
    (Call.JOIN, Standing.REPORTED):            (_JOINED,      _JOINED,         _SEEN),
    (Call.SUBMIT_MODEL, Standing.NOT_ASKED):   (_NOT_STARTED, _NOT_ASKED,      _NOT_ASKED),
    (Call.SUBMIT_MODEL, Standing.ASKED):       (_NOT_STARTED, _STORED,         _OVER),
    (Call.SUBMIT_MODEL, Standing.SUBMITTED):   (_NOT_STARTED, _STORED,         _SAME_OR_OVER),
    (Call.SUBMIT_MODEL, Standing.REPORTED):    (_NOT_STARTED, _SAME_OR_FINAL,  _SAME_OR_OVER),
    (Call.REPORT, Standing.NOT_ASKED):         (_NOT_STARTED, _SUBMIT_FIRST,   _OVER),
    (Call.REPORT, Standing.ASKED):             (_NOT_STARTED, _SUBMIT_FIRST,   _OVER),
    (Call.REPORT, Standing.SUBMITTED):         (_NOT_STARTED, _STORED,         _REPEAT),
    (Call.REPORT, Standing.REPORTED):          (_NOT_STARTED, _REPEAT,         _REPEAT),
    (Call.SUBMIT_RESULTS, Standing.NOT_ASKED): (_NOT_STARTED, _NOT_ASKED,      _NOT_ASKED),
    (Call.SUBMIT_RESULTS, Standing.ASKED):     (_NOT_STARTED, _STORED,         _STORED),
    (Call.SUBMIT_RESULTS, Standing.SUBMITTED): (_NOT_STARTED, _STORED,         _STORED),
    (Call.SUBMIT_RESULTS, Standing.REPORTED):  (_NOT_STARTED, _STORED,         _STORED),
}
# fmt: on


def period(round_: Round) -> Period:
    """A round that has begun to close takes no more answers, so to a phone it is closed."""
    if round_.status is RoundStatus.WAIT:
        return Period.WAITS
    if round_.status is RoundStatus.TRAINING and round_.phase in (None, Phase.NOTIFY):
        return Period.TRAINS
    return Period.CLOSED


def standing(participant: Participant | None) -> Standing:
    if participant is None or not participant.requested:
        return Standing.NOT_ASKED
    if participant.submission is None:
        return Standing.ASKED
    if participant.reported_at is None:
        return Standing.SUBMITTED
    return Standing.REPORTED


def admit(call: Call, round_: Round, participant: Participant | None) -> Verdict:
    """The verdict on `call` by a device that is assigned to the round's project."""
    waits, trains, closed = _TABLE[call, standing(participant)]
    return {Period.WAITS: waits, Period.TRAINS: trains, Period.CLOSED: closed}[period(round_)]


def may_fetch_model(number: int, rounds: dict[int, Round]) -> bool:
    """Whether the global model that round `number` starts from is published.

    `rounds` holds at least the rounds `number` and `number - 1` where they exist. After the last
    round of a project its result can be fetched although no round starts from it.
    """
    before = rounds.get(number - 1)
    return number in rounds or (before is not None and before.status is RoundStatus.COMPLETE)
