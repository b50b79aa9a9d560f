"""
What a vault leaves in the database: sources, not pages.

Pages are made from these rows and held in memory; see `notes.site`.
"""

from __future__ import annotations

from django.db import models


class Note(models.Model):
    """
    A Markdown file of the vault, published or not.

    Whether it is published is `notes.publishing`'s to say, from the source.
    """

    path = models.CharField(max_length=1024, unique=True)
    """Relative to the vault, NFC, '/' between folders, with '.md'."""
    source = models.TextField()
    """The text: BOM taken away, newlines as '\\n'."""
    content_hash = models.CharField(max_length=64)
    """SHA-256 of the file's bytes, in hex."""
    modified_at = models.DateTimeField()
    """When the file was last modified."""

    class Meta:
        ordering = ("path",)

    def __str__(self) -> str:
        return self.path


class Attachment(models.Model):
    """Any other file of the vault; its bytes are on disk under their hash."""

    path = models.CharField(max_length=1024, unique=True)
    """Relative to the vault, NFC, '/' between folders."""
    content_hash = models.CharField(max_length=64)
    """SHA-256 of the bytes, in hex; the file is NOTES_ATTACHMENTS_DIR/ab/abcd…."""
    size = models.PositiveBigIntegerField()
    """In bytes."""
    modified_at = models.DateTimeField()
    """When the file was last modified."""

    class Meta:
        ordering = ("path",)

    def __str__(self) -> str:
        return self.path


class Change(models.Model):
    """
    One path that one write transaction added, changed or removed.

    The greatest sequence is the state of the site: a process that has read up
    to it is current, one that has not reads the paths of the later ones again.
    """

    sequence = models.PositiveBigIntegerField(db_index=True)
    path = models.CharField(max_length=1024)
    epoch = models.PositiveBigIntegerField(default=0, db_default=0)
    """Under which the transaction ran: whose write it is. 0 where that is unknown."""

    class Meta:
        ordering = ("sequence", "id")

    def __str__(self) -> str:
        return f"{self.sequence} {self.path}"


class FormerAddress(models.Model):
    """An address that a note had before it was renamed or moved."""

    address = models.CharField(max_length=1100, unique=True)
    """What `notes.assigning.redirect_key` makes of it."""
    path = models.CharField(max_length=1024, db_index=True)
    """Of the note now; if there is none any more, the address leads nowhere."""
    sequence = models.PositiveBigIntegerField(db_index=True)
    """Of the change that wrote the row."""

    class Meta:
        ordering = ("address",)

    def __str__(self) -> str:
        return f"{self.address} {self.path}"


class ApiToken(models.Model):
    """
    What lets somebody write notes; the token itself is not kept.

    Nothing here is written when one is used: a GET must not write.
    """

    name = models.CharField(max_length=100, unique=True)
    """For people."""
    prefix = models.CharField(max_length=8, db_index=True)
    """The first characters of the token, which are no secret."""
    token_hash = models.CharField(max_length=64)
    """SHA-256 of the token, in hex."""
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
