"""From submitted files to the next global model."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flaas.aggregation.fedavg import FedAvg
from flaas.aggregation.update import PARAMETER_BYTES, as_parameters
from flaas.domain.ports import FileMissing, Files
from flaas.domain.round import Participant, Round, global_model_key, update_key
from flaas.services.runner import Runner

_WRITE_PARAMETERS: Final = 1 << 18
"""A megabyte a write."""


class UpdatesDamaged(Exception):
    """There is no aggregate, since files in the store are not what their devices submitted:
    device id → what is wrong.

    Found where a file is missing, of another length, or makes the mean something that is not
    finite. Every file is hashed then; hashing each one always would cost more than the sum.
    """

    def __init__(self, damage: dict[int, str]) -> None:
        super().__init__(f"{len(damage)} updates are damaged in the file store")
        self.damage = damage


@dataclass(frozen=True, slots=True)
class Aggregation:
    files: Files
    runner: Runner

    async def mean(
        self, round_: Round, participants: Sequence[Participant], parameters: int
    ) -> NDArray[np.float32]:
        """The mean of the participants' updates, shape (parameters,).

        `participants`, at least one, come in the order of their device ids. The same
        participants give the same bits. Raises `UpdatesDamaged`.
        """
        average = FedAvg(parameters)
        intact = True
        for participant in participants:
            intact = intact and await self._add(average, round_, participant, parameters)
        model = await self.runner.run(average.model) if intact else None
        # Updates were finite when they came, and so is the mean of finite numbers.
        if model is None or not await self.runner.run(lambda: bool(np.isfinite(model).all())):
            raise UpdatesDamaged(await self.damage(round_, participants))
        return model

    async def publish(
        self, round_: Round, participants: Sequence[Participant], parameters: int
    ) -> str:
        """Write the mean of the participants' updates as the next round's model; its SHA-256.

        Raises `UpdatesDamaged`, and writes nothing then.
        """
        model = await self.mean(round_, participants, parameters)
        digest = hashlib.sha256()
        async with self.files.create(global_model_key(round_.project_id, round_.number + 1)) as out:
            for start in range(0, parameters, _WRITE_PARAMETERS):
                piece = model[start : start + _WRITE_PARAMETERS].tobytes()
                digest.update(piece)
                await out.write(piece)
            await out.commit()
        return digest.hexdigest()

    async def _add(
        self, average: FedAvg, round_: Round, participant: Participant, parameters: int
    ) -> bool:
        """False where the file is missing or of another length."""
        key = update_key(round_.project_id, round_.number, participant.device_id)
        offset, rest = 0, b""
        try:
            async for piece in self.files.read(key):
                # A store cuts its pieces where it likes, also within a parameter.
                data = rest + piece if rest else piece
                whole = len(data) - len(data) % PARAMETER_BYTES
                values, rest = as_parameters(data[:whole]), data[whole:]
                if offset + len(values) > parameters:
                    return False
                await self.runner.run(average.add, offset, values)
                offset += len(values)
        except FileMissing:
            return False
        if rest or offset != parameters:
            return False
        await self.runner.run(average.end_update)
        return True

    async def damage(self, round_: Round, participants: Sequence[Participant]) -> dict[int, str]:
        """Whose files are not what was submitted: device id → what is wrong."""
        damage: dict[int, str] = {}
        for participant in participants:
            key = update_key(round_.project_id, round_.number, participant.device_id)
            found = await self.sha256(key)
            submission = participant.submission
            if found is None:
                damage[participant.device_id] = "the file is missing"
            elif submission is None or found != submission.sha256:
                damage[participant.device_id] = "the file is not what was submitted"
        return damage

    async def sha256(self, key: str) -> str | None:
        """Of the file that is stored there now; None where there is none."""
        digest = hashlib.sha256()
        try:
            async for piece in self.files.read(key):
                await self.runner.run(digest.update, piece)
        except FileMissing:
            return None
        return digest.hexdigest()
