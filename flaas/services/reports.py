"""What operators read about rounds."""

from dataclasses import dataclass

from flaas.domain.errors import NotFound
from flaas.domain.performance import Spread, spread
from flaas.domain.ports import Store
from flaas.domain.round import RoundStatus


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """`loss` and `accuracy` are over the devices that reported them."""

    number: int
    status: RoundStatus
    asked: int
    joined: int
    answered: int
    loss: Spread | None
    accuracy: Spread | None


@dataclass(frozen=True, slots=True)
class Reports:
    store: Store

    async def rounds(self, project_id: int) -> list[RoundSummary]:
        """Every round of a project, in order. Raises `NotFound`."""
        if await self.store.projects.get(project_id) is None:
            raise NotFound(f"There is no project {project_id}.")
        summaries = []
        for round_ in await self.store.rounds.all(project_id):
            participants = await self.store.participants.all(round_.id)
            results = [one.results for one in participants if one.results]
            summaries.append(
                RoundSummary(
                    number=round_.number,
                    status=round_.status,
                    asked=sum(one.requested for one in participants),
                    joined=sum(one.joined_at is not None for one in participants),
                    answered=sum(one.answered for one in participants),
                    loss=spread(one.loss for one in results),
                    accuracy=spread(one.accuracy for one in results),
                )
            )
        return summaries
