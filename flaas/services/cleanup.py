"""Files that nobody owns: found, and deleted when an operator says so."""

from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from flaas.domain.ownership import Place, place_of, why_ownerless
from flaas.domain.ports import Clock, FileInfo, Files, Store
from flaas.domain.round import Participant, Round
from flaas.services.audit import record

_UNFINISHED_AFTER: Final = timedelta(days=1)
"""Without a commit for that long, what was begun is a killed process's."""

_PAGE: Final = 1_000
"""Files that are looked at together."""


@dataclass(frozen=True, slots=True)
class Ownerless:
    file: FileInfo
    reason: str


@dataclass(frozen=True, slots=True)
class CleanUp:
    store: Store
    files: Files
    clock: Clock

    async def find(self) -> AsyncIterator[Ownerless]:
        """Every file of a project that nobody owns, in the order of the keys."""
        page: list[tuple[FileInfo, Place]] = []
        async for info in self.files.walk("projects/"):
            place = place_of(info.key)
            if place is not None:
                page.append((info, place))
            if len(page) == _PAGE:
                async for found in self._judge(page):
                    yield found
                page = []
        async for found in self._judge(page):
            yield found

    async def delete(self) -> AsyncIterator[Ownerless]:
        """Delete them, and take back what was begun long ago and never finished."""
        deleted = 0
        async for found in self.find():
            await self.files.delete(found.file.key)
            deleted += 1
            yield found
        unfinished = await self.files.discard_unfinished(self.clock() - _UNFINISHED_AFTER)
        if deleted or unfinished:
            counts = {"files": deleted, "unfinished": unfinished}
            await record(self.store, self.clock(), "files without an owner deleted", after=counts)

    async def _judge(self, page: list[tuple[FileInfo, Place]]) -> AsyncIterator[Ownerless]:
        """Read what names these files, all of it later than the files themselves were seen."""
        rounds = {one: await self._rounds(one) for one in {place.project_id for _, place in page}}
        devices = defaultdict[tuple[int, int], list[int]](list)
        for _, place in page:
            if place.device_id is not None:
                devices[place.project_id, place.number].append(place.device_id)
        participants: dict[tuple[int, int, int | None], Participant] = {}
        for (project_id, number), device_ids in devices.items():
            round_ = (rounds[project_id] or {}).get(number)
            if round_ is not None:
                for one in await self.store.participants.of_devices(round_.id, device_ids):
                    participants[project_id, number, one.device_id] = one
        for info, place in page:
            participant = participants.get((place.project_id, place.number, place.device_id))
            reason = why_ownerless(place, rounds[place.project_id], participant)
            if reason is not None:
                yield Ownerless(info, reason)

    async def _rounds(self, project_id: int) -> dict[int, Round] | None:
        if await self.store.projects.get(project_id) is None:
            return None
        return {one.number: one for one in await self.store.rounds.all(project_id)}
