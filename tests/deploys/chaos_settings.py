"""The site's settings, and a writer subsystem that no other may run beside."""

from __future__ import annotations

from trip2g_site.settings import *  # noqa: F403
from trip2g_site.settings import LIFECYCLE_WRITER_SUBSYSTEMS as _SUBSYSTEMS

LIFECYCLE_WRITER_SUBSYSTEMS = [*_SUBSYSTEMS, "tests.deploys.exclusive.hold"]
