"""Whose X-Forwarded-* headers are believed: a WSGI layer."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lifecycle.knobs import Network

Environ = dict[str, Any]
_FORWARDED = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_SSL",
    "HTTP_X_FORWARDED_SERVER",
    "HTTP_X_REAL_IP",
    "HTTP_FORWARDED",
)
_PRESENT = frozenset(_FORWARDED)


class TrustedProxies:
    """
    Believe what a trusted proxy says of its client, and nobody else.

    Behind it REMOTE_ADDR, wsgi.url_scheme and HTTP_HOST are the client's own,
    and no X-Forwarded-* header is left. The proxy's own word is the last of a
    list; addresses of trusted proxies further left are passed over. Who comes
    over a unix socket is trusted: only the machine's own proxy can.
    """

    def __init__(
        self, application: Callable[..., Iterable[bytes]], networks: Sequence[Network]
    ) -> None:
        self._application = application
        self._networks = tuple(networks)

    def __call__(
        self, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        found = _PRESENT.intersection(environ)
        if found:
            headers = {name: environ.pop(name) for name in found}
            if self._is_trusted(environ.get("REMOTE_ADDR", "")):
                self._apply(environ, headers)
        return self._application(environ, start_response)

    def _apply(self, environ: Environ, headers: dict[str, str]) -> None:
        client = self._client(headers.get("HTTP_X_FORWARDED_FOR", ""))
        if client:
            environ["REMOTE_ADDR"] = client
        scheme = _last(headers.get("HTTP_X_FORWARDED_PROTO", "")).lower()
        if scheme in {"http", "https"}:
            environ["wsgi.url_scheme"] = scheme
        host = _last(headers.get("HTTP_X_FORWARDED_HOST", ""))
        if host:
            environ["HTTP_HOST"] = host

    def _client(self, chain: str) -> str:
        """Return the last address of *chain* that is no trusted proxy's."""
        client = ""
        for address in reversed([part.strip() for part in chain.split(",")]):
            if _parse(address) is None:
                break
            client = address
            if not self._is_trusted(address):
                break
        return client

    def _is_trusted(self, address: str) -> bool:
        if not address:
            return True
        parsed = _parse(address)
        return parsed is not None and any(
            parsed in network for network in self._networks
        )


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _last(value: str) -> str:
    return value.rpartition(",")[2].strip()
