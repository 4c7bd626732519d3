"""Decides which web pages may send requests to a server without a key.

A browser lets any web page send requests to this machine. A page whose owner makes its name point
to this machine (DNS rebinding) could read the answers too.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from host.serving.api_errors import ApiError

# Names that no one can own in the public DNS (RFC 6761, 6762, 8375, and ICANN's .internal), and
# .lan, which many routers use.
_PRIVATE = (".localhost", ".local", ".localdomain", ".internal", ".home.arpa", ".lan", ".test")
_FOREIGN = "foreign_page"


def verify_page(headers: Mapping[bytes, bytes], origins: Sequence[str]) -> None:
    """Raises ApiError (403) for a request that a browser sends for a page of another site.

    headers: of the request, by lower-case names; origins: of pages whose requests are accepted, or
    "*".
    """
    asked = headers.get(b"host", b"").decode("latin-1")
    if not _is_private(asked):
        raise ApiError(
            403, f"{asked:.80} may be a name of another site that points here: ask by this"
            " machine's address, or start the server with --api-key, or --insecure",
            code=_FOREIGN,
        )  # fmt: skip
    origin = headers.get(b"origin", b"").decode("latin-1")
    is_let_in = "*" in origins or origin in origins
    if not is_let_in and _is_foreign(origin, asked, headers):
        raise ApiError(
            403, f"pages of {origin or 'other sites'} may not ask: start the server with --cors"
            f" {origin or 'ORIGIN'}",
            code=_FOREIGN,
        )  # fmt: skip


def _is_foreign(origin: str, asked: str, headers: Mapping[bytes, bytes]) -> bool:
    site = headers.get(b"sec-fetch-site")  # which pages cannot set, and not all browsers send
    if site in (b"same-origin", b"none"):
        return False
    if not origin:  # a picture, say; who follows a link may look
        return site == b"cross-site" and headers.get(b"sec-fetch-mode") != b"navigate"
    scheme, _, where = origin.partition("://")  # programs that show pages have schemes of theirs
    return origin == "null" or (scheme in ("http", "https") and where.lower() != asked.lower())


def _is_private(asked: str) -> bool:
    """Returns whether a Host header has an address, or a name that only this machine or its
    network can assign."""
    try:
        name = (urlsplit(f"//{asked}").hostname or "").rstrip(".")
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(_PRIVATE) or name == socket.gethostname().lower()
    return True
