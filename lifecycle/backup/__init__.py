"""
Backups of the database and of the files beside it, and the way back.

A store is any Django storage, alias `backups`. What is in it:

    SITE/NAME/database.zst    the database, as it was at NAME
    SITE/NAME/files.json.zst  which files there were, and where
    SITE/NAME/manifest.json   written last: without it there is no backup
    SITE/files/SHA256         each file once, whichever backups have it

SITE is a random id that a data directory keeps, NAME a moment in UTC, as
'20261126T050715.123Z'. Names are in the order of making: where the clock was set back,
a name is just after the one before, and the manifest says the moment. Everything is
written once and never changed.
"""

from __future__ import annotations
