"""One table, so that there is something to migrate and to write."""

from __future__ import annotations

from django.db import models


class Entry(models.Model):
    """A line that somebody wrote."""

    text = models.TextField()

    objects: models.Manager[Entry] = models.Manager()

    def __str__(self) -> str:
        return self.text
