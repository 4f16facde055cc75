"""From submitted files to the next global model."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flaas.aggregation.fedavg import FedAvg
from flaas.aggregation.tree import levels
from flaas.aggregation.update import PARAMETER_BYTES
from flaas.domain.ports import FileMissing, Files
from flaas.domain.round import Participant, Round, global_model_key, update_key
from flaas.services.read_ahead import TOGETHER, Buffers, Incomplete, read_ahead
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
    """Averages updates in memory that neither their number nor the model's length changes.

    `memory`, in bytes, is what the sums may take. A longer model is averaged in slices, one after
    the other, for which the files are read in ranges; 64 MiB of buffers come on top.
    """

    files: Files
    runner: Runner
    memory: int

    async def means(
        self, round_: Round, participants: Sequence[Participant], parameters: int
    ) -> AsyncGenerator[NDArray[np.float32], None]:
        """The mean of the participants' updates, in consecutive slices of the model.

        `participants`, at least one, come in the order of their device ids. The same
        participants give the same bits. Raises `UpdatesDamaged`.
        """
        keys = [update_key(round_.project_id, round_.number, one.device_id) for one in participants]
        each = memory_a_parameter(len(keys))
        length = max(1, min(parameters, self.memory // each))
        buffers = Buffers(len(keys), length)
        intact = await self._have_length(keys, parameters * PARAMETER_BYTES)
        for start in range(0, parameters if intact else 0, length):
            mean = await self._mean(keys, start, min(length, parameters - start), buffers)
            if mean is None:
                intact = False
                break
            yield mean
        if not intact:
            raise UpdatesDamaged(await self.damage(round_, participants))

    async def publish(
        self, round_: Round, participants: Sequence[Participant], parameters: int
    ) -> str:
        """Write the mean of the participants' updates as the next round's model; its SHA-256.

        Raises `UpdatesDamaged`, and writes nothing then.
        """
        digest = hashlib.sha256()
        async with self.files.create(global_model_key(round_.project_id, round_.number + 1)) as out:
            async with aclosing(self.means(round_, participants, parameters)) as means:
                async for mean in means:
                    for start in range(0, len(mean), _WRITE_PARAMETERS):
                        piece = mean[start : start + _WRITE_PARAMETERS].tobytes()
                        await self.runner.run(digest.update, piece)
                        await out.write(piece)
            await out.commit()
        return digest.hexdigest()

    async def _have_length(self, keys: Sequence[str], size: int) -> bool:
        """Whether every file is there, and of `size` bytes."""
        for first in range(0, len(keys), TOGETHER):
            found = await asyncio.gather(*map(self.files.stat, keys[first : first + TOGETHER]))
            if any(info is None or info.size != size for info in found):
                return False
        return True

    async def _mean(
        self, keys: Sequence[str], start: int, length: int, buffers: Buffers
    ) -> NDArray[np.float32] | None:
        """Of `length` parameters from `start` on; None where the files make none."""
        average = FedAvg(length)
        try:
            async with aclosing(read_ahead(self.files, keys, start, length, buffers)) as reading:
                async for chunk, updates in reading:
                    add = _adder(average, chunk.offset, updates)
                    await self.runner.split(chunk.parameters, add)
                    if chunk.ends_updates:
                        await self.runner.run(average.end_updates, chunk.count)
        except Incomplete:
            return None
        mean = await self.runner.run(average.model)
        # Updates were finite when they came, and so is the mean of finite numbers.
        return mean if await self.runner.run(_is_finite, mean) else None

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


def memory_a_parameter(updates: int) -> int:
    """Bytes: an accumulator a level of the tree, and the mean, once for a piece that is written."""
    return 8 * levels(updates) + 2 * PARAMETER_BYTES


def _adder(
    average: FedAvg, offset: int, updates: Sequence[NDArray[np.float32]]
) -> Callable[[int, int], None]:
    average.begin()

    def add(start: int, end: int) -> None:
        average.add(offset + start, [update[start:end] for update in updates])

    return add


def _is_finite(values: NDArray[np.float32]) -> bool:
    return bool(np.isfinite(values).all())
