"""
Tokens: who may write notes, and read drafts, over the API.

A token is random, shown once, and kept as a hash. Its first characters are kept as
they are, so that a person can tell which one it is; 208 secret bits remain.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from notes.exceptions import NotesError
from notes.models import ApiToken

_BYTES = 32
_PREFIX = 8  # characters
_MAX_NAME = 100  # characters; the model's column holds no more


class TokenError(NotesError):
    """
    Base of what keeps a token from being made or revoked; never raised itself.

    Attributes:
        returncode: the exit code of the command.
    """

    returncode = 1


class TokenNameError(TokenError):
    """A name that no token can have."""

    returncode = 2


class TokenExistsError(TokenError):
    """A name that another token has."""


class TokenNotFoundError(TokenError):
    """A name that no token has."""


def create_token(name: str) -> str:
    """
    Make a token called *name*, and return it: nobody can tell it again.

    Raises:
        TokenNameError: *name* is empty, too long, or not printable.
        TokenExistsError: there is one of this name.
    """
    if not name.strip() or not name.isprintable() or len(name) > _MAX_NAME:
        raise TokenNameError(
            f"A token cannot be called {name!r}: a name has 1 to {_MAX_NAME} "
            "printable characters."
        )
    token = secrets.token_urlsafe(_BYTES)
    try:
        with transaction.atomic():
            ApiToken.objects.create(
                name=name,
                prefix=token[:_PREFIX],
                token_hash=_hash(token),
                created_at=timezone.now(),
            )
    except IntegrityError as exc:
        raise TokenExistsError(
            f"There is a token {name!r} already. Revoke it first, or take another name."
        ) from exc
    return token


def revoke_token(name: str) -> None:
    """
    Let the token called *name* be of no use from now on.

    Raises:
        TokenNotFoundError: there is none.
    """
    deleted, _ = ApiToken.objects.filter(name=name).delete()
    if not deleted:
        raise TokenNotFoundError(f"There is no token {name!r}.")


def find_token(authorization: str) -> ApiToken | None:
    """Return the token that an Authorization header shows; None when it shows none."""
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or not token.isascii():
        return None
    shown = _hash(token)
    found = None
    for candidate in ApiToken.objects.filter(prefix=token[:_PREFIX]):
        if hmac.compare_digest(candidate.token_hash, shown):
            found = candidate
    return found


def shows_token(environ: dict[str, Any]) -> bool:
    """Return whether the request of this WSGI environment shows a token."""
    return find_token(environ.get("HTTP_AUTHORIZATION", "")) is not None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
