"""Checks, afterwards, that every global model is what its round's updates make."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from flaas.domain.errors import NotFound
from flaas.domain.ports import Store
from flaas.domain.round import Round, RoundStatus, global_model_key
from flaas.services.aggregation import Aggregation, UpdatesDamaged


@dataclass(frozen=True, slots=True)
class Verified:
    """A closed round, held against the files. `wrong` has a line for each thing that is."""

    number: int
    status: RoundStatus
    updates: int
    """That went into the model."""
    sha256: str
    """Of the model that the round made, or carried on."""
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Verification:
    store: Store
    aggregation: Aggregation

    async def rounds(self, project_id: int, number: int | None) -> AsyncIterator[Verified]:
        """Verify every closed round of a project, or one. Raises `NotFound`."""
        project = await self.store.projects.get(project_id)
        if project is None:
            raise NotFound(f"There is no project {project_id}.")
        model = await self.store.models.get(project.model)
        if model is None:
            raise NotFound(f"The model {project.model} is not registered.")
        rounds = await self.store.rounds.all(project_id)
        chosen = [one for one in rounds if number in (None, one.number)]
        if number is not None and not chosen:
            raise NotFound(f"Project {project_id} has no round {number}.")
        for round_ in chosen:
            if round_.status is RoundStatus.COMPLETE:
                yield await self._complete(round_, model.parameters)
            elif round_.status is RoundStatus.INVALID:
                yield await self._carried(round_)

    async def _complete(self, round_: Round, parameters: int) -> Verified:
        counted = await self.store.participants.counted(round_.id)
        expected = round_.result_sha256 or ""
        verified = Verified(round_.number, round_.status, len(counted), expected)
        damage = await self.aggregation.damage(round_, counted)
        verified.wrong.extend(
            f"the update of device {device_id}: {reason}" for device_id, reason in damage.items()
        )
        await self._check_files(round_, expected, verified)
        try:
            digest = hashlib.sha256()
            async for mean in self.aggregation.means(round_, counted, parameters):
                await self.aggregation.runner.run(digest.update, mean.data)
        except UpdatesDamaged:
            verified.wrong.append("the updates make no model any more")
        else:
            if digest.hexdigest() != expected:
                verified.wrong.append("the updates make another model than the recorded one")
        return verified

    async def _carried(self, round_: Round) -> Verified:
        verified = Verified(round_.number, round_.status, 0, round_.model_sha256)
        await self._check_files(round_, round_.model_sha256, verified)
        return verified

    async def _check_files(self, round_: Round, result: str, verified: Verified) -> None:
        """The model that the round began from, and the one that it left."""
        for number, name, expected in (
            (round_.number, "base", round_.model_sha256),
            (round_.number + 1, "resulting", result),
        ):
            found = await self.aggregation.sha256(global_model_key(round_.project_id, number))
            if found is None:
                verified.wrong.append(f"the {name} model's file is missing")
            elif found != expected:
                verified.wrong.append(f"the {name} model's file is not the recorded one")
