"""Bodies that are stored as they come in."""

from abc import abstractmethod
from typing import Generic, TypeVar

from flaas.domain.errors import TooSlow
from flaas.services.incoming import Incoming
from flaas.web.base import Handler
from flaas.web.context import Context
from flaas.web.turns import Pace

T = TypeVar("T")


class UploadHandler(Handler, Generic[T]):
    """Opens an `Incoming` before the body is read and feeds it; the verb calls `finish_upload`.

    So many at a time: each holds a part of its file in memory.
    """

    def initialize(self, context: Context) -> None:
        super().initialize(context)
        self._incoming: Incoming[T] | None = None
        self._finishing = False
        self._pace = Pace(self._too_slow)

    @abstractmethod
    async def open(self) -> Incoming[T]:
        """Admit the upload, or raise."""

    async def begin(self) -> None:
        incoming = await self.open()
        if (self.announced_length or 0) > incoming.limit:
            raise incoming.too_long()
        await self.context.uploads.take()
        try:
            self._incoming = await incoming.__aenter__()
        except BaseException:
            self.context.uploads.give_back()
            raise
        self._pace.wait()

    async def receive(self, piece: bytes) -> None:
        if self._incoming is None or self._finishing:
            return
        self._pace.stop()
        self._pace.came(len(piece))
        await self._incoming.write(piece)
        # What took long may have outlived the connection.
        if not self._finishing:
            self._pace.wait()

    async def finish_upload(self) -> T:
        """The body is whole: store it."""
        if self._incoming is None:
            raise RuntimeError("the upload was not opened")
        self._finishing = True
        self._pace.stop()
        try:
            return await self._incoming.finish()
        finally:
            # A store that fails may take long to take back what it has; the answer does not wait.
            self.context.clean_up(self._close(self._incoming))

    def abandon(self) -> None:
        # Called from where nothing can be awaited. What is being stored already is left to end:
        # a phone that hung up a moment too early will ask again and find it.
        if self._incoming is not None and not self._finishing:
            self._finishing = True
            self._pace.stop()
            self.context.clean_up(self._close(self._incoming))

    async def _close(self, incoming: Incoming[T]) -> None:
        try:
            await incoming.__aexit__(None, None, None)
        finally:
            self.context.uploads.give_back()

    def _too_slow(self) -> None:
        self._refuse(TooSlow("The file comes too slowly; send it again."))

    @property
    def body_seconds(self) -> float:
        return self.context.upload_seconds
