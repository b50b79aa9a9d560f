"""Tokens: made once, shown once, kept as a hash, and of no use once revoked."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import re
import secrets
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from notes import tokens
from notes.models import ApiToken
from notes.tokens import (
    TokenExistsError,
    TokenNameError,
    TokenNotFoundError,
    create_token,
    find_token,
    revoke_token,
)

pytestmark = pytest.mark.django_db


def _run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("token", *arguments, stdout=out)
    return out.getvalue()


def test_a_token_lets_in_whoever_shows_it_and_only_as_a_bearer() -> None:
    token = create_token("laptop")
    assert len(token) == 43
    for shown in (f"Bearer {token}", f"bearer {token}", f"Bearer  {token} "):
        found = find_token(shown)
        assert found is not None
        assert found.name == "laptop"
    for shown in (
        *("", "Bearer", "Bearer ", token, f"Basic {token}", f"Bearer {token}x"),
        *(f"Bearer {token[:-1]}", f"Bearer {token[:8]}", f"Bearer {token.swapcase()}"),
        *("Bearer \udcff", f"Bearer {tokens._hash(token)}"),
    ):
        assert find_token(shown) is None


def test_the_token_itself_is_kept_nowhere() -> None:
    token = create_token("laptop")
    row = ApiToken.objects.values().get()
    assert token not in str(row)
    assert row["prefix"] == token[:8]
    assert row["token_hash"] == hashlib.sha256(token.encode()).hexdigest()


def test_tokens_that_begin_alike_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = iter(["same-beg" + end * 35 for end in "ab"])
    monkeypatch.setattr(secrets, "token_urlsafe", lambda count: next(made))
    first, second = create_token("first"), create_token("second")
    for token, name in ((first, "first"), (second, "second")):
        found = find_token(f"Bearer {token}")
        assert found is not None
        assert found.name == name
    assert find_token("Bearer same-beg" + "c" * 35) is None


def test_a_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    token = create_token("laptop")
    compared: list[tuple[Any, Any]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return compare_digest(one, other)

    compare_digest = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert find_token(f"Bearer {token}") is not None
    assert find_token(f"Bearer {token[:-1]}") is None
    hashes = [
        hashlib.sha256(shown.encode()).hexdigest() for shown in (token, token[:-1])
    ]
    assert compared == [(hashes[0], shown) for shown in hashes]


def test_nothing_is_written_when_a_token_is_used(
    django_assert_num_queries: Any,
) -> None:
    token = create_token("laptop")
    with django_assert_num_queries(1) as queries:
        find_token(f"Bearer {token}")
    assert queries.captured_queries[0]["sql"].startswith("SELECT")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 101, "\x1b[1m"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(TokenNameError):
        create_token(name)


def test_a_name_is_given_once_and_again_when_it_is_free() -> None:
    create_token("laptop")
    with pytest.raises(TokenExistsError):
        create_token("laptop")
    revoke_token("laptop")
    create_token("laptop")
    assert ApiToken.objects.count() == 1
    with pytest.raises(TokenNotFoundError):
        revoke_token("other")


def test_the_command_makes_lists_and_revokes() -> None:
    token = _run("create", "laptop").rstrip("\n")
    assert find_token(f"Bearer {token}") is not None
    listed = _run("list")
    assert re.fullmatch(
        re.escape(token[:8]) + r"…  \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00  laptop\n",
        listed,
    )
    assert _run("revoke", "laptop") == "revoked laptop\n"
    assert find_token(f"Bearer {token}") is None
    assert _run("list") == ""


def test_the_command_speaks_json() -> None:
    made = json.loads(_run("create", "laptop", "--json"))
    assert made["name"] == "laptop"
    assert find_token(f"Bearer {made['token']}") is not None
    (listed,) = json.loads(_run("list", "--json"))
    assert listed["name"] == "laptop"
    assert listed["prefix"] == made["token"][:8]
    assert set(listed) == {"name", "prefix", "created_at"}
    assert json.loads(_run("revoke", "laptop", "--json")) == {
        "name": "laptop",
        "revoked": True,
    }


@pytest.mark.parametrize(
    ("arguments", "returncode", "message"),
    [
        (("create", "laptop"), 1, "There is a token 'laptop' already."),
        (("revoke", "other"), 1, "There is no token 'other'."),
        (("create", " "), 2, "A token cannot be called ' '"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: tuple[str, ...], returncode: int, message: str
) -> None:
    create_token("laptop")
    with pytest.raises(CommandError, match=re.escape(message)) as raised:
        _run(*arguments)
    assert raised.value.returncode == returncode


class _SlotLostError(Exception):
    """What another app raises when this process may not write now."""

    returncode = 3


@pytest.mark.parametrize(
    ("error", "returncode", "message"),
    [
        (OperationalError("database is locked"), 3, "Try again."),
        (OperationalError("no such table: x"), 1, "run: python manage.py migrate"),
        (_SlotLostError("The writer slot has moved on."), 3, "moved on"),
    ],
)
def test_the_command_says_when_it_cannot_write(
    monkeypatch: pytest.MonkeyPatch, error: Exception, returncode: int, message: str
) -> None:
    def fail(**fields: Any) -> None:
        raise error

    monkeypatch.setattr(ApiToken.objects, "create", fail)
    with pytest.raises(CommandError, match=re.escape(message)) as raised:
        _run("create", "laptop")
    assert raised.value.returncode == returncode


def test_a_bug_is_not_taken_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**fields: Any) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(ApiToken.objects, "create", fail)
    with pytest.raises(ValueError, match="a bug"):
        _run("create", "laptop")
