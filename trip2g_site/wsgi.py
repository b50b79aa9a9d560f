"""The WSGI application: the layers, from the outermost in."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "trip2g_site.settings")
_django = get_wsgi_application()

# What imports settings or models comes after Django is set up.
from django.conf import settings  # noqa: E402

from lifecycle.proxies import TrustedProxies  # noqa: E402
from lifecycle.writes import WriteGate  # noqa: E402
from notes.hosts import AllowedHosts  # noqa: E402
from notes.serving import Pages  # noqa: E402
from notes.statics import StaticFiles  # noqa: E402

application = TrustedProxies(
    AllowedHosts(StaticFiles(Pages(WriteGate(_django)))),
    settings.LIFECYCLE_TRUSTED_PROXIES,
)
