from __future__ import annotations

from typing import Any

import pytest

from lifecycle.knobs import networks
from lifecycle.proxies import TrustedProxies


def seen(peer: str, trusted: str = "loopback", **headers: str) -> dict[str, Any]:
    """Return what the application sees of a request that *peer* sent."""
    found: list[dict[str, Any]] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        found.append(environ)
        return []

    environ = {
        "REMOTE_ADDR": peer,
        "HTTP_HOST": "site.example",
        "wsgi.url_scheme": "http",
        **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }
    TrustedProxies(application, networks(trusted))(environ, lambda *args: None)
    return found[0]


def client(peer: str, chain: str, trusted: str = "loopback") -> str:
    return str(seen(peer, trusted, x_forwarded_for=chain)["REMOTE_ADDR"])


def test_a_trusted_proxy_is_believed() -> None:
    assert seen(
        "127.0.0.1",
        x_forwarded_for="203.0.113.9",
        x_forwarded_proto="https",
        x_forwarded_host="notes.example",
    ) == {
        "REMOTE_ADDR": "203.0.113.9",
        "HTTP_HOST": "notes.example",
        "wsgi.url_scheme": "https",
    }


FORWARDED = {
    "x_forwarded_for": "127.0.0.1",
    "x_forwarded_proto": "https",
    "x_forwarded_host": "evil.example",
    "x_forwarded_port": "443",
    "x_forwarded_ssl": "on",
    "x_forwarded_server": "evil",
    "x_real_ip": "127.0.0.1",
    "forwarded": "for=127.0.0.1",
}


def test_a_stranger_is_not_believed_and_leaves_no_header() -> None:
    assert seen("203.0.113.9", **FORWARDED) == {
        "REMOTE_ADDR": "203.0.113.9",
        "HTTP_HOST": "site.example",
        "wsgi.url_scheme": "http",
    }


def test_with_none_trusted_nobody_is_believed() -> None:
    assert client("127.0.0.1", "203.0.113.9", trusted="none") == "127.0.0.1"


def test_what_a_trusted_proxy_does_not_say_stays_as_it_is() -> None:
    assert seen("127.0.0.1", x_real_ip="203.0.113.9", forwarded="for=203.0.113.9") == {
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "site.example",
        "wsgi.url_scheme": "http",
    }


@pytest.mark.parametrize(
    ("chain", "believed"),
    [
        ("203.0.113.9", "203.0.113.9"),
        # A client wrote the first itself; the proxy added the second.
        ("127.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("8.8.8.8,203.0.113.9", "203.0.113.9"),
        # Proxies of ours further right are passed over.
        ("203.0.113.9, 127.0.0.2, 127.0.0.1", "203.0.113.9"),
        ("8.8.8.8, 203.0.113.9, 127.0.0.2", "203.0.113.9"),
        # All of them ours: the first of them asked.
        ("127.0.0.3, 127.0.0.2", "127.0.0.3"),
        # What is no address ends the chain.
        ("nonsense, 127.0.0.2", "127.0.0.2"),
        ("nonsense", "127.0.0.1"),
        ("203.0.113.9:4711", "127.0.0.1"),
        ("", "127.0.0.1"),
        (",,", "127.0.0.1"),
        ("203.0.113.9\n8.8.8.8", "127.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "[2001:db8::1]"),
    ],
)
def test_the_client_is_the_last_address_that_no_proxy_of_ours_has(
    chain: str, believed: str
) -> None:
    assert client("127.0.0.1", chain) == believed


def test_an_ipv4_address_in_ipv6_clothes_is_the_same_proxy() -> None:
    assert client("::ffff:127.0.0.1", "203.0.113.9") == "203.0.113.9"
    assert client("::ffff:203.0.113.1", "203.0.113.9") == "::ffff:203.0.113.1"


def test_networks_decide_who_is_trusted() -> None:
    trusted = "10.0.0.0/8,fd00::/8"
    assert client("10.2.3.4", "203.0.113.9", trusted) == "203.0.113.9"
    assert client("fd12::1", "203.0.113.9", trusted) == "203.0.113.9"
    assert client("11.0.0.1", "203.0.113.9", trusted) == "11.0.0.1"
    assert client("127.0.0.1", "203.0.113.9", trusted) == "127.0.0.1"


def test_who_comes_over_a_unix_socket_is_the_machines_own_proxy() -> None:
    assert client("", "203.0.113.9", trusted="none") == "203.0.113.9"


@pytest.mark.parametrize(
    ("said", "scheme"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        ("http", "http"),
        # The last is the proxy's own word.
        ("https, http", "http"),
        ("javascript", "http"),
        ("", "http"),
    ],
)
def test_only_two_schemes_are_believed(said: str, scheme: str) -> None:
    found = seen("127.0.0.1", x_forwarded_proto=said)
    assert found["wsgi.url_scheme"] == scheme


def test_the_last_host_is_the_proxys_own_word() -> None:
    found = seen("127.0.0.1", x_forwarded_host="evil.example, notes.example")
    assert found["HTTP_HOST"] == "notes.example"
