"""The site's settings, with a data directory that goes with the test run."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Tests run in several processes beside one another, each with a folder of its own;
# the processes that a test starts inherit its folder, or are given another.
_runner = os.environ.get("PYTEST_XDIST_WORKER", "")
if "DATA_DIR" not in os.environ or os.environ.get("TESTS_OF", _runner) != _runner:
    os.environ["TESTS_OF"] = _runner
    os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="trip2g-test-")
    atexit.register(shutil.rmtree, os.environ["DATA_DIR"], ignore_errors=True)

from trip2g_site.settings import *  # noqa: E402, F403

# In a file, as the site's own: threads meet in it as they do there, and what is
# kept in memory has other locks.
DATABASES["default"]["TEST"] = {"NAME": DATA_DIR / "test.sqlite3"}  # noqa: F405
