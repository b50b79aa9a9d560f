"""
The vault on disk: which files are in it, and which are left out and why.

What is read here is names and sizes; `notes.reading` opens the files.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pathspec import GitIgnoreSpec

from notes.exceptions import UnreadableFileError, VaultError

SETTINGS = "_site.md"
"""The path of the settings of the site: a note to whoever writes it, and no page."""

MAX_PATH = 1024
"""In characters; the models' columns hold no more."""

Identity = tuple[int, int]
"""Device and inode: the same folder, by whatever path it was reached."""


@dataclass(frozen=True, slots=True)
class VaultFile:
    """
    A file of the vault that may be read.

    Attributes:
        path: relative to the vault, NFC, '/' between folders; a note's ends in '.md'.
        location: where it is on disk, with symlinks followed.
    """

    path: str
    location: str


@dataclass(slots=True)
class Scan:
    """
    What a walk over a vault found, sorted by path.

    Attributes:
        excluded: how many notes the globs leave out.
        skipped: pairs of (printable path, reason), one for each file left out that
            its author may expect to see.
    """

    notes: list[VaultFile] = field(default_factory=list)
    attachments: list[VaultFile] = field(default_factory=list)
    excluded: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)


def printable(path: str) -> str:
    """Return *path* on one line: control characters and stray bytes are escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )


def is_system(name: str) -> bool:
    """Whether a file or folder of this name is no part of the site ('.git', '_x')."""
    return name.startswith((".", "_"))


def note_path(name: str) -> str:
    """
    Return the path that a vault's note of this *name* has; '.md' may be left out.

    Raises:
        UnreadableFileError: a sync would not take a note of this name in.
    """
    parts = unicodedata.normalize("NFC", name).split("/")
    if not all(parts):
        raise UnreadableFileError("a part of the path has no name")
    for part in parts:
        _check_part(part)
        if is_system(part) and parts not in (["_site"], [SETTINGS]):
            raise UnreadableFileError(f"{printable(part)!r} is a system file's name")
    path = "/".join(parts)
    path = f"{path[:-3] if path.lower().endswith('.md') else path}.md"
    _check_name(path)
    return path


def compile_exclude(globs: Iterable[str]) -> GitIgnoreSpec:
    """
    Return *globs*, lines as in a .gitignore, as one matcher.

    'Templates/' is a folder of that name wherever it is, '/Templates/' only the one
    at the top, '*.tmp.md' files, '!keep.md' an exception to the ones before.

    Raises:
        VaultError: a glob is not valid.
    """
    lines = [unicodedata.normalize("NFC", glob) for glob in globs if glob.strip()]
    for line in lines:
        try:
            (pattern,) = GitIgnoreSpec.from_lines([line], backend="simple").patterns
            is_valid = pattern.include is not None or line.startswith("#")
        except (ValueError, re.error):
            is_valid = False
        if not is_valid:
            raise VaultError(f"The exclude glob {line!r} is not valid.")
    return GitIgnoreSpec.from_lines(lines, backend="simple")


def open_vault(directory: Path) -> Path:
    """
    Return *directory*, symlinks followed.

    Raises:
        VaultError: it is missing, not a directory, or may not be read.
    """
    try:
        root = directory.resolve(strict=True)
        with os.scandir(root):
            return root
    except FileNotFoundError as exc:
        raise VaultError(f"The vault {str(directory)!r} does not exist.") from exc
    except NotADirectoryError as exc:
        raise VaultError(f"The vault {str(directory)!r} is not a directory.") from exc
    except (OSError, RuntimeError) as exc:  # RuntimeError: a loop of symlinks
        reason = getattr(exc, "strerror", None) or str(exc)
        raise VaultError(
            f"The vault {str(directory)!r} cannot be read: {reason}."
        ) from exc


def scan(
    directory: Path, *, exclude: Iterable[str] = (), own_dirs: Sequence[Path] = ()
) -> Scan:
    """
    Walk over the vault in *directory*.

    Left out without a word: what is system, and *own_dirs*, where the site keeps its
    own files. Symlinks inside the vault are followed, each folder once.

    Raises:
        VaultError: the vault cannot be read, is one of *own_dirs*, or a glob is
            not valid.
    """
    root = open_vault(directory)
    own = {os.path.realpath(path) for path in own_dirs}
    if str(root) in own:
        raise VaultError(f"The vault {str(directory)!r} is the site's data directory.")
    walk = _Walk(str(root), compile_exclude(exclude), own)
    walk.run()
    found = walk.found
    found.notes.sort(key=lambda file: file.path)
    found.attachments.sort(key=lambda file: file.path)
    found.skipped.sort()
    return found


@dataclass(frozen=True, slots=True)
class _Folder:
    """
    A folder to walk over.

    Attributes:
        prefix: its vault path with a slash at the end; empty for the vault.
        shown: the same with its name as it is on disk.
        ancestors: what it is in, itself included, by links as well as on disk.
        is_excluded: whether only its notes are counted.
    """

    location: str
    prefix: str
    shown: str
    ancestors: frozenset[Identity]
    is_excluded: bool = False


class _Walk:
    """One walk over a vault; *found* is unsorted."""

    def __init__(self, root: str, exclude: GitIgnoreSpec, own: set[str]) -> None:
        self.found = Scan()
        self._root = root
        self._exclude = exclude
        self._own = own
        self._taken: dict[str, str] = {}  # where the file of a vault path is
        self._followed: set[Identity] = set()
        self._folders: list[_Folder] = []

    def run(self) -> None:
        identity = _identity(Path(self._root).stat())
        self._folders.append(_Folder(self._root, "", "", frozenset({identity})))
        while self._folders:
            folder = self._folders.pop()
            try:
                with os.scandir(folder.location) as entries:
                    names = sorted(entries, key=_order)
            except FileNotFoundError:
                continue  # it went while the walk was on its way
            except OSError as exc:
                if not folder.is_excluded:
                    self._skip(folder.shown, f"cannot be read ({exc.strerror})")
                continue
            end = len(self._folders)
            for entry in names:
                path = folder.prefix + unicodedata.normalize("NFC", entry.name)
                try:
                    self._take(folder, entry, path)
                except FileNotFoundError:
                    continue
                except UnreadableFileError as exc:
                    self._skip(folder.shown + entry.name, str(exc))
                except OSError as exc:
                    reason = f"cannot be read ({exc.strerror})"
                    self._skip(folder.shown + entry.name, reason)
            self._folders[end:] = reversed(self._folders[end:])  # next is the first

    def _take(self, folder: _Folder, entry: os.DirEntry[str], path: str) -> None:
        _check_part(entry.name)
        if is_system(entry.name) and not (path == SETTINGS and entry.is_file()):
            return
        is_link = entry.is_symlink()
        # DirEntry.is_dir() raises for a symlink to itself, Path's does not.
        is_folder = Path(entry.path).is_dir() if is_link else entry.is_dir()
        excluded = folder.is_excluded or self._exclude.match_file(
            path + "/" if is_folder else path
        )
        if excluded and (is_link or not is_folder):
            self.found.excluded += path.lower().endswith(".md")
            return
        if not excluded:
            _check_name(path)
        location = self._follow(entry) if is_link else entry.path
        if location in self._own or (is_link and self._is_in_own(Path(location))):
            return
        if is_folder:
            ancestors = self._descend(folder, Path(location), is_link=is_link)
            shown = folder.shown + entry.name + "/"
            self._folders.append(
                _Folder(location, path + "/", shown, ancestors, excluded)
            )
        else:
            self._add(entry, path, location)

    def _add(self, entry: os.DirEntry[str], path: str, location: str) -> None:
        """Take the file in, unless its path is taken already."""
        # Reading a pipe or a device might never end.
        if not entry.is_file():
            raise UnreadableFileError("not a regular file")
        is_note = path.lower().endswith(".md")
        if is_note:
            path = path[:-3] + ".md"
        if path in self._taken:
            other = printable(os.path.relpath(self._taken[path], self._root))
            raise UnreadableFileError(f"the same path as {other!r}, written otherwise")
        self._taken[path] = entry.path
        files = self.found.notes if is_note else self.found.attachments
        files.append(VaultFile(path, location))

    def _follow(self, entry: os.DirEntry[str]) -> str:
        """Return where a symlink leads."""
        try:
            location = Path(os.path.realpath(entry.path, strict=True))
        except OSError as exc:
            raise UnreadableFileError(f"broken symlink ({exc.strerror})") from exc
        if not location.is_relative_to(self._root):
            raise UnreadableFileError("symlink out of the vault")
        if any(map(is_system, location.relative_to(self._root).parts)):
            raise UnreadableFileError("symlink to a system file")
        return str(location)

    def _is_in_own(self, location: Path) -> bool:
        """Return whether *location* is in a folder of the site's that is in the vault."""
        above = location.relative_to(self._root).parents
        return any(str(Path(self._root, folder)) in self._own for folder in above)

    def _descend(
        self, folder: _Folder, location: Path, *, is_link: bool
    ) -> frozenset[Identity]:
        """Return the ancestors of what is in the folder at *location*."""
        identity = _identity(location.stat())
        if identity in folder.ancestors:
            raise UnreadableFileError("symlink to a folder that it is in")
        if not is_link:
            return folder.ancestors | {identity}
        # Folders that link to each other have a path for every order in which
        # they can be visited.
        if identity in self._followed:
            raise UnreadableFileError("second symlink to the same folder")
        self._followed.add(identity)
        inner = location.relative_to(self._root)
        on_disk = {_identity((self._root / up).stat()) for up in inner.parents}
        return folder.ancestors | {identity} | on_disk

    def _skip(self, path: str, reason: str) -> None:
        self.found.skipped.append((printable(path), reason))


def _order(entry: os.DirEntry[str]) -> tuple[str, bool, str]:
    """Sort by name; of two that are the same in NFC, the one that is in NFC first."""
    name = unicodedata.normalize("NFC", entry.name)
    return name, name != entry.name, entry.name


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _check_part(name: str) -> None:
    """Raise when *name*, of a file or folder, leads out of the vault."""
    # A backslash separates folders for whoever unpacks or copies the vault on
    # Windows. 'Well....md' is a name like any other.
    if ".." in name.split("\\"):
        raise UnreadableFileError("the name has '..' for a folder")


def _check_name(path: str) -> None:
    """Raise when a URL, a log line or the database could not hold *path*."""
    try:
        path.encode()
    except UnicodeEncodeError as exc:
        raise UnreadableFileError("the name is not UTF-8") from exc
    if any(unicodedata.category(char) == "Cc" for char in path):
        raise UnreadableFileError("the name has a control character")
    if len(path) > MAX_PATH:
        raise UnreadableFileError(f"the path is over {MAX_PATH} characters long")
