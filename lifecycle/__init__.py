"""
Let one process replace another under load, without dropping a request.

What holds at any time:

* At most one instance of a data directory holds the writer slot.
* An instance that does not answer /readyz with 200 may still serve; one that
  answers 200 serves.
* The listening socket is closed at least a grace period after /readyz turned 503.

The package knows nothing of the application that it serves. Modules without a
Django import are loaded by the gunicorn master before Django exists.
"""

from __future__ import annotations
