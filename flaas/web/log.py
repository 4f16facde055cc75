"""The access log."""

import logging
from typing import Final

from tornado.web import RequestHandler

_log: Final = logging.getLogger("flaas.access")


def log_request(handler: RequestHandler) -> None:
    """One line a request. Paths hold no secrets: tokens travel in headers and bodies."""
    request, status = handler.request, handler.get_status()
    # A 503 is somebody else's trouble, or our own stop.
    if status >= 500 and status != 503:
        level = logging.ERROR
    else:
        level = logging.INFO if status < 400 else logging.WARNING
    _log.log(
        level,
        "%d %s %s %s %.1fms",
        status,
        request.method,
        request.path,
        request.remote_ip,
        1000 * request.request_time(),
    )
