"""notes.sync: the database becomes what the vault is, or stays as it was."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import sqlite3
import time
import weakref
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notes import blobs, plan, sync, writing
from notes import vault as vault_module
from notes.exceptions import DeleteGuardError, SyncConflictError, VaultError
from notes.models import Attachment, Change, FormerAddress, Note
from notes.reading import ReadCache, cache_for
from notes.sync import SyncReport, sync_vault, sync_vault_job
from tests.notes.trees import VAULT_NAMES, copy_vault, write_tree

pytestmark = pytest.mark.django_db

PNG = b"\x89PNG\r\n"


@pytest.fixture
def store(tmp_path: Path, settings: Any) -> Path:
    settings.NOTES_ATTACHMENTS_DIR = tmp_path / "attachments"
    return tmp_path / "attachments"


@pytest.fixture
def vault(tmp_path: Path, store: Path) -> Path:
    return write_tree(
        tmp_path / "vault",
        {
            "a.md": "# A\r\n",
            "b.md": "---\ndraft: true\n---\nsecret\n",
            "Templates/t.md": "{{title}}",
            "bad.md": b"\xff",
            "x.png": PNG,
        },
    )


def run(vault: Path, **options: Any) -> SyncReport:
    return sync_vault(vault, exclude=["Templates/"], **options)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def rows() -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Return all that a sync writes about the vault, without times and sequence."""
    notes = Note.objects.values_list("path", "source", "content_hash")
    return list(notes), list(
        Attachment.objects.values_list("path", "content_hash", "size")
    )


def changes() -> list[tuple[int, str]]:
    return list(Change.objects.values_list("sequence", "path"))


def stored(store: Path) -> set[str]:
    return {path.name for path in store.rglob("*") if path.is_file()}


def test_a_first_sync_takes_everything_in(vault, store):
    report = run(vault)

    assert report == SyncReport(
        published=1,
        drafts=1,
        excluded=1,
        skipped=(("bad.md", "not UTF-8 (byte 0xff at offset 0)"),),
        added=2,
        changed=0,
        removed=0,
        attachments_added=1,
        attachments_changed=0,
        attachments_removed=0,
        sequence=1,
    )
    assert report.summary() == "1 published, 3 not (1 draft, 1 excluded, 1 skipped)"
    assert rows() == (
        [
            ("a.md", "# A\n", digest(b"# A\r\n")),
            (
                "b.md",
                "---\ndraft: true\n---\nsecret\n",
                digest(b"---\ndraft: true\n---\nsecret\n"),
            ),
        ],
        [("x.png", digest(PNG), 6)],
    )
    assert changes() == [(1, "a.md"), (1, "b.md"), (1, "x.png")]
    assert blobs.blob_path(store, digest(PNG)).read_bytes() == PNG
    assert stored(store) == {digest(PNG)}


def test_only_what_changed_is_written(vault):
    run(vault)
    before = {note.path: note.pk for note in Note.objects.all()}
    write_tree(vault, {"a.md": "new", "c.md": "c", "x.png": b"other"})
    (vault / "b.md").unlink()
    os.utime(vault / "Templates/t.md")

    report = run(vault)

    assert (report.added, report.changed, report.removed) == (1, 1, 1)
    assert (report.attachments_added, report.attachments_changed) == (0, 1)
    assert report.sequence == 2
    assert changes()[3:] == [(2, "c.md"), (2, "a.md"), (2, "b.md"), (2, "x.png")]
    assert [(note.path, note.source) for note in Note.objects.all()] == [
        ("a.md", "new"),
        ("c.md", "c"),
    ]
    assert Note.objects.get(path="a.md").pk == before["a.md"]


def test_a_sync_of_the_same_vault_writes_nothing(vault):
    run(vault)
    os.utime(vault / "a.md", (0, 0))

    with CaptureQueriesContext(connection) as queries:
        report = run(vault)

    verbs = {query["sql"].split()[0] for query in queries.captured_queries}
    assert verbs == {"SELECT"}
    assert (report.sequence, report.is_change) == (1, False)


def test_an_empty_vault_leaves_no_change(tmp_path, store):
    (tmp_path / "empty").mkdir()

    assert run(tmp_path / "empty").sequence == 0
    assert changes() == []


def test_a_note_that_turned_bad_is_gone(vault):
    run(vault)
    write_tree(vault, {"a.md": "---\ndraft: [\n---\n"})

    report = run(vault)

    assert [path for path, _ in report.skipped] == ["a.md", "bad.md"]
    assert not Note.objects.filter(path="a.md").exists()
    assert changes()[-1] == (2, "a.md")


@pytest.mark.parametrize(
    ("total", "removed", "is_refused"),
    [
        (12, 10, False),  # not more than 10
        (12, 11, True),
        (100, 20, False),  # not more than 20 %
        (100, 21, True),
        (11, 11, True),
    ],
)
def test_the_guard_stops_before_anything_is_written(
    tmp_path, store, total, removed, is_refused
):
    vault = write_tree(
        tmp_path / "vault", {f"{number:03}.md": "" for number in range(total)}
    )
    run(vault)
    before = rows()
    for number in range(removed):
        (vault / f"{number:03}.md").unlink()
    write_tree(vault, {"new.md": "new", "new.png": PNG})

    if not is_refused:
        assert run(vault).removed == removed
        return
    with pytest.raises(DeleteGuardError) as caught:
        run(vault)
    assert (caught.value.removed, caught.value.total) == (removed, total)
    assert caught.value.returncode == 3
    assert rows() == before
    assert latest() == 1
    assert stored(store) == set()
    assert run(vault, delete=True).removed == removed
    assert stored(store) == {digest(PNG)}


def test_the_manual_gives_way_to_a_vault_until_somebody_has_added_to_it(
    tmp_path, store, settings
):
    pages = {f"{number}.md": "page" for number in range(20)} | {"a.png": PNG}
    manual = settings.NOTES_MANUAL_DIR = write_tree(tmp_path / "manual", pages)
    vault = write_tree(tmp_path / "vault", {"own.md": "own"})
    run(manual)
    assert run(vault, dry_run=True).refusal == ""
    assert run(vault).removed == 20

    run(manual, delete=True)
    run(write_tree(tmp_path / "more", pages | {"own.md": "own"}))
    with pytest.raises(DeleteGuardError):
        run(vault)
    # Nor is a folder that was not mounted the manual.
    run(manual, delete=True)
    settings.NOTES_MANUAL_DIR = tmp_path / "nowhere"
    with pytest.raises(DeleteGuardError):
        run(vault)


def latest() -> int:
    return changes()[-1][0]


def test_a_dry_run_lists_and_writes_nothing(vault, store):
    write_tree(vault, {f"n/{number:02}.md": "" for number in range(20)})
    run(vault)
    before = rows()
    for number in range(11):
        (vault / f"n/{number:02}.md").unlink()
    write_tree(vault, {"a.md": "new", "new.png": b"new"})

    report = run(vault, dry_run=True)

    gone = tuple(("removed", f"n/{number:02}.md") for number in range(11))
    assert report.touched == (("changed", "a.md"), *gone, ("added", "new.png"))
    assert report.refusal == (
        "The sync would remove 11 of 22 notes, so nothing was written. "
        "Run sync_vault with --delete if that is what you want."
    )
    assert run(vault, dry_run=True, delete=True).refusal == ""
    assert (rows(), latest(), stored(store)) == (before, 1, {digest(PNG)})


def test_a_sync_that_dies_leaves_the_database_as_it_was(vault, store, monkeypatch):
    run(vault)
    before = rows(), changes()
    write_tree(vault, {"a.md": "new", "c.md": "c", "y.png": b"y"})
    (vault / "b.md").unlink()

    with monkeypatch.context() as patch:
        patch.setattr(writing, "_prune_changes", raise_memory_error)
        with pytest.raises(MemoryError):
            run(vault)
    assert (rows(), changes()) == before

    report = run(vault)
    assert (report.added, report.changed, report.removed) == (1, 1, 1)
    assert stored(store) == {digest(PNG), digest(b"y")}


def raise_memory_error() -> None:
    raise MemoryError


@pytest.mark.parametrize("times", [1, sync._ATTEMPTS])
def test_a_sync_compares_again_when_somebody_wrote_meanwhile(vault, monkeypatch, times):
    make_plan = plan.make_plan
    others = iter(range(1, 1 + times))

    def write_meanwhile(*args, **kwargs):
        made = make_plan(*args, **kwargs)
        for number in others:
            Change.objects.create(sequence=number, path="other")
            break
        return made

    monkeypatch.setattr("notes.sync.make_plan", write_meanwhile)

    if times == 1:
        assert run(vault).sequence == 2
        assert changes()[0] == (1, "other")
    else:
        with pytest.raises(SyncConflictError) as caught:
            run(vault)
        assert caught.value.returncode == 3
        assert rows() == ([], [])


def test_old_changes_go_and_a_sequence_stays_whole(vault, monkeypatch):
    monkeypatch.setattr(writing, "KEPT_CHANGES", 4)
    for number in range(3):
        write_tree(vault, {f"{number}-{name}.md": "" for name in "pq"})
        run(vault)  # 5, then 2, then 2 paths

    assert changes() == [(2, "1-p.md"), (2, "1-q.md"), (3, "2-p.md"), (3, "2-q.md")]
    write_tree(vault, {f"{name}.md": "" for name in "vwxyz"})
    run(vault)
    assert [sequence for sequence, _ in changes()] == [4] * 5


def test_a_file_that_goes_during_the_sync_is_no_part_of_the_vault(vault, monkeypatch):
    scan = vault_module.scan

    def scan_then_lose(*args, **kwargs):
        found = scan(*args, **kwargs)
        (vault / "a.md").unlink()
        (vault / "x.png").unlink()
        return found

    monkeypatch.setattr("notes.sync.scan", scan_then_lose)

    report = run(vault)
    assert [path for path, _ in report.skipped] == ["bad.md"]
    assert (report.published, report.drafts, report.attachments_added) == (0, 1, 0)


def test_a_file_that_may_not_be_read_is_skipped(vault, monkeypatch):
    open_descriptor = os.open

    def refuse(path, *args, **kwargs):
        if str(path).endswith(("a.md", "x.png")):
            raise PermissionError(13, "Permission denied", path)
        return open_descriptor(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)

    assert run(vault).skipped == (
        ("a.md", "cannot be read (Permission denied)"),
        ("bad.md", "not UTF-8 (byte 0xff at offset 0)"),
        ("x.png", "cannot be read (Permission denied)"),
    )
    assert rows()[0][0][0] == "b.md"


def test_an_attachment_that_changes_during_the_sync_is_what_was_stored(
    vault, store, monkeypatch
):
    store_blobs = writing.store_blobs

    def change_then_store(*args):
        write_tree(vault, {"x.png": b"longer than before"})
        write_tree(vault, {"y.png": b"y"}).joinpath("y.png").unlink()
        store_blobs(*args)

    monkeypatch.setattr("notes.sync.store_blobs", change_then_store)
    write_tree(vault, {"y.png": b"y"})
    run(vault)

    hashed = digest(b"longer than before")
    assert rows()[1] == [("x.png", hashed, 18)]
    assert stored(store) == {hashed}


def age(store: Path, content: bytes) -> Path:
    """Make a blob look as if its grace was over."""
    blob = blobs.blob_path(store, digest(content))
    then = time.time() - blobs.GRACE - 1
    os.utime(blob, (then, then))
    return blob


def test_a_blob_goes_an_hour_after_its_row_and_not_before(vault, store):
    run(vault)
    blob = age(store, PNG)
    (vault / "x.png").unlink()

    run(vault)
    assert blob.exists()  # its grace began with this sync
    run(vault)
    assert blob.exists()
    age(store, PNG)
    run(vault)
    assert not blob.exists()


def test_a_blob_that_another_path_names_stays(vault, store):
    write_tree(vault, {"copy.png": PNG})
    run(vault)
    (vault / "x.png").unlink()
    run(vault)
    blob = age(store, PNG)

    run(vault)
    assert blob.read_bytes() == PNG


def test_a_blob_that_regains_its_row_begins_a_new_grace(vault, store):
    run(vault)
    (vault / "x.png").unlink()
    run(vault)
    blob = age(store, PNG)
    write_tree(vault, {"x.png": PNG})

    run(vault)
    assert time.time() - blob.stat().st_mtime < blobs.GRACE


@pytest.mark.parametrize("damage", [Path.unlink, lambda blob: blob.write_bytes(b"")])
def test_a_blob_that_got_lost_is_put_back(vault, store, damage):
    run(vault)
    blob = blobs.blob_path(store, digest(PNG))
    damage(blob)

    report = run(vault)
    assert (blob.read_bytes(), report.is_change) == (PNG, False)


def test_only_what_is_a_blob_is_ever_removed(vault, store):
    run(vault)
    write_tree(
        store, {"readme": "", "ab/notes.txt": "", "incoming-x": "", "incoming-y": ""}
    )
    for name in ("readme", "ab/notes.txt", "incoming-x"):
        os.utime(store / name, (0, 0))

    run(vault)
    assert stored(store) == {digest(PNG), "readme", "notes.txt", "incoming-y"}


def test_a_blob_that_cannot_be_written_leaves_nothing(vault, store, monkeypatch):
    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(OSError, match="No space left"):
        run(vault)
    assert (rows(), stored(store)) == (([], []), set())


def test_a_cached_sync_needs_no_file_that_looks_the_same(vault, monkeypatch):
    cache = ReadCache()
    later = time.time_ns() + 10 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    first = run(vault, cache=cache)
    (vault / "bad.md").unlink()
    monkeypatch.setattr("notes.plan.read_note", None)
    monkeypatch.setattr("notes.plan.read_attachment", None)

    second = run(vault, cache=cache)
    assert (second.published, second.drafts) == (first.published, first.drafts)
    assert not second.is_change


def test_a_cached_note_whose_row_differs_is_read(vault, monkeypatch):
    cache = ReadCache()
    later = time.time_ns() + 10 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    run(vault, cache=cache)
    Note.objects.update(source="other", content_hash="other")

    run(vault, cache=cache)
    assert rows()[0][0] == ("a.md", "# A\n", digest(b"# A\r\n"))


def test_a_cache_remembers_no_file_that_is_gone(vault, monkeypatch):
    cache = ReadCache()
    later = time.time_ns() + 10 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    run(vault, cache=cache)
    known = {Path(location).name for location in cache._known}
    assert known == {"a.md", "b.md", "x.png"}
    (vault / "a.md").unlink()
    (vault / "x.png").unlink()
    run(vault, cache=cache)
    assert {Path(location).name for location in cache._known} == {"b.md"}


def test_vaults_that_were_synced_once_are_forgotten(tmp_path):
    first = weakref.ref(cache_for(tmp_path / "0"))
    assert cache_for(tmp_path / "0") is first()
    for number in range(1, 9):
        cache_for(tmp_path / str(number))
    gc.collect()
    assert first() is None


def test_thousands_of_new_notes_are_no_more_variables_than_sqlite_takes(
    tmp_path, store
):
    run(write_tree(tmp_path / "one", {"old.md": "moved", "gone.md": "gone"}))
    many = {f"{number}.md": f"{number}" for number in range(1100)}
    vault = write_tree(tmp_path / "many", {**many, "new.md": "moved"})
    limit = sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER
    before = connection.connection.setlimit(limit, 999)
    try:
        report = run(vault, delete=True)
    finally:
        connection.connection.setlimit(limit, before)
    assert (report.added, report.removed) == (1101, 2)
    assert list(FormerAddress.objects.values_list("address", "path")) == [
        ("old", "new.md")
    ]


def test_progress_ends_with_everything_done(vault):
    said: list[dict[str, object]] = []
    run(vault, progress=said.append)

    ends = {state["phase"]: (state["done"], state["total"]) for state in said}
    assert ends == {"reading": (4, 4), "storing": (1, 1), "writing": (3, 3)}


def test_the_job_takes_and_returns_what_json_can_hold(vault, settings):
    settings.NOTES_EXCLUDE = ["Templates/", "b.md"]
    params = {"directory": str(vault), "exclude": None, "delete": False}
    said: list[dict[str, object]] = []

    result = json.loads(json.dumps(sync_vault_job(params, said.append)))

    assert SyncReport.from_dict(result) == SyncReport(
        1, 0, 2, (("bad.md", "not UTF-8 (byte 0xff at offset 0)"),), 1, 0, 0, 1, 0, 0, 1
    )
    assert json.loads(json.dumps(said)) == said
    assert sync_vault_job(params | {"exclude": []}, said.append)["published"] == 2


def test_a_bad_vault_changes_nothing(vault):
    run(vault)
    before = rows()

    with pytest.raises(VaultError):
        run(vault.parent / "nowhere", delete=True)
    assert rows() == before


def test_several_hundred_changed_notes_take_a_second_at_most(tmp_path, store):
    vault = tmp_path / "vault"
    text = "---\ntitle: A\ntags: [a, b]\n---\n" + "A line of text.\n" * 100
    write_tree(vault, {f"{number}.md": text for number in range(500)})
    run(vault)
    write_tree(vault, {f"{number}.md": text + "new" for number in range(500)})

    # Of the processor: what else the machine does meanwhile says nothing here.
    began = time.process_time()
    report = run(vault)

    assert report.changed == 500
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize("name", VAULT_NAMES)
def test_every_shared_vault_syncs(name, tmp_path, store):
    vault = copy_vault(name, tmp_path)
    inner = [path.relative_to(vault) for path in vault.rglob("*") if path.is_file()]
    shown = [
        path
        for path in inner
        if not any(part.startswith((".", "_")) for part in path.parts)
    ]
    excluded = [path for path in shown if "Templates" in path.parts]
    notes = [path for path in shown if path.suffix == ".md"]

    report = run(vault)

    assert report.skipped == ()
    assert report.excluded == sum(path.suffix == ".md" for path in excluded)
    assert report.published + report.drafts == len(notes) - report.excluded
    assert Attachment.objects.count() == len(shown) - len(notes) - sum(
        path.suffix != ".md" for path in excluded
    )
    assert not run(vault).is_change


NAMES = st.sampled_from(
    [
        "a.md",
        "b/a.md",
        "b/\u00e9.md",
        "b/e\u0301.md",
        "_s.md",
        "Templates/t.md",
        "p.png",
        "b/q.canvas",
        ".hidden/x.md",
        "LICENSE",
    ]
)
# Of sizes that differ, so that the cache is right about files however young.
CONTENTS = st.sampled_from(
    [b"", b"x", b"---\ndraft: true\n---\n", b"---\n[\n---\n", b"\xff\xff", b"y\r\n"]
)
TREES = st.dictionaries(NAMES, CONTENTS, max_size=8)
EDITS = st.lists(st.tuples(NAMES, st.none() | CONTENTS), max_size=6)


@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(tree=TREES, edits=EDITS)
def test_a_sync_after_edits_is_a_first_sync_of_the_same_vault(
    tmp_path_factory, settings, monkeypatch, tree, edits
):
    folder = tmp_path_factory.mktemp("property")
    vault = write_tree(folder / "vault", tree)
    settings.NOTES_ATTACHMENTS_DIR = folder / "attachments"
    monkeypatch.setattr("notes.reading._SETTLED", -1.0)
    clear()
    cache = ReadCache()
    run(vault, cache=cache)
    for name, content in edits:
        if content is None:
            (vault / name).unlink(missing_ok=True)
        else:
            write_tree(vault, {name: content})

    report = run(vault, cache=cache, delete=True)
    again = run(vault, cache=cache)
    edited = rows()
    clear()
    fresh = run(vault)

    assert rows() == edited
    assert not again.is_change
    assert again.sequence == report.sequence
    assert fresh.summary() == report.summary() == again.summary()
    assert fresh.skipped == report.skipped == again.skipped


def clear() -> None:
    for model in (Note, Attachment, Change):
        model.objects.all().delete()
