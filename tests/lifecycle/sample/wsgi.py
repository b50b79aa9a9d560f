"""The sample's WSGI application; importing it may take SAMPLE_IMPORT_SECONDS."""

from __future__ import annotations

import os
import time

from django.core.wsgi import get_wsgi_application

time.sleep(float(os.environ.get("SAMPLE_IMPORT_SECONDS", "0")))
application = get_wsgi_application()
