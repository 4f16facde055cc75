"""A project in memory: what each step of a transition does to it, and phones that answer."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec.structs import replace

from flaas.domain.admission import Accept, Call, admit
from flaas.domain.decision import Instruction, Rest, Snapshot, Train, decide
from flaas.domain.project import Project, ProjectStatus
from flaas.domain.round import Member, Participant, Phase, Round, RoundStatus
from flaas.domain.transitions import Step, steps

from . import records
from .records import NOW


class Died(Exception):
    """The process is gone, between two steps."""


@dataclass
class World:
    project: Project
    devices: tuple[Member, ...]
    answering: list[int]
    """How many devices answer in each round; all of them in the rounds that come after."""
    deaths: frozenset[int] = frozenset()
    """Before which steps the process dies, by how many were begun until then."""

    now: datetime = NOW
    rounds: dict[int, Round] = field(default_factory=dict)
    models: dict[int, str] = field(default_factory=dict)
    """What the model of a round was made of."""
    parts: dict[int, dict[int, Participant]] = field(default_factory=dict)
    pushed: set[int] = field(default_factory=set)
    begun: int = 0
    taken: list[Step] = field(default_factory=list)

    def live(self) -> None:
        """Tick until nothing will happen any more; after each death, start again."""
        while True:
            try:
                self.tick()
            except Died:
                self.answer_late()
                continue
            if self.project.status is not ProjectStatus.IN_PROGRESS:
                return
            self.answer()

    def tick(self) -> None:
        """Take the steps of one instruction after the other, until the next is to rest."""
        while not isinstance(instruction := decide(self.look(), self.now), Rest):
            for step in steps(instruction):
                self.begun += 1
                if self.begun - 1 in self.deaths:
                    raise Died
                self.take(step, instruction)
                self.taken.append(step)

    def look(self) -> Snapshot:
        round_ = self.open_round()
        parts = self.parts.get(round_.number, {}).values() if round_ else ()
        return Snapshot(
            project=self.project,
            round=round_,
            completed_rounds=sum(
                one.status is RoundStatus.COMPLETE for one in self.rounds.values()
            ),
            next_number=max(self.rounds, default=-1) + 1,
            registered=len(self.devices),
            eligible=self.devices,
            asked=sum(part.requested for part in parts),
            answered=sum(part.reported_at is not None for part in parts),
        )

    def open_round(self) -> Round | None:
        """While one is sealed, the next exists already: the lower number is the open one."""
        is_open = (RoundStatus.WAIT, RoundStatus.TRAINING)
        numbers = [number for number, one in self.rounds.items() if one.status in is_open]
        return self.rounds[min(numbers)] if numbers else None

    def take(self, step: Step, instruction: Instruction) -> None:
        """What a step does. Every case leaves the same state when it is taken again."""
        round_ = self.open_round()
        number = round_.number if round_ else -1
        following = number + 1 if round_ else self.look().next_number
        match step:
            case Step.COPY_INITIAL_MODEL:
                self.models[following] = "initial"
            case Step.FIND_LAST_RESULT:
                assert following in self.models
            case Step.OPEN_ROUND:
                self.rounds.setdefault(following, records.round_(number=following))
            case Step.FIX_COHORT:
                assert isinstance(instruction, Train)
                self.parts[number] = {
                    device_id: records.participant(device_id=device_id, requested=True)
                    for device_id, _ in instruction.cohort
                }
            case Step.BEGIN_TRAINING:
                self._change(number, (RoundStatus.WAIT, None), (RoundStatus.TRAINING, Phase.NOTIFY))
                self.rounds[number] = replace(self.rounds[number], start_training_date=self.now)
            case Step.QUEUE_PUSHES:
                self.pushed.add(number)
            case Step.END_NOTIFY:
                self._change_phase(number, Phase.NOTIFY, None)
            case Step.BEGIN_CLOSING:
                self._change_phase(number, None, Phase.CLOSING)
            case Step.FREEZE_ANSWERS:
                for device_id, part in self.parts[number].items():
                    counted = part.reported_at is not None
                    self.parts[number][device_id] = replace(part, counted=counted)
            case Step.END_CLOSING:
                self._change_phase(number, Phase.CLOSING, Phase.COUNTED)
            case Step.PUBLISH_AGGREGATE:
                counted = [who for who, part in self.parts[number].items() if part.counted]
                self.models[following] = f"mean of {counted} from ({self.models[number]})"
            case Step.CARRY_MODEL:
                self.models[following] = self.models[number]
            case Step.ADVANCE_PROJECT:
                current = max(self.project.current_round, following)
                self.project = replace(self.project, current_round=current)
            case Step.SEAL_COMPLETE:
                self._seal(number, RoundStatus.COMPLETE)
            case Step.SEAL_INVALID:
                self._seal(number, RoundStatus.INVALID)
            case Step.FINISH_PROJECT:
                self.project = replace(self.project, status=ProjectStatus.COMPLETED)

    def answer(self) -> None:
        """The devices that do answer in the open round; where they have, an hour passes."""
        round_ = self.open_round()
        assert round_ is not None
        assert round_.number in self.pushed, "nobody trains without a train request"
        script = dict(enumerate(self.answering))
        count = script.get(round_.number, len(self.devices))
        new = [self._report(round_, device_id) for device_id, _ in self.devices[:count]]
        if not any(new):
            self.now += timedelta(minutes=self.project.max_training_time)

    def answer_late(self) -> None:
        """While a round is being closed, everybody who did not answer tries to."""
        round_ = self.open_round()
        if round_ is not None and round_.phase in (Phase.CLOSING, Phase.COUNTED):
            for device_id, _ in self.devices:
                self._report(round_, device_id)

    def _report(self, round_: Round, device_id: int) -> bool:
        part = replace(self.parts[round_.number][device_id], submission=records.submission())
        verdict = admit(Call.REPORT, round_, part)
        if not (isinstance(verdict, Accept) and verdict.record):
            return False
        self.parts[round_.number][device_id] = replace(part, reported_at=self.now)
        return True

    def _change(
        self,
        number: int,
        old: tuple[RoundStatus, Phase | None],
        new: tuple[RoundStatus, Phase | None],
    ) -> None:
        """A compare-and-set."""
        round_ = self.rounds[number]
        if (round_.status, round_.phase) == old:
            self.rounds[number] = replace(round_, status=new[0], phase=new[1])

    def _change_phase(self, number: int, old: Phase | None, new: Phase | None) -> None:
        self._change(number, (RoundStatus.TRAINING, old), (RoundStatus.TRAINING, new))

    def _seal(self, number: int, status: RoundStatus) -> None:
        self._change(number, (RoundStatus.TRAINING, Phase.COUNTED), (status, None))
