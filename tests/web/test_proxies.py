"""Who calls, and by TLS or not, behind so many proxies."""

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from flaas.web.proxies import look_behind


def behind(proxies: int, headers: list[tuple[str, str]]) -> tuple[str | None, str]:
    given = HTTPHeaders({"Host": "localhost"})
    for name, value in headers:
        given.add(name, value)
    request = HTTPServerRequest(start_line=RequestStartLine("GET", "/", "HTTP/1.1"), headers=given)
    request.remote_ip, request.protocol = "10.0.0.1", "http"
    look_behind(request, proxies)
    return request.remote_ip, request.protocol


FOR, PROTO, REAL = "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-Ip"


@pytest.mark.parametrize(
    ("proxies", "headers", "found"),
    [
        (0, [(FOR, "192.0.2.1"), (PROTO, "https"), (REAL, "192.0.2.1")], ("10.0.0.1", "http")),
        (1, [], ("10.0.0.1", "http")),
        (1, [(FOR, "192.0.2.1"), (PROTO, "https")], ("192.0.2.1", "https")),
        (1, [(FOR, "2001:db8::1")], ("2001:db8::1", "http")),
        (1, [(FOR, "192.0.2.9, 192.0.2.1")], ("192.0.2.1", "http")),
        (1, [(FOR, "192.0.2.9"), (FOR, "192.0.2.1")], ("192.0.2.1", "http")),
        (2, [(FOR, "192.0.2.9, 192.0.2.1,10.0.0.2")], ("192.0.2.1", "http")),
        (2, [(FOR, "192.0.2.1")], ("10.0.0.1", "http")),
        (2, [(PROTO, "https")], ("10.0.0.1", "https")),
        (2, [(PROTO, "http, https, http")], ("10.0.0.1", "https")),
        (1, [(REAL, "192.0.2.9")], ("10.0.0.1", "http")),
        (1, [(FOR, "unknown"), (PROTO, "gopher")], ("10.0.0.1", "http")),
        (1, [(FOR, ", ,"), (PROTO, "")], ("10.0.0.1", "http")),
    ],
)
def test_what_the_outermost_known_proxy_saw_is_believed(
    proxies: int, headers: list[tuple[str, str]], found: tuple[str, str]
) -> None:
    assert behind(proxies, headers) == found
