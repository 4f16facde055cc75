"""HTTP as bytes on a socket: what a client library would not send, and answers as they come."""

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

SECONDS = 60.0
"""An answer that takes longer is none. Far more than any takes."""

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def message(
    method: str, target: str, headers: Headers = (), body: bytes = b"", *, chunked: bool = False
) -> bytes:
    """A request whose framing is right; all else is up to the caller."""
    lines = [f"{method} {target} HTTP/1.1", "Host: test"]
    lines += [f"{name}: {value}" for name, value in headers]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        half = len(body) // 2
        pieces = [piece for piece in (body[:half], body[half:]) if piece]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        body = framed + b"0\r\n\r\n"
    elif body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def exchange(url: str, sent: bytes, *, half_close: bool = False) -> Reply | None:
    """Send these bytes on a connection of their own and read one answer.

    None: the server closed the connection instead. With `half_close` the server sees that no
    more comes; without, it may wait for what the request announced.
    """
    with _connected(url) as connection:
        try:
            connection.sendall(sent)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It has read enough; its answer may be there.
        return _read(connection, sent.partition(b" ")[0].decode("latin-1"))


def everything(url: str, sent: bytes) -> bytes:
    """Send these bytes and read until the server closes the connection."""
    with _connected(url) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def _connected(url: str) -> socket.socket:
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    return socket.create_connection((address.hostname, address.port), SECONDS)


def _read(connection: socket.socket, method: str) -> Reply | None:
    answer = HTTPResponse(connection, method=method)
    try:
        answer.begin()
        body = answer.read()
    except (BadStatusLine, ConnectionResetError, BrokenPipeError):
        return None
    except HTTPException as error:
        raise AssertionError(f"what was answered is not HTTP: {error!r}") from error
    finally:
        answer.close()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return Reply(answer.status, headers, body)
