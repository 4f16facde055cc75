"""What a store of files says when it cannot do its work."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from flaas.domain.errors import NoRoom

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)

_log = logging.getLogger(__name__)


class FilesUnavailable(Exception):
    """One sentence that says why the server cannot start with this folder or bucket."""


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Raise `NoRoom` where the system has none left."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _log.error("the file store is full: %s", error.strerror)
        raise NoRoom("The server has no room left for files; try again later.") from error
