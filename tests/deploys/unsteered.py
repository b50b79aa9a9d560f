"""
gunicorn on a kernel that refuses to steer: the option has a number that it lacks.

    python -m tests.deploys.unsteered [gunicorn's arguments]
"""

from __future__ import annotations

from gunicorn.app.wsgiapp import run

from lifecycle import steering

if __name__ == "__main__":
    steering._SO_ATTACH_REUSEPORT_CBPF = 9999
    run()
