"""What to tell an operator whose database SQLite cannot use."""

from __future__ import annotations

from lifecycle.conf import conf

# What to do about SQLite's primary result codes; see sqlite.org/rescode.html.
_REMEDIES = {
    3: "See to the permissions of the file and its folder.",  # PERM
    5: "Another program keeps it locked: end that, then start again.",  # BUSY
    6: "Another program keeps it locked: end that, then start again.",  # LOCKED
    8: "See to the permissions of the file and its folder.",  # READONLY
    10: "See to the disk.",  # IOERR
    11: "Move it away and restore a backup.",  # CORRUPT
    13: "Make room on the disk.",  # FULL
    14: "See to the permissions of the file and its folder.",  # CANTOPEN
    26: "Move it away and restore a backup.",  # NOTADB
}


def _begin() -> str:
    return f"Database {conf.database_path} cannot be used: "


def is_unfit(error: BaseException) -> bool:
    """Return whether *error* has its text from `unfit_text`: one line, for people."""
    return str(error).startswith(_begin())


def unfit_text(error: BaseException) -> str:
    """Return SQLite's *error* as one line that names the file, and what to do."""
    begin = _begin()
    if is_unfit(error):
        return str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    remedy = _REMEDIES.get(code, "Its tables are not what this version expects.")
    return f"{begin}{error}. {remedy}"
