from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from lifecycle.secret_key import SecretKeyError, load_secret_key
from tests.lifecycle.children import python, said

LOAD = """
import sys
from pathlib import Path
from lifecycle.secret_key import load_secret_key
print("up", flush=True)
sys.stdin.readline()
print(load_secret_key(Path(sys.argv[1])), flush=True)
"""


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "data" / "secret-key"
    key = load_secret_key(path)
    assert len(key) >= 50
    assert load_secret_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["secret-key"]


def test_two_data_directories_have_two_keys(tmp_path: Path) -> None:
    assert load_secret_key(tmp_path / "a") != load_secret_key(tmp_path / "b")


def test_a_key_that_was_put_there_is_used(tmp_path: Path) -> None:
    path = tmp_path / "secret-key"
    path.write_text("of my own\n")
    assert load_secret_key(path) == "of my own"


def test_processes_that_make_it_at_once_agree(tmp_path: Path) -> None:
    """With rename() in place of link() they do not, within a few rounds."""
    for attempt in range(3):
        path = tmp_path / str(attempt) / "secret-key"
        with (
            python(LOAD, str(path)) as one,
            python(LOAD, str(path)) as two,
            python(LOAD, str(path)) as three,
        ):
            processes = [one, two, three]
            assert [said(process) for process in processes] == ["up"] * 3
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("\n")
                process.stdin.flush()
            keys = {said(process) for process in processes}
        assert keys == {path.read_text()}
        assert [found.name for found in path.parent.iterdir()] == ["secret-key"]


def test_a_key_made_by_another_in_the_last_moment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret-key"
    real = Path.hardlink_to

    def link(self: Path, target: str) -> None:
        path.write_text("made by another")
        real(self, target)

    monkeypatch.setattr(Path, "hardlink_to", link)
    assert load_secret_key(path) == "made by another"
    assert [found.name for found in tmp_path.iterdir()] == ["secret-key"]


def test_a_key_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "secret-key"
    path.mkdir()
    with pytest.raises(SecretKeyError) as caught:
        load_secret_key(path)
    assert str(caught.value) == (
        f"The secret key {path} can neither be read nor made: Is a directory. It must "
        f"be a file that user {os.geteuid()} may read, in a folder that this user may "
        "write to; or set SECRET_KEY."
    )


def test_a_key_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(SecretKeyError, match="nor made: Not a directory"):
        load_secret_key(tmp_path / "data" / "secret-key")


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff"])
def test_a_key_that_is_none_is_not_used(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret-key"
    path.write_bytes(content)
    with pytest.raises(SecretKeyError, match=re.escape(str(path))):
        load_secret_key(path)
