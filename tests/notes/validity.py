"""HTML as the Nu Html Checker sees it, the validator that the W3C runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# Each with the reason why it is not the site's to mend.
_MEANT = {
    r"The heading .* follows the heading .* skipping": "the author's own headings",
    r"This document appears to be written in": "the author's to say, with `lang`",
    r"Empty heading": "a `##` with nothing after it, as Obsidian shows it",
    r"Document uses the Unicode Private Use Area": "the author's characters",
    r"Text run is not in Unicode Normalization Form C": "the author's characters",
    r"Bad value .* Illegal character in fragment": "a link elsewhere, as it was given",
}

# Quick to start, and with the stack that deep pages need.
_JAVA = ("java", "-Xss4m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


def missing() -> str:
    """Return why pages cannot be checked here; empty when they can be."""
    if shutil.which("java") is None:
        return "no java"
    return "" if _jar().is_file() else f"no {_jar()}"


def complaints(pages: Mapping[str, bytes], folder: Path) -> set[tuple[str, str]]:
    """Return pairs of an address and what is wrong with the page; uses *folder*."""
    folder.mkdir()
    addresses = {}
    for number, (address, body) in enumerate(pages.items()):
        file = folder / f"{number}.html"
        file.write_bytes(body)
        addresses[file.as_uri().removeprefix("file://")] = address
    done = subprocess.run(
        [*_JAVA, "-jar", str(_jar()), "--format", "json", "--stdout", str(folder)],
        capture_output=True,
        timeout=600,
        check=False,
    )
    assert done.stdout, done.stderr.decode(errors="replace")
    return {
        (
            addresses[message["url"].removeprefix("file:").replace("//", "/")],
            f"{message['message']} {message.get('extract', '')!r}",
        )
        for message in json.loads(done.stdout)["messages"]
        if not any(re.match(way, message["message"]) for way in _MEANT)
    }


def _jar() -> Path:
    return Path(sys.executable).parent / "vnu.jar"
