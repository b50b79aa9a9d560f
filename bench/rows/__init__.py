"""The rows of the table of deploys: a way to replace an instance each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.rows.caddy import Caddy, NaiveCaddy
from bench.rows.caddy_tls import CaddyTls
from bench.rows.consul import ConsulTraefik
from bench.rows.container import Container
from bench.rows.haproxy import HAProxy
from bench.rows.kubernetes import Kubernetes
from bench.rows.naive_restart import NaiveRestart
from bench.rows.nginx import NginxFlip
from bench.rows.nomad import NomadConsulTraefik
from bench.rows.one_port import Handover, ReusePort
from bench.rows.row import Row
from bench.rows.systemd_bluegreen import SystemdBluegreen
from bench.rows.systemd_restart import SystemdRestart
from bench.rows.traefik import NaiveTraefik, Traefik, TraefikRetry

NAMES = (
    "naive-restart",
    "naive-caddy",
    "naive-traefik",
    "traefik",
    "traefik-retry",
    "consul-traefik",
    "nomad-consul-traefik",
    "caddy",
    "caddy-tls",
    "haproxy",
    "nginx-flip",
    "kubernetes",
    "container",
    "reuseport",
    "handover",
    "systemd-bluegreen",
    "systemd-restart",
)
"""Every row that there is to be, in the order of the table."""

_BUILT: tuple[type[Row], ...] = (
    NaiveRestart,
    NaiveCaddy,
    NaiveTraefik,
    Traefik,
    TraefikRetry,
    ConsulTraefik,
    NomadConsulTraefik,
    Caddy,
    CaddyTls,
    HAProxy,
    NginxFlip,
    Kubernetes,
    Container,
    ReusePort,
    Handover,
    SystemdBluegreen,
    SystemdRestart,
)

ROWS: dict[str, type[Row]] = {row.name: row for row in _BUILT}
"""What plays each."""


def why_skipped(name: str) -> str | None:
    """Return why the row *name* cannot be played here; None when it can."""
    if name not in ROWS:
        return "not built yet"
    return ROWS[name].missing()


def ways(name: str) -> Sequence[Mapping[str, Any]]:
    """Return the ways to play the row *name*; see `Row.ways`."""
    return ROWS[name].ways if name in ROWS else ({},)
