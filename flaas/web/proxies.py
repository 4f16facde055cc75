"""Whom a proxy forwards a request for.

Tornado's own reading of these headers (`xheaders`) believes whatever a client claims in
`X-Real-Ip`; here, only what the known number of proxies added is believed.
"""

from ipaddress import ip_address

from tornado.httputil import HTTPServerRequest


def look_behind(request: HTTPServerRequest, proxies: int) -> None:
    """Set the caller's address and protocol to what the outermost of so many proxies saw."""
    if not proxies:
        return
    addresses = _listed(request, "X-Forwarded-For")
    # Each proxy adds whom it was called by at the end; what stands before is the client's claim.
    if len(addresses) >= proxies and _is_address(addresses[-proxies]):
        request.remote_ip = addresses[-proxies]
    # Here a proxy may add or replace.
    protocols = _listed(request, "X-Forwarded-Proto")
    if protocols and protocols[-proxies:][0] in ("http", "https"):
        request.protocol = protocols[-proxies:][0]


def _listed(request: HTTPServerRequest, name: str) -> list[str]:
    """The values of a header, which may come more than once."""
    return [one.strip() for one in request.headers.get(name, "").split(",") if one.strip()]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
