"""The render cache: a boot from it is as one without it, only sooner."""

from __future__ import annotations

import ast
import datetime
import fcntl
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from notes import caching, making
from notes import site as sites
from notes.models import Attachment, Change, Note
from notes.site import Site
from notes.warmup import warm_site
from tests.notes.sites import NOON, make_site
from tests.notes.test_warmup import Context

pytestmark = pytest.mark.django_db(transaction=True)

FILES: dict[str, str | bytes] = {
    "index.md": "---\ntitle: Tea\n---\n[[Green tea]] ![[leaf.png]]",
    "Green tea.md": "# Green\n\n#drinks ![[index]] [[nowhere]]\n\n```py\nx = 1\n```",
    "x/日本.md": "---\ndate: 2026-04-05\n---\n" + "text " * 400,
    "leaf.png": b"leaf",
}


@pytest.fixture(autouse=True)
def cache(settings: Any, tmp_path: Path) -> Path:
    settings.NOTES_CACHE_DIR = tmp_path / "cache"
    settings.ALLOWED_HOSTS = ["*"]
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def _no_site() -> Iterator[None]:
    before = sites.current()
    yield
    sites.publish(before)


def _write(files: dict[str, str | bytes | None], sequence: int) -> None:
    """Make the rows of *files* what a sync would."""
    for path, content in files.items():
        model = Note if path.endswith(".md") else Attachment
        model.objects.filter(path=path).delete()
        if isinstance(content, str):
            Note.objects.create(
                path=path, source=content, content_hash=content, modified_at=NOON
            )
        elif content is not None:
            Attachment.objects.create(
                path=path,
                content_hash=content.hex(),
                size=len(content),
                modified_at=NOON,
            )
        Change.objects.create(sequence=sequence, path=path)


def _boot(check: bool = False) -> tuple[Site, int]:
    """Return the site of a boot, and how many notes it had to make."""
    context = Context()
    context.check = check
    answer = warm_site(context)
    site = sites.current()
    assert site is not None
    return site, answer["made"] if isinstance(answer, dict) else -1


def _assert_equal(left: Site, right: Site) -> None:
    assert left.pages == right.pages
    assert left.is_equal_to(right)
    if left.facts:  # a feed of nothing tells the time
        assert left.documents == right.documents
    assert left.sequence == right.sequence
    assert (left.missing, left.files) == (right.missing, right.files)


def _uncached() -> Site:
    return _boot(check=True)[0]


def _file(cache: Path) -> Path:
    (file,) = cache.iterdir()
    return file


def test_a_second_boot_makes_nothing_and_serves_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _write({**FILES}, 3)
    first, made = _boot()
    assert made == 3
    monkeypatch.setattr(making, "parse", None)
    monkeypatch.setattr(making, "render", None)
    second, made = _boot()
    assert made == 0
    assert second is not first
    _assert_equal(second, first)


def test_a_note_that_fell_due_since_is_on_the_site_of_the_next_boot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [NOON]
    monkeypatch.setattr(timezone, "now", lambda: now[0])
    _write({**FILES, "later.md": "---\ndate: 2026-03-01 12:01\n---\n[[index]]"}, 3)
    first, _ = _boot()
    assert "/later" not in first.pages
    now[0] += datetime.timedelta(minutes=1)
    second, made = _boot()
    assert made == 1
    assert "/later" in second.pages
    _assert_equal(second, _uncached())


def test_settings_that_change_while_nothing_runs_are_on_every_page() -> None:
    _write({**FILES, "_site.md": "---\ntitle: Site\n---\n"}, 3)
    first, _ = _boot()
    _assert_equal(_boot()[0], first)
    _write({"_site.md": "---\ntitle: Other\n---\n"}, 4)
    second, _ = _boot()
    assert b"Other" in second.pages["/Green-tea"].body
    _assert_equal(second, _uncached())


@pytest.mark.parametrize(
    "change",
    [
        {"_site.md": "---\ntitle: Other\n---\n"},
        {"custom.css": b"p { color: red }"},
        {"part.md": "What all of them show"},
    ],
    ids=["settings", "style", "embedded"],
)
def test_one_change_that_every_page_shows_is_made_by_the_next_boot_only(
    change: dict[str, str | bytes | None],
) -> None:
    # So many that one of them is less than is worth saving.
    notes = {f"n{number}.md": "![[part]]" for number in range(120)}
    _write({**notes, "part.md": "", "custom.css": b""}, 3)
    _boot()
    _write(change, 4)
    made = []
    for _ in range(2):
        figures = warm_site(Context())
        assert isinstance(figures, dict)
        made.append(figures["pages_made"])
    assert made[0] >= 120
    assert made[1] == 0


def test_another_time_zone_has_other_dates(settings: Any) -> None:
    _write({**FILES}, 3)
    _boot()
    settings.TIME_ZONE = "Asia/Tokyo"
    again, _ = _boot()
    _assert_equal(again, _uncached())


_CONTENTS = st.none() | st.sampled_from(
    ["", "[[a]] [[b]]", "![[a]] #t", "# B\n\n[[c|x]]", "---\ndraft: true\n---\n[[a]]"]
)


@pytest.mark.usefixtures("cache")
@hypothesis_settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
    ],
)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["a.md", "x/b.md", "c.md", "d.md"]), _CONTENTS, max_size=3
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_boot_after_any_changes_serves_what_one_without_a_cache_does(
    edits: list[dict[str, str | None]],
) -> None:
    Note.objects.all().delete()
    for sequence, edit in enumerate(edits, Change.objects.count() + 1):
        _write({**edit}, sequence)
        _assert_equal(_boot()[0], _uncached())


def test_only_what_differs_is_made() -> None:
    _write({**FILES}, 1)
    before, _ = _boot()
    # Of another database, whose log says nothing of it.
    Change.objects.all().delete()
    _write({"Green tea.md": "green", "leaf.png": None, "new.md": ""}, 1)
    after, made = _boot()
    assert made == 3
    assert after.pages["/x/日本".encode().decode("latin-1")].body
    assert after.packed["x/日本.md"] == before.packed["x/日本.md"]
    _assert_equal(after, _uncached())


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "foreign", "nonsense"])
def test_a_file_that_is_not_as_it_was_written_is_ignored_and_replaced(
    cache: Path,
    damage: str,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _write({**FILES}, 1)
    first, _ = _boot()
    file = _file(cache)
    content = file.read_bytes()
    if damage == "foreign":
        # As if written by who does not know the key: it must not be unpickled.
        key, settings.SECRET_KEY = settings.SECRET_KEY, "another"
        caching.save(first)
        settings.SECRET_KEY = key
    else:
        middle = len(content) // 2
        file.write_bytes(
            {
                "cut": content[:middle],
                "empty": b"",
                "flipped": content[:middle]
                + bytes([content[middle] ^ 1])
                + content[middle + 1 :],
                "nonsense": b"x" * 100,
            }[damage]
        )
    second, made = _boot()
    assert made == 3
    assert f"event=cache_ignored file={file.name} reason=signature" in caplog.messages
    _assert_equal(second, first)
    assert _boot()[1] == 0


def test_a_signed_file_that_cannot_be_read_is_no_reason_to_fail(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _write({**FILES}, 1)
    monkeypatch.setattr(caching.pickle, "Pickler", _Unloadable)  # type: ignore[attr-defined]
    _boot()
    monkeypatch.undo()
    # The undoing took the folder of the test with it, too.
    from django.conf import settings

    settings.NOTES_CACHE_DIR = cache
    assert _boot()[1] == 3
    assert any(text.startswith("event=cache_unreadable") for text in caplog.messages)
    assert _boot()[1] == 0


class _Unloadable:
    def __init__(self, file: Any, protocol: int) -> None:
        self._file = file

    def dump(self, value: object) -> None:
        self._file.write(b"not a pickle")


def test_another_version_takes_the_parsed_notes_and_makes_the_pages(
    monkeypatch: pytest.MonkeyPatch, settings: Any, cache: Path
) -> None:
    _write({**FILES}, 1)
    _boot()
    settings.NOTES_PUBLIC_URL = "https://example.org"
    with monkeypatch.context() as patched:
        patched.setattr(making, "parse", None)
        site, made = _boot()
    assert made == 3
    assert b"https://example.org/Green-tea" in site.pages["/Green-tea"].body
    _assert_equal(site, _uncached())
    assert len(list(cache.iterdir())) == 2


def test_a_version_that_parses_otherwise_takes_nothing(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    _write({**FILES}, 1)
    _boot()
    parsed: list[str] = []

    def parse(note):
        parsed.append(note.path)
        return original(note)

    original = making.parse  # type: ignore[attr-defined]
    monkeypatch.setattr(making, "parse", parse)
    monkeypatch.setattr(caching, "parsing_version", lambda: "0" * 32)
    _boot()
    assert sorted(parsed) == ["Green tea.md", "index.md", "x/日本.md"]


def test_the_version_of_parsing_knows_of_all_that_parsing_uses() -> None:
    folder = Path(caching.__file__).parent
    named = set(caching._PARSING_SOURCES)
    used = {
        (node.module or "").split(".")[1]
        for name in ("rendering", "bases")
        for path in (folder / name).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("notes.")
    }
    # How an exception is called changes nothing of a note.
    assert {"rendering", "bases", "links"} <= used
    assert used - {"exceptions"} <= {name.removesuffix(".py") for name in named}


def test_the_version_knows_of_sources_settings_and_static_files(settings: Any) -> None:
    before = caching.site_version()
    settings.NOTES_PUBLIC_URL = "https://example.org"
    assert caching.site_version() != before
    assert len(caching.parsing_version()) == len(before)


def test_the_files_unused_for_longest_and_those_of_dead_boots_go(
    cache: Path, settings: Any
) -> None:
    _write({**FILES}, 1)
    names = []
    for number in range(3):
        settings.NOTES_PUBLIC_URL = f"https://{number}.example.org"
        _boot()
        names.append(f"{caching.site_version()}.cache")
        os.utime(cache / names[-1], (number, number))
        if number == 1:
            settings.NOTES_PUBLIC_URL = "https://0.example.org"
            _boot()  # a roll-back: it was used last
    assert {path.name for path in cache.iterdir()} == {names[0], names[2]}


def _die_while_saving(site: Site) -> None:
    # All is written, and only the name is missing.
    Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment, method-assign]
    caching.save(site)


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(
    cache: Path,
) -> None:
    _write({**FILES}, 1)
    site, _ = _boot()
    dying = multiprocessing.get_context("fork").Process(
        target=_die_while_saving, args=(site,)
    )
    dying.start()
    dying.join()
    assert dying.exitcode == -signal.SIGKILL
    (left,) = cache.glob(".new-*")
    with (cache / ".new-alive").open("w") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        caching.save(site)
        assert {path.name for path in cache.glob(".new-*")} == {".new-alive"}
    assert not left.exists()


def test_a_file_that_is_written_is_left_alone_until_it_has_its_name(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _write({**FILES}, 1)
    site, _ = _boot()
    others = [site]

    def rename(path: Path, target: Path) -> Path:
        if others:
            caching.save(others.pop())  # and tidies
        return original(path, target)

    original = Path.replace
    monkeypatch.setattr(Path, "replace", rename)
    caching.save(site)
    assert "event=cache_not_written" not in caplog.text
    assert [path.suffix for path in cache.iterdir()] == [".cache"]


def test_a_file_that_is_removed_before_it_is_locked_is_made_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _write({**FILES}, 1)
    site, _ = _boot()
    made: list[str] = []

    def mkstemp(**options: Any) -> tuple[int, str]:
        descriptor, name = original(**options)
        made.append(name)
        if len(made) == 1:
            caching.save(site)
            assert not Path(name).exists()
        return descriptor, name

    original = tempfile.mkstemp
    monkeypatch.setattr(tempfile, "mkstemp", mkstemp)
    caching.save(site)
    assert len(made) == 3
    assert "event=cache_not_written" not in caplog.text
    assert [path.suffix for path in cache.iterdir()] == [".cache"]


def test_a_note_that_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    _write({**FILES}, 1)

    def render(parsed, vault):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(making, "render", render)
        site, _ = _boot()
        assert site.pages["/Green-tea"].status == "500 Internal Server Error"
    site, _ = _boot()
    assert site.pages["/Green-tea"].status == "200 OK"
    _assert_equal(site, _uncached())


def test_a_folder_that_is_not_there_or_not_to_be_had_is_no_reason_to_fail(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _write({**FILES}, 1)
    # Root may write anywhere, so: a file in the place of the folder.
    cache.write_bytes(b"")
    assert _boot()[1] == 3
    assert any(text.startswith("event=cache_not_written") for text in caplog.messages)


def test_a_folder_that_cannot_be_written_to_is_read_all_the_same(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write({**FILES}, 1)
    _boot()

    def refuse(*args: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(caching.tempfile, "mkstemp", refuse)  # type: ignore[attr-defined]
    monkeypatch.setattr(caching.os, "utime", refuse)  # type: ignore[attr-defined]
    assert _boot()[1] == 0
    _write({"new.md": ""}, 2)
    _assert_equal(_boot()[0], _uncached())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("free", "reason"),
    [
        (None, "Less than 100 MB are free"),
        # Somebody else fills it at the same time.
        (2**40, "No space left on device"),
    ],
    ids=["little", "none"],
)
def test_a_disk_is_not_filled_and_a_full_one_leaves_nothing_behind(
    small_disk: Path,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    free: int | None,
    reason: str,
) -> None:
    if free is not None:
        usage = SimpleNamespace(free=free)
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    settings.NOTES_CACHE_DIR = small_disk / "cache"
    _write({"big.md": " ".join(str(number) for number in range(100_000))}, 1)
    first, _ = _boot()
    assert reason in caplog.text
    assert list((small_disk / "cache").iterdir()) == []
    _assert_equal(_boot()[0], first)


def test_as_much_is_left_free_as_the_file_takes(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write({"big.md": " ".join(str(number) for number in range(100_000))}, 1)
    site, _ = _boot()
    size = _file(cache).stat().st_size
    monkeypatch.setattr(caching, "MIN_FREE", 0)
    for part, is_written in ((1.9, False), (2.1, True)):
        for file in cache.iterdir():
            file.unlink()

        def disk_usage(descriptor: int, free: float = part * size) -> SimpleNamespace:
            return SimpleNamespace(free=free - os.fstat(descriptor).st_size)

        monkeypatch.setattr("shutil.disk_usage", disk_usage)
        caching.save(site)
        assert bool([*cache.iterdir()]) is is_written


def _save_often(site: Site, times: int) -> None:
    logging.disable()
    for _ in range(times):
        caching.save(site)


def test_two_processes_may_fill_it_while_others_read_and_delete(cache: Path) -> None:
    _write({**FILES}, 1)
    site, _ = _boot()
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_save_often, args=(site, 40)) for _ in range(2)]
    for writer in writers:
        writer.start()
    found = []
    while any(writer.is_alive() for writer in writers):
        found.append(caching.load().site)
        if len(found) % 5 == 0:
            for file in cache.glob("*.cache"):
                file.unlink(missing_ok=True)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert any(found)
    for loaded in filter(None, found):
        assert loaded.is_equal_to(site)
    assert list(cache.glob(".new-*")) == []


def test_a_file_is_for_its_owner_only(cache: Path) -> None:
    _write({**FILES}, 1)
    _boot()
    assert _file(cache).stat().st_mode & 0o777 == 0o600
    assert cache.stat().st_mode & 0o777 == 0o700


def test_strings_and_pages_are_shared_again_where_they_were() -> None:
    site = make_site(FILES)
    loaded = pickle.loads(pickle.dumps(site))  # noqa: S301 - our own
    for path, page in loaded.note_pages.items():
        assert any(page is placed for placed in loaded.pages.values()), path
