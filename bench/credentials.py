"""Keys and certificates of a cluster of one machine, and the file that kubectl reads."""

from __future__ import annotations

import json
from pathlib import Path

from bench.node import call

CONFIG = "admin.conf"
"""What kubectl and the servers read; everybody is the administrator."""


def make(folder: Path, address: str) -> None:
    """Write them to *folder*, for a server at *address*: ca, apiserver, admin, sa."""
    names = (
        f"subjectAltName=IP:{address},IP:127.0.0.1,IP:10.96.0.1,"
        "DNS:kubernetes,DNS:kubernetes.default"
    )

    def path(name: str) -> str:
        return str(folder / name)

    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    by = ("-CA", path("ca.crt"), "-CAkey", path("ca.key"))
    for name, subject, more in (
        ("ca", "/CN=cluster", ()),
        ("apiserver", "/CN=kube-apiserver", (*by, "-addext", names)),
        ("admin", "/O=system:masters/CN=admin", by),
    ):
        out = ("-keyout", path(f"{name}.key"), "-out", path(f"{name}.crt"))
        call("openssl", *new, "-subj", subject, *out, *more)
    call("openssl", "genrsa", "-out", path("sa.key"), "2048")
    user = {"client-certificate": path("admin.crt"), "client-key": path("admin.key")}
    server = {
        "server": f"https://{address}:6443",
        "certificate-authority": path("ca.crt"),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": server}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (folder / CONFIG).write_text(json.dumps(config))
