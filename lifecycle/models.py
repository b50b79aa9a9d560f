"""
What lifecycle keeps in the database that it guards.

The newest epoch is the only record of who holds the writer slot; the older
ones are its history.
"""

from __future__ import annotations

from django.db import models


class Epoch(models.Model):
    """
    One tenure of the writer slot.

    `release` names the next one; a row whose holder is still there when the
    next epoch begins is one that crashed.
    """

    epoch = models.PositiveBigIntegerField(primary_key=True)
    holder = models.CharField(max_length=128, blank=True)
    """Id of the instance, or 'manage.py NAME (pid N)'; '' once released."""
    taken_by = models.CharField(max_length=128)
    """Who took it; stays."""
    version = models.CharField(max_length=128, blank=True)
    """The code that took it."""
    since = models.FloatField()
    """Unix time of taking it."""
    released_at = models.FloatField(null=True)
    """Unix time of its release."""
    next = models.CharField(max_length=128, blank=True)
    """Who it was released to; '' for anybody."""
    until = models.FloatField(default=0)
    """Unix time until which only `next` may take it."""

    class Meta:
        ordering = ("epoch",)

    def __str__(self) -> str:
        return f"{self.epoch} {self.taken_by}"


class StoredAnswer(models.Model):
    """
    The committed answer of a write that may be sent again.

    Written in the write's own transaction: either both are there or none.
    """

    key = models.CharField(max_length=64, unique=True)
    """SHA-256, in hex, of what makes the request the same one."""
    body_hash = models.CharField(max_length=64)
    """SHA-256 of the request's body, in hex."""
    status = models.CharField(max_length=128)
    headers = models.JSONField()
    """Pairs of name and value."""
    body = models.BinaryField()
    created_at = models.FloatField(db_index=True)
    """Unix time."""

    class Meta:
        ordering = ("created_at",)

    def __str__(self) -> str:
        return f"{self.key} {self.status}"


class AppliedMigration(models.Model):
    """Whether older code can live with a migration that was applied."""

    app = models.CharField(max_length=255)
    name = models.CharField(max_length=255)
    is_compatible = models.BooleanField()
    """Whether code that does not know it can go on reading and writing."""
    reason = models.TextField(blank=True)
    """What older code stumbles over."""
    snapshot = models.CharField(max_length=1024, blank=True)
    """Path of the copy of the database that was made just before it ran."""
    applied_at = models.FloatField()
    """Unix time."""

    class Meta:
        ordering = ("applied_at",)
        constraints = (
            models.UniqueConstraint(fields=("app", "name"), name="one_verdict_each"),
        )

    def __str__(self) -> str:
        return f"{self.app}.{self.name}"
