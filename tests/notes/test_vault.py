"""notes.vault and notes.reading: what is in a vault, and what is left out and why."""

from __future__ import annotations

import os
import time
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from notes.exceptions import UnreadableFileError, VaultError
from notes.reading import (
    Content,
    ReadCache,
    decode,
    modified_at,
    read_attachment,
    read_note,
)
from notes.vault import VaultFile, compile_exclude, open_vault, printable, scan
from tests.notes.trees import write_tree

LIMIT = 1000  # bytes


def paths(files: list[VaultFile]) -> list[str]:
    return [file.path for file in files]


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "vault", {"a.md": "text"})


def test_scan_tells_notes_from_attachments_sorted(vault):
    write_tree(vault, dict.fromkeys(["b/c.md", "b.png", "LICENSE", "x.canvas"], "x"))
    write_tree(vault, {"folder.md/inner.md": "x", "UPPER.MD": "x"})

    found = scan(vault)

    assert paths(found.notes) == ["UPPER.md", "a.md", "b/c.md", "folder.md/inner.md"]
    assert paths(found.attachments) == ["LICENSE", "b.png", "x.canvas"]
    assert (found.excluded, found.skipped) == (0, [])


def test_system_files_are_left_out_without_a_word(vault):
    system = [".obsidian/a.md", ".x.md", "_x.md", "_f/a.md", "d/.git/c", "d/_x/y.md"]
    write_tree(vault, dict.fromkeys(system, b"\xff"))

    found = scan(vault, exclude=["d/"])

    assert (paths(found.notes), paths(found.attachments)) == (["a.md"], [])
    assert (found.excluded, found.skipped) == (0, [])


def test_excluded_notes_are_counted_and_not_looked_at(vault):
    write_tree(
        vault, {"Templates/t.md": b"\xff", "Templates/x.png": "", "k.tmp.md": ""}
    )
    write_tree(
        vault, {"deep/Templates/sub/t.md": "", "keep.tmp.md": "", "Top/t.md": ""}
    )
    write_tree(vault, {"deep/Top/t.md": "", "Templates/a\n.md": ""})
    (vault / "Templates/out").symlink_to("/etc")

    globs = ["Templates/", "*.tmp.md", "!keep.tmp.md", "/Top/"]
    found = scan(vault, exclude=globs)

    assert paths(found.notes) == ["a.md", "deep/Top/t.md", "keep.tmp.md"]
    assert found.attachments == []
    assert (found.excluded, found.skipped) == (5, [])


@pytest.mark.parametrize("glob_form", ["NFC", "NFD"])
@pytest.mark.parametrize("name_form", ["NFC", "NFD"])
def test_globs_match_whatever_way_a_letter_is_written(vault, name_form, glob_form):
    write_tree(vault, {unicodedata.normalize(name_form, "Entwürfe/e.md"): ""})

    found = scan(vault, exclude=[unicodedata.normalize(glob_form, "Entwürfe/")])

    assert (paths(found.notes), found.excluded) == (["a.md"], 1)


@pytest.mark.parametrize("glob", ["[", "!", "\\", "[z-a]"])
def test_a_glob_that_is_not_valid_is_named(glob):
    with pytest.raises(VaultError) as caught:
        compile_exclude(["ok/", "", "# note", glob])

    assert str(caught.value) == f"The exclude glob {glob!r} is not valid."
    assert caught.value.returncode == 2


def test_names_are_nfc_and_the_second_of_two_is_skipped(vault):
    nfc, nfd = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    write_tree(vault, {f"{nfd}.md": "d", f"{nfc}.md": "c", f"{nfd}/x.md": "only"})
    write_tree(vault, {f"{nfd}/y.md": "d", f"{nfc}/y.md": "c", f"{nfd}2.png": "2"})

    found = scan(vault)

    assert paths(found.notes) == ["a.md", f"{nfc}.md", f"{nfc}/x.md", f"{nfc}/y.md"]
    assert paths(found.attachments) == [f"{nfc}2.png"]
    assert [Path(file.location).read_text() for file in found.notes[1:]] == [
        "c",
        "only",
        "c",
    ]
    assert found.skipped == [
        (f"{nfd}.md", f"the same path as '{nfc}.md', written otherwise"),
        (f"{nfd}/y.md", f"the same path as '{nfc}/y.md', written otherwise"),
    ]


def test_names_that_could_not_be_served_are_skipped(vault):
    write_tree(vault, {"Well....md": "", "..a.md": ""})  # a name like any; a dotfile
    for name in (
        b"a\\..\\b.md",
        b"..\\c.md",
        b"new\nline.md",
        b"\xff.md",
        b"d\x7f/x.md",
    ):
        file = vault / os.fsdecode(name)
        file.parent.mkdir(exist_ok=True)
        file.touch()
    folder = vault / ("x" * 200)
    write_tree(folder / ("y" * 200) / ("z" * 200) / ("w" * 200), {"v" * 240: ""})

    found = scan(vault)

    assert paths(found.notes) == ["Well....md", "a.md"]
    assert found.attachments == []
    long_path = "/".join(["x" * 200, "y" * 200, "z" * 200, "w" * 200, "v" * 240])
    assert found.skipped == [
        ("..\\c.md", "the name has '..' for a folder"),
        ("\\xff.md", "the name is not UTF-8"),
        ("a\\..\\b.md", "the name has '..' for a folder"),
        ("d\\x7f", "the name has a control character"),
        ("new\\nline.md", "the name has a control character"),
        (long_path, "the path is over 1024 characters long"),
    ]


def test_symlinks_inside_are_followed_and_never_for_ever(vault, tmp_path):
    write_tree(vault, {"d/x.md": "x", "d/e/y.md": "y", "_s/z.md": "z"})
    write_tree(tmp_path, {"secret.md": "secret", "vault2/s.md": "secret"})
    links = {
        "note.md": "d/x.md",
        "absolute.md": str(vault / "a.md"),
        "folder": "d/e",
        "folder2": "d/e",
        "d/e/up": "..",
        "top": ".",
        "gone.md": "nowhere",
        "loop.md": "loop.md",
        "out.md": "../secret.md",
        "out": str(tmp_path / "vault2"),
        "system.md": "_s/z.md",
    }
    for name, target in links.items():
        (vault / name).symlink_to(target)

    found = scan(vault)

    assert paths(found.notes) == [
        "a.md",
        "absolute.md",
        "d/e/y.md",
        "d/x.md",
        "folder/y.md",
        "note.md",
    ]
    assert found.skipped == [
        ("d/e/up", "symlink to a folder that it is in"),
        ("folder/up", "symlink to a folder that it is in"),
        ("folder2", "second symlink to the same folder"),
        ("gone.md", "broken symlink (No such file or directory)"),
        ("loop.md", "broken symlink (Too many levels of symbolic links)"),
        ("out", "symlink out of the vault"),
        ("out.md", "symlink out of the vault"),
        ("system.md", "symlink to a system file"),
        ("top", "symlink to a folder that it is in"),
    ]


def test_folders_that_link_to_each_other_end(vault):
    names = [f"f{number}" for number in range(12)]
    for name in names:
        write_tree(vault, {f"{name}/n.md": ""})
        for other in names:
            (vault / name / other).symlink_to(vault / other)

    found = scan(vault)

    assert len(found.notes) == 1 + 12 + 12  # by their own paths, and once by a link


def test_a_pipe_is_never_opened(vault):
    os.mkfifo(vault / "pipe.md")

    assert scan(vault).skipped == [("pipe.md", "not a regular file")]


def test_a_folder_that_cannot_be_read_is_one_line(vault, monkeypatch):
    write_tree(vault, {"locked/x.md": "", "open/y.md": ""})
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = scan(vault)

    assert paths(found.notes) == ["a.md", "open/y.md"]
    assert found.skipped == [("locked/", "cannot be read (Permission denied)")]


def test_the_sites_own_folders_are_no_part_of_the_vault(vault):
    write_tree(vault, {"data/site.sqlite3": "", "data/secret-key": "", "data/x.md": ""})
    write_tree(vault, {"data/run/y.md": ""})
    (vault / "link").symlink_to("data")
    (vault / "link.md").symlink_to("data/x.md")
    (vault / "inner").symlink_to("data/run")
    (vault / "file").symlink_to("data/site.sqlite3")

    found = scan(vault, own_dirs=[vault / "data"])

    assert (paths(found.notes), found.attachments) == (["a.md"], [])
    assert found.skipped == []
    with pytest.raises(VaultError, match="is the site's data directory"):
        scan(vault, own_dirs=[vault])


def test_a_vault_may_be_in_the_data_directory(vault):
    (vault / "link.md").symlink_to("a.md")

    found = scan(vault, own_dirs=[vault.parent])

    assert paths(found.notes) == ["a.md", "link.md"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "The vault '{}' does not exist."),
        ("file", "The vault '{}' is not a directory."),
        ("loop", "The vault '{}' cannot be read: "),
    ],
)
def test_a_bad_vault_is_named(tmp_path, name, message):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(VaultError) as caught:
        open_vault(tmp_path / name)

    assert str(caught.value).startswith(message.format(tmp_path / name))
    assert caught.value.returncode == 2


def test_a_vault_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(VaultError) as caught:
        open_vault(tmp_path)

    assert (
        str(caught.value)
        == f"The vault {str(tmp_path)!r} cannot be read: Permission denied."
    )


def read(vault: Path, name: str, content: bytes, **options: Any) -> Content:
    (vault / name).write_bytes(content)
    return read_note(VaultFile(name, str(vault / name)), max_size=LIMIT, **options)


@pytest.mark.parametrize(
    ("content", "source"),
    [
        (b"", ""),
        (b"\xef\xbb\xbf\xef\xbb\xbfa", "\ufeffa"),
        (b"\xef\xbb\xbf---\r\ntitle: A\r\n---\r\nb\rc\n", "---\ntitle: A\n---\nb\nc\n"),
        ("é\0😀".encode(), "é\0😀"),
    ],
)
def test_notes_are_text_without_bom_and_carriage_returns(vault, content, source):
    assert read(vault, "n.md", content).source == source


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"ab\xff", "not UTF-8 (byte 0xff at offset 2)"),
        (b"\xef\xbb\xbfab\xff", "not UTF-8 (byte 0xff at offset 5)"),
        ("hé".encode("utf-16"), "not UTF-8 (byte 0xff at offset 0)"),
        (b"\xed\xa0\x80", "not UTF-8 (byte 0xed at offset 0)"),
        (b"x" * 1001, "over the limit of 1,000 bytes"),
        (
            b"---\r\na: [\r\n---\r\n",
            "line 3: broken YAML: did not find expected node content",
        ),
    ],
)
def test_bad_notes_say_why(vault, content, reason):
    with pytest.raises(UnreadableFileError) as caught:
        read(vault, "n.md", content)

    assert str(caught.value) == reason


def test_a_note_of_just_the_limit_is_read(vault):
    assert read(vault, "n.md", b"x" * LIMIT).size == LIMIT


def test_a_note_has_its_time_and_one_beyond_the_calendar_is_1970(vault):
    content = read(vault, "n.md", b"x")
    os.utime(vault / "n.md", (0, 981173106))
    known = read_note(content.file, max_size=LIMIT)

    assert known.modified_at == datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    far = os.stat_result((0,) * 8 + (10**15, 0))
    assert modified_at(far) == datetime(1970, 1, 1, tzinfo=UTC)


def test_an_attachment_over_the_limit_is_not_read(vault):
    (vault / "x.bin").write_bytes(b"x" * (LIMIT + 1))
    file = VaultFile("x.bin", str(vault / "x.bin"))

    with pytest.raises(UnreadableFileError):
        read_attachment(file, max_size=LIMIT)
    assert read_attachment(file, max_size=LIMIT + 1).size == LIMIT + 1


def test_a_pipe_that_took_the_place_of_a_file_does_not_block(vault):
    os.mkfifo(vault / "x.bin")
    file = VaultFile("x.bin", str(vault / "x.bin"))

    assert read_attachment(file, max_size=LIMIT).size == 0


def test_the_cache_knows_a_settled_file_until_it_changes(vault, monkeypatch):
    cache = ReadCache()
    content = read(vault, "n.md", b"---\ndraft: true\n---\n", cache=cache)
    assert cache.find(content.file) is None  # too young: it may change unseen

    later = time.time_ns() + 10 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    read_note(content.file, max_size=LIMIT, cache=cache)
    known = cache.find(content.file)
    assert known is not None
    assert (known.content_hash, known.is_published, known.source) == (
        content.content_hash,
        False,
        "",
    )

    times = (vault / "n.md").stat()
    (vault / "n.md").write_bytes(b"---\ndraft: null\n---\n")  # of the same size
    os.utime(vault / "n.md", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert cache.find(content.file) is None


def test_decode_and_printable_are_one_line_each():
    assert decode(b"a\r\n\r\nb") == "a\n\nb"
    assert printable("é\n\u202e\u2028\udcff😀") == "é\\n\\u202e\\u2028\\xff😀"
