"""Hosts: a name that is not this site's is told where the site is."""

from __future__ import annotations

import pytest

from notes import hosts
from notes.hosts import AllowedHosts
from tests.notes.sites import Client


def _application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"inside"]


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8080", "127.0.0.1", "127.0.0.1:1", "[::1]:8080"),
        *("notes.example", "NOTES.example", "notes.example:443", "notes.example."),
    ],
)
def test_local_and_public_names_are_let_in(host: str, settings) -> None:
    settings.ALLOWED_HOSTS = ["notes.example"]
    assert Client(AllowedHosts(_application)).get("/", host=host).body == b"inside"


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "localhost.evil.example", "notes.example@evil.example"),
        *("notes.example:x", "a b", "[::1", "127.0.0.2", "notes.example/evil", "."),
    ],
)
def test_any_other_name_is_refused_in_one_line(host: str, settings) -> None:
    settings.ALLOWED_HOSTS = ["notes.example"]
    settings.NOTES_PUBLIC_URL = "https://notes.example"
    client = Client(AllowedHosts(_application))
    for _ in range(2):
        reply = client.get("/", host=host)
        assert reply.status == 400
        assert reply.text == (
            "This host is not served here. The site is at https://notes.example, "
            "its PUBLIC_URL.\n"
        )
    assert client.request("HEAD", "/", host=host).body == b""


def test_only_so_many_names_are_remembered(settings) -> None:
    settings.ALLOWED_HOSTS = [".notes.example"]
    layer = AllowedHosts(_application)
    client = Client(layer)
    for number in range(hosts._MAX_REMEMBERED + 10):
        assert client.get("/", host=f"n{number}.notes.example").status == 200
    assert len(layer._known) == hosts._MAX_REMEMBERED
