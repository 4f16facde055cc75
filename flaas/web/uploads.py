"""Bodies that are stored as they come in."""

from abc import abstractmethod
from typing import Generic, TypeVar

from flaas.services.incoming import Incoming
from flaas.web.base import Handler
from flaas.web.context import Context

T = TypeVar("T")


class UploadHandler(Handler, Generic[T]):
    """Opens an `Incoming` before the body is read and feeds it; the verb calls `finish_upload`."""

    def initialize(self, context: Context) -> None:
        super().initialize(context)
        self._incoming: Incoming[T] | None = None
        self._finishing = False

    @abstractmethod
    async def open(self) -> Incoming[T]:
        """Admit the upload, or raise."""

    async def begin(self) -> None:
        incoming = await self.open()
        if (self.announced_length or 0) > incoming.limit:
            raise incoming.too_long()
        self._incoming = await incoming.__aenter__()

    async def receive(self, piece: bytes) -> None:
        if self._incoming is not None:
            await self._incoming.write(piece)

    async def finish_upload(self) -> T:
        """The body is whole: store it."""
        if self._incoming is None:
            raise RuntimeError("the upload was not opened")
        self._finishing = True
        try:
            return await self._incoming.finish()
        finally:
            await self._incoming.__aexit__(None, None, None)

    def abandon(self) -> None:
        # Called from where nothing can be awaited. What is being stored already is left to end:
        # a phone that hung up a moment too early will ask again and find it.
        if self._incoming is not None and not self._finishing:
            self._finishing = True
            self.context.clean_up(self._incoming.__aexit__(None, None, None))

    @property
    def body_seconds(self) -> float:
        return self.context.upload_seconds
