"""Initial models and samples: what operators upload before a project starts."""

import contextlib
from dataclasses import dataclass
from typing import Final

import msgspec

from flaas.aggregation.update import PARAMETER_BYTES
from flaas.domain.errors import Conflict, Invalid, Malformed
from flaas.domain.ports import Clock, FileMissing, Files, Model, Store
from flaas.domain.project import APPS, INT_MAX, DatasetType, is_model_name
from flaas.domain.round import initial_model_key, samples_key
from flaas.services.audit import record
from flaas.services.incoming import Incoming
from flaas.services.lease import held

FILE_BYTES_MAX: Final = 2 * 1024**3

RECORD_BYTES: Final = 3073
"""A CIFAR-10 record: a label byte and 3 × 1,024 pixel bytes."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    store: Store
    files: Files
    clock: Clock

    async def model(self, name: str) -> Model | None:
        """A registered model. One that lies in an existing bucket is registered when asked for."""
        model = await self.store.models.get(name)
        if model is not None or not is_model_name(name):
            return model
        with contextlib.suppress(FileMissing, Malformed):
            found = _Measured(self.files, name)
            async for piece in self.files.read(initial_model_key(name)):
                await found.write(piece)
            model = await found.finish()
            await self.store.models.put(model)
        return model

    async def receive_model(self, name: str) -> "IncomingModel":
        """Register a model by its initial weights, or replace those of a registered one.

        Raises `Invalid` for a bad name.
        """
        if not is_model_name(name):
            raise Invalid({"name": ["Expected up to 64 letters, digits, dots, - and _."]})
        # So that one that lies in an existing bucket is known when its length is compared.
        await self.model(name)
        return IncomingModel(self.store, self.files, self.clock, name)

    def receive_samples(self, dataset_type: str, index: int, app: int) -> "IncomingSamples":
        """Store the samples that accounts of that index train on.

        Raises `Invalid` for a place that does not exist.
        """
        wrong: dict[str, list[str]] = {}
        if dataset_type not in list(DatasetType):
            wrong["dataset_type"] = [f"Expected one of {', '.join(DatasetType)}."]
        if not 0 <= index <= INT_MAX:
            wrong["index"] = [f"Expected a number from 0 to {INT_MAX}."]
        if not 0 <= app < len(APPS):
            wrong["app"] = [f"Expected a number from 0 to {len(APPS) - 1}."]
        if wrong:
            raise Invalid(wrong)
        key = samples_key(dataset_type, index, app)
        return IncomingSamples(self.store, self.files, self.clock, key)


class _Measured(Incoming[Model]):
    """A model file that is only read through."""

    def __init__(self, files: Files, name: str, key: str | None = None) -> None:
        super().__init__(files, key, FILE_BYTES_MAX)
        self._name = name

    async def finish(self) -> Model:
        """What the file holds. Raises `Malformed` for one that is no model."""
        size = self._received
        if size == 0 or size % PARAMETER_BYTES:
            raise Malformed(
                f"A model is float32 parameters of {PARAMETER_BYTES} bytes; "
                f"this file has {size} bytes."
            )
        if self._non_finite.count:
            raise Malformed(f"The model has {self._non_finite.count} values that are not finite.")
        return Model(
            name=self._name,
            parameters=size // PARAMETER_BYTES,
            sha256=self._digest.hexdigest(),
        )


class IncomingModel(_Measured):
    """A model on its way in."""

    def __init__(self, store: Store, files: Files, clock: Clock, name: str) -> None:
        super().__init__(files, name, initial_model_key(name))
        self._store = store
        self._clock = clock

    async def finish(self) -> Model:
        """Raises `Malformed` for a file that is no model, and `Conflict` when its length would
        change under a project that uses it."""
        model = await super().finish()
        # One at a time, so that the file and what is known of it are of the same upload.
        async with held(self._store.leases, f"model:{model.name}") as lease:
            if lease is None:
                raise Conflict("Another upload of this model is being stored; send it again.")
            # Asked now and not when the upload began: a large one takes a while.
            known = await self._store.models.get(model.name)
            resized = known is not None and known.parameters != model.parameters
            if known and resized and await self._store.projects.using_model(model.name):
                raise Conflict(
                    f"Projects use the model {model.name} with {known.parameters} parameters; "
                    f"this file has {model.parameters}. Upload it under another name."
                )
            await self._commit()
            await self._store.models.put(model)
        before = msgspec.structs.asdict(known) if known else {}
        after = msgspec.structs.asdict(model)
        await record(self._store, self._clock(), "model uploaded", before=before, after=after)
        return model


class IncomingSamples(Incoming[int]):
    """Samples on their way in; `finish` returns how many records there are."""

    def __init__(self, store: Store, files: Files, clock: Clock, key: str) -> None:
        super().__init__(files, key, FILE_BYTES_MAX)
        self._store = store
        self._clock = clock
        self._place = key

    async def finish(self) -> int:
        """Raises `Malformed` for a file that does not hold whole records."""
        size = self._received
        if size == 0 or size % RECORD_BYTES:
            raise Malformed(
                f"A samples file holds whole records of {RECORD_BYTES} bytes; "
                f"this one has {size} bytes."
            )
        await self._commit()
        records = size // RECORD_BYTES
        after = {"file": self._place, "records": records, "sha256": self._digest.hexdigest()}
        await record(self._store, self._clock(), "samples uploaded", after=after)
        return records
