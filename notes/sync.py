"""
Sync: make the database what the vault is.

Everything is read and compared first; then the bytes of new attachments go to
disk, then one transaction writes the rows that differ. Killed anywhere, the
database is as before or as after, and blobs too many are removed later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from notes.blobs import remove_blobs
from notes.conf import Progress, conf
from notes.exceptions import SyncConflictError, VaultError
from notes.models import Attachment
from notes.plan import Plan, make_plan
from notes.reading import ReadCache, cache_for
from notes.vault import scan
from notes.writing import MovedError, store_blobs, write_rows

logger = logging.getLogger(__name__)

_ATTEMPTS = 5

# The watcher and a command's job meet in the writer process.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class SyncReport:
    """
    What a sync did, or with dry_run what it would do.

    Attributes:
        published: notes of the vault that are published.
        drafts: notes that the publishing rule keeps back.
        excluded: notes that the exclude globs leave out.
        skipped: pairs of (path, reason): files that could not be taken in.
        added, changed, removed: notes, published or not.
        sequence: of the database after it.
        touched: pairs of (verb, path), for a dry run only.
        refusal: why the sync would stop before writing, for a dry run only.
    """

    published: int
    drafts: int
    excluded: int
    skipped: tuple[tuple[str, str], ...]
    added: int
    changed: int
    removed: int
    attachments_added: int
    attachments_changed: int
    attachments_removed: int
    sequence: int
    touched: tuple[tuple[str, str], ...] = ()
    refusal: str = ""

    @property
    def is_change(self) -> bool:
        """Whether anything was written."""
        return any(
            (
                self.added,
                self.changed,
                self.removed,
                self.attachments_added,
                self.attachments_changed,
                self.attachments_removed,
            )
        )

    def summary(self) -> str:
        """Return the last line of the command."""
        left_out = self.drafts + self.excluded + len(self.skipped)
        return (
            f"{self.published} published, {left_out} not ({self.drafts} draft, "
            f"{self.excluded} excluded, {len(self.skipped)} skipped)"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SyncReport:
        """Return what *as_dict* was made from, also after a way through JSON."""
        known = {name.name: values[name.name] for name in fields(cls)}
        for name in ("skipped", "touched"):
            known[name] = tuple((first, second) for first, second in known[name])
        return cls(**known)


def sync_vault(
    directory: Path,
    *,
    exclude: Iterable[str],
    delete: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
    cache: ReadCache | None = None,
) -> SyncReport:
    """
    Make the database what the vault in *directory* is. Idempotent.

    For the process that may write, unless *dry_run*. A note that cannot be taken in
    is not in the database afterwards, whatever it was before: what its author last
    wanted is unknown, and may have been to withdraw it.

    Args:
        exclude: globs as `notes.vault.compile_exclude` takes them.
        delete: do not stop when much would be removed.
        dry_run: write nothing, and list what would be written.
        progress: is called with {'phase', 'done', 'total'} now and then.
        cache: what an earlier sync of the same vault read.

    Raises:
        VaultError: the vault cannot be read.
        DeleteGuardError: much would be removed, and *delete* is not set.
        SyncConflictError: others wrote between each comparison and its transaction.
        OSError: a blob could not be written.
    """
    exclude = tuple(exclude)
    say = progress or (lambda _state: None)
    began = time.monotonic()
    with _one_at_a_time:
        for _ in range(_ATTEMPTS):
            found = scan(directory, exclude=exclude, own_dirs=conf.own_dirs)
            plan = make_plan(found, cache=cache, progress=say)
            refusal = None if delete else plan.refusal
            if refusal is not None and _has_only_manual():
                refusal = None  # nobody would miss it
            if dry_run:
                return replace(
                    _report(plan, plan.sequence),
                    touched=plan.touched,
                    refusal=str(refusal or ""),
                )
            if refusal is not None:
                raise refusal
            store_blobs(plan, say)
            if not plan.touched:
                sequence = plan.sequence
                break
            try:
                sequence = write_rows(plan, say)
                break
            except MovedError:
                continue
        else:
            raise SyncConflictError(
                f"Others wrote to the database during each of {_ATTEMPTS} attempts "
                "to sync. Try again."
            )
        removed = _remove_blobs()
    report = _report(plan, sequence)
    logger.log(
        logging.INFO if report.is_change else logging.DEBUG,
        "event=sync added=%d changed=%d removed=%d skipped=%d blobs_removed=%d "
        "sequence=%d seconds=%.3f",
        report.added,
        report.changed,
        report.removed,
        len(report.skipped),
        removed,
        sequence,
        time.monotonic() - began,
    )
    return report


def sync_vault_job(params: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """
    Sync a vault in the writer process; return the report as a dict.

    *params* are 'directory', absolute; 'exclude', a list of globs, or None for the
    setting; 'delete'.

    Raises:
        SyncError: as sync_vault does; its `returncode` is the command's.
    """
    directory = Path(params["directory"])
    exclude = params.get("exclude")
    report = sync_vault(
        directory,
        exclude=conf.exclude if exclude is None else exclude,
        delete=bool(params.get("delete")),
        progress=progress,
        cache=cache_for(directory),
    )
    return report.as_dict()


def _has_only_manual() -> bool:
    """Return whether all that is in the database is what the manual's folder holds."""
    directory = conf.manual_dir
    if directory is None:
        return False
    try:
        found = scan(directory, exclude=conf.exclude, own_dirs=conf.own_dirs)
    except VaultError:
        return False
    return not make_plan(found, cache=None, progress=lambda _state: None).touched


def _remove_blobs() -> int:
    """Remove the blobs that no row names, and whose grace is over."""
    named = set(Attachment.objects.values_list("content_hash", flat=True))
    return remove_blobs(conf.attachments_dir, named)


def _report(plan: Plan, sequence: int) -> SyncReport:
    return SyncReport(
        published=plan.published,
        drafts=plan.drafts,
        excluded=plan.excluded,
        skipped=plan.skipped,
        added=len(plan.notes.added),
        changed=len(plan.notes.changed),
        removed=len(plan.notes.removed),
        attachments_added=len(plan.attachments.added),
        attachments_changed=len(plan.attachments.changed),
        attachments_removed=len(plan.attachments.removed),
        sequence=sequence,
    )
