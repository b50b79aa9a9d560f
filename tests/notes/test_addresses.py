"""Addresses: how they are written."""

from __future__ import annotations

from notes.addresses import quote, tag_address, wsgi_path


def test_addresses_are_percent_encoded_in_urls_and_safe_in_html() -> None:
    assert quote("/Ёж/100%-sure?#\"'<&>") == (
        "/%D0%81%D0%B6/100%25-sure%3F%23%22%27%3C%26%3E"
    )
    assert wsgi_path("/Ё") == "/\xd0\x81"


def test_tags_have_one_address_in_any_case() -> None:
    assert tag_address("Nested/Tag") == "/tags/nested/tag"
    assert tag_address("a b") == "/tags/a-b"
