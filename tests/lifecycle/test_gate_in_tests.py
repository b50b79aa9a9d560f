"""The write gate in a project's tests: they write without ceremony, clients do not."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import TestCase, override_settings

from lifecycle.gate import WriteOutsideGateError
from tests.lifecycle.guarded import names, row


@pytest.mark.django_db
@pytest.mark.urls("tests.lifecycle.gate_urls")
def test_a_test_writes_and_its_client_only_with_an_unsafe_method(client: Any) -> None:
    row().save()
    with transaction.atomic():
        row("0002").save()
    assert client.get("/read").content == b"2"
    with pytest.raises(WriteOutsideGateError, match="Send it as POST"):
        client.get("/write")
    assert client.post("/write").content == b"written"
    row("0003").save()
    assert names() == ["0001", "0002", "0003", "POST"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.urls("tests.lifecycle.gate_urls")
def test_so_does_one_with_transactions_of_its_own(client: Any) -> None:
    row().save()
    with pytest.raises(WriteOutsideGateError):
        client.head("/write")
    assert client.delete("/write").content == b"written"
    row("0003").save()
    assert names() == ["0001", "0003", "DELETE"]


@override_settings(ROOT_URLCONF="tests.lifecycle.gate_urls")
class TestInACase(TestCase):
    """Django's own, with data for the class and a fixture from a file."""

    fixtures = (str(Path(__file__).parent / "gate_fixture.json"),)

    @classmethod
    def setUpTestData(cls) -> None:
        row("0001").save()

    def test_so_does_one_of_djangos_own(self) -> None:
        assert names() == ["0001", "from a file"]
        with pytest.raises(WriteOutsideGateError):
            self.client.get("/write")
        assert self.client.put("/write").content == b"written"
        row("0002").save()
        assert names() == ["0001", "0002", "PUT", "from a file"]


@pytest.mark.urls("tests.lifecycle.gate_urls")
def test_so_does_one_with_a_live_server(
    live_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    row().save()
    assert fetch(live_server.url, "GET", "/read") == (200, b"1")
    assert fetch(live_server.url, "GET", "/write")[0] == 500
    assert "WriteOutsideGateError" in caplog.text
    assert fetch(live_server.url, "POST", "/write") == (200, b"written")
    row("0003").save()
    assert names() == ["0001", "0003", "POST"]


def fetch(url: str, method: str, path: str) -> tuple[int, bytes]:
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    server = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    with contextlib.closing(server):
        server.request(method, path)
        response = server.getresponse()
        return response.status, response.read()
