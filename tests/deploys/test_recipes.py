"""
Every file of deploy/ is read by the program that it is for, or by that one's schema.

And what it says of the site is held against the code: knobs, ports, paths, times.
"""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml

from bench import programs, recipes
from bench.instance import bare_environ
from bench.probes import probe
from bench.program import Program
from bench.recipes import DEPLOY
from bench.rows.balanced import shared_port
from bench.rows.nginx import NginxFlip
from bench.rows.nomad import NomadConsulTraefik
from bench.rows.traefik import ENTRY_POINT
from bench.stage import Stage
from lifecycle.knobs import Knob, duration
from tests.deploys.scene import free_address
from tests.documents import MANUAL, ROOT, table_rows
from trip2g_site.knobs import KNOBS

PUBLIC, INTERNAL = "8080", "8081"
NAMES = {knob.name for knob in KNOBS}
# What a recipe may set beside knobs.
OTHER_NAMES = {"PATH", "PYTHONUNBUFFERED"}


def read(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def seconds(text: str) -> float:
    value = Knob("--any", duration, "", "").read({"--any": text})
    assert isinstance(value, float)
    return value


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(one) for one in command],
        cwd=cwd,
        env=bare_environ() | {"HOME": str(cwd or "/nonexistent")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def skip_without(*names: str) -> None:
    if (reason := programs.missing(*names)) is not None:
        pytest.skip(reason)


# -- read by the program that it is for ---------------------------------------------


@pytest.mark.parametrize(
    "name", ["caddy/Caddyfile", "caddy-tls/Caddyfile", "container/Caddyfile"]
)
def test_caddy_takes_its_file(name, tmp_path):
    skip_without("caddy")
    file = recipes.install(name, tmp_path / "Caddyfile", {})
    said = run(programs.get("caddy"), "validate", "--config", file, cwd=tmp_path)
    assert "Valid configuration" in said
    # Nothing to be formatted either: 'caddy fmt' ends with 1 when there is.
    run(programs.get("caddy"), "fmt", "--diff", file, cwd=tmp_path)


def test_haproxy_takes_its_file(tmp_path):
    skip_without("haproxy")
    file = recipes.install(
        "haproxy/haproxy.cfg", tmp_path / "haproxy.cfg", {"/run/haproxy": str(tmp_path)}
    )
    said = run(programs.get("haproxy"), "-c", "-f", file)
    assert "[WARNING]" not in said


def test_nginx_takes_its_file(tmp_path):
    skip_without("nginx")
    recipes.install("nginx/trip2g-upstream.conf", tmp_path / "upstream.conf", {})
    file = recipes.install(
        "nginx/nginx.conf",
        tmp_path / "nginx.conf",
        {
            "/run/nginx.pid": f"{tmp_path}/nginx.pid",
            "/var/log/nginx/error.log": f"{tmp_path}/error.log",
            "/etc/nginx/trip2g-upstream.conf": f"{tmp_path}/upstream.conf",
        },
    )
    run(programs.get("nginx"), "-t", "-q", "-c", file, "-p", tmp_path, "-e", "stderr")


def test_nginx_keeps_its_upstream_when_it_cannot_read_the_new_one(tmp_path):
    skip_without("nginx")
    row = NginxFlip(Stage(tmp_path))
    row.balancer()
    upstream = row.folder / "upstream.conf"
    before = upstream.read_text()
    done = subprocess.run(
        ["sh", row.folder / "flip.sh", "127.0.0.3:http:8080"],
        env=bare_environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "invalid port in upstream" in done.stderr
    assert upstream.read_text() == before


@pytest.mark.parametrize("name", ["traefik/traefik.yml", "consul/traefik.yml"])
def test_traefik_starts_with_its_file(name, tmp_path):
    skip_without("traefik")
    public = free_address()
    changes = {ENTRY_POINT: f'address: "{public}"'}
    if name == "traefik/traefik.yml":
        ports = {port: str(shared_port()) for port in (PUBLIC, INTERNAL)}
        routes = recipes.install("traefik/dynamic.yml", tmp_path / "dynamic.yml", ports)
        changes["/etc/traefik/dynamic.yml"] = str(routes)
    file = recipes.install(name, tmp_path / "traefik.yml", changes)
    # Without Consul, and with nobody at the two addresses: no route, or no server.
    answer = 404 if name == "consul/traefik.yml" else 503
    with Program(
        [programs.get("traefik"), f"--configFile={file}"],
        log=tmp_path / "traefik.log",
        is_up=lambda: probe(public, "/").status == answer,
    ):
        pass


def test_consul_takes_its_files(tmp_path):
    skip_without("consul")
    for name in ("consul.hcl", "blue.hcl", "green.hcl"):
        recipes.install(f"consul/{name}", tmp_path / name, {})
    said = run(programs.get("consul"), "validate", tmp_path)
    assert "Configuration is valid!" in said


def test_kubernetes_takes_its_manifest():
    run(
        programs.get("kubernetes-validate"),
        *("--strict", "--kubernetes-version", "1.31"),
        DEPLOY / "kubernetes/trip2g.yaml",
    )


SCRIPTS = sorted(str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*.sh"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_a_script(name):
    path = DEPLOY / name
    run("sh", "-n", path)
    assert os.access(path, os.X_OK)
    assert "set -eu" in path.read_text()


# -- says what the code says --------------------------------------------------------


def documents() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every file of deploy/."""
    for path in sorted(DEPLOY.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(DEPLOY)), path.read_text(encoding="utf-8")


def test_every_recipe_says_what_it_was_run_with():
    told = re.compile(r"[Rr]un with|not run|Validated with|Tried with")
    assert [name for name, text in documents() if not told.search(text)] == []


def environments() -> dict[str, Mapping[str, str]]:
    """Return the variables that each recipe gives to the site."""
    compose = yaml.safe_load(read("container/compose.yaml"))
    pod, _ = kubernetes_pod()
    job = nomad_task()
    return {
        **{
            name: recipes.environment(name)
            for name in (
                *("systemd/trip2g.env", "two-addresses/trip2g-blue.env"),
                "two-addresses/trip2g-green.env",
            )
        },
        "container/Containerfile": dict(
            re.findall(
                r"^(?:ENV|   ) +([A-Z_]+)=(\S+)", read("container/Containerfile"), re.M
            )
        ),
        "container/compose.yaml": compose["x-trip2g"]["environment"],
        "kubernetes/trip2g.yaml": {one["name"]: one["value"] for one in pod["env"]},
        "nomad/trip2g.nomad.hcl": job["env"][0],
        "fly/fly.toml": tomllib.loads(read("fly/fly.toml"))["env"],
    }


def kubernetes_pod() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the container of the pod, and the pod."""
    _, deployment, _ = yaml.safe_load_all(read("kubernetes/trip2g.yaml"))
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return container, pod


def unquoted(value: Any) -> Any:
    return value.strip('"') if isinstance(value, str) else value


def blocks(value: Any) -> Any:
    """Return *value* without the marks that python-hcl2 leaves, and strings unquoted."""
    if isinstance(value, dict):
        return {
            unquoted(key): blocks(inner)
            for key, inner in value.items()
            if key != "__is_block__"
        }
    return (
        [blocks(one) for one in value] if isinstance(value, list) else unquoted(value)
    )


def nomad_job(text: str | None = None) -> dict[str, Any]:
    (job,) = blocks(hcl2.loads(text or read("nomad/trip2g.nomad.hcl")))["job"]
    return dict(next(iter(job.values())))


def nomad_group(text: str | None = None) -> dict[str, Any]:
    (group,) = nomad_job(text)["group"]
    return dict(next(iter(group.values())))


def nomad_task(text: str | None = None) -> dict[str, Any]:
    (task,) = nomad_group(text)["task"]
    return dict(next(iter(task.values())))


def test_every_variable_is_a_knob_and_parses():
    for name, variables in environments().items():
        assert variables, name
        assert {*variables} <= NAMES | OTHER_NAMES, name
        for knob in KNOBS:
            if knob.name in variables:
                value = re.sub(r"\$\{\w+:-(.*)\}", r"\1", variables[knob.name])
                knob.read({knob.name: value})


@pytest.mark.parametrize(
    "name",
    [
        *("caddy/Caddyfile", "haproxy/haproxy.cfg", "traefik/dynamic.yml"),
        *("consul/blue.hcl", "consul/green.hcl", "container/Caddyfile"),
    ],
)
def test_a_balancer_asks_readyz_on_the_internal_port_and_sends_readers_to_the_public_one(
    name,
):
    text = re.sub(r"#.*", "", read(name))
    assert set(re.findall(r"/(?:livez|readyz|healthz)\b", text)) == {"/readyz"}
    # Every number that can be a port of the site is one of its two.
    ports = set(re.findall(r"\b8\d{3}\b", text))
    assert ports == {PUBLIC, INTERNAL}
    defaults = {knob.name: knob.default for knob in KNOBS}
    assert defaults["LISTEN_ADDR"].endswith(f":{PUBLIC}")
    assert defaults["INTERNAL_LISTEN_ADDR"].endswith(f":{INTERNAL}")


def test_the_two_colours_have_one_address_each_in_every_recipe():
    for name in (*("caddy/Caddyfile", "haproxy/haproxy.cfg", "traefik/dynamic.yml"),):
        text = read(name)
        for colour in ("blue", "green"):
            environ = recipes.environment(f"two-addresses/trip2g-{colour}.env")
            assert environ["LISTEN_ADDR"] in text, (name, colour)
    for colour in ("blue", "green"):
        environ = recipes.environment(f"two-addresses/trip2g-{colour}.env")
        host = environ["LISTEN_ADDR"].partition(":")[0]
        assert environ["INTERNAL_LISTEN_ADDR"] == f"{host}:{INTERNAL}"
        assert f'address = "{host}"' in read(f"consul/{colour}.hcl")


def windows() -> dict[str, tuple[float, float, float, float, float]]:
    """
    Return the manual's table of windows, in seconds, by the name of the load balancer.

    Each is interval times failures, time-out, refresh, window, grace in the recipe.
    """
    table = {}
    for name, *cells in table_rows((MANUAL / "load-balancers.md").read_text()):
        if len(cells) == 6 and cells[-1].endswith(" s"):
            interval, failures, timeout, refresh, window, grace = [
                float(re.sub(r" s$", "", cell) or 0) if cell[:1] in "0123456789" else 0
                for cell in cells
            ]
            table[name] = (interval * failures, timeout, refresh, window, grace)
    return table


def asked(name: str, interval: str, timeout: str) -> tuple[float, float]:
    """Return both times in seconds, as the patterns find them in the file *name*."""
    text = read(name)
    found = [re.search(pattern, text, re.MULTILINE) for pattern in (interval, timeout)]
    first, second = (one[1] for one in found if one is not None)
    return seconds(first), seconds(second)


def test_the_windows_of_the_manual_are_those_of_the_recipes():
    found = windows()
    for name, (check, timeout, refresh, window, grace) in found.items():
        assert window == check + timeout + refresh, name
        assert grace > window, name
    default = seconds(
        {knob.name: knob.default for knob in KNOBS}["SHUTDOWN_GRACE_PERIOD"]
    )
    caddy = (r"health_interval (\S+)", r"health_timeout (\S+)")
    traefik = (r"interval: (\S+)", r" timeout: (\S+)")
    consul = (r'interval = "(\S+)"', r'timeout  = "(\S+)"')
    own = (r"healthcheck.interval=(\w+)", r"healthcheck.timeout=(\w+)")
    assert found["Caddy"][:2] == asked("caddy/Caddyfile", *caddy)
    assert found["Caddy"][:2] == asked("container/Caddyfile", *caddy)
    assert found["HAProxy"][:2] == asked(
        "haproxy/haproxy.cfg", r" inter (\S+) fall 1 ", r"timeout check (\S+)"
    )
    assert found["Traefik, file"][:2] == asked("traefik/dynamic.yml", *traefik)
    assert found["Traefik and Consul"][:2] == asked("consul/blue.hcl", *consul)
    catalog = yaml.safe_load(read("consul/traefik.yml"))["providers"]["consulCatalog"]
    assert found["Traefik and Consul"][2] == seconds(catalog["refreshInterval"])
    nomad = found["Nomad: Traefik's own check"]
    assert nomad[:2] == asked("nomad/trip2g.nomad.hcl", *own)
    container, _ = kubernetes_pod()
    readiness = container["readinessProbe"]
    assert found["Kubernetes"][:2] == (
        readiness["periodSeconds"] * readiness["failureThreshold"],
        readiness["timeoutSeconds"],
    )
    # Where a recipe sets the grace, it is that of the table; else it is the default.
    given = {
        "Kubernetes": environments()["kubernetes/trip2g.yaml"],
        "Nomad: Traefik's own check": environments()["nomad/trip2g.nomad.hcl"],
    }
    for name, environ in given.items():
        assert found[name][3] == seconds(environ["PROBE_WINDOW"]), name
        assert found[name][4] == seconds(environ["SHUTDOWN_GRACE_PERIOD"]), name
    for name in ("Caddy", "HAProxy", "Traefik, file", "nginx"):
        assert found[name][4] == default, name
    told = (MANUAL / "consul.md").read_text()
    _, _, _, window, grace = found["Traefik and Consul"]
    assert f"`PROBE_WINDOW={window:g}s`" in told
    assert f"`SHUTDOWN_GRACE_PERIOD={grace:g}s`" in told
    # What the units wait for, where no other window is set.
    units = read("two-addresses/two-addresses.conf")
    assert f"\nEnvironment=PROBE_WINDOW={found['HAProxy'][3]:g}s\n" in units
    assert "\nExecStartPost=/bin/sleep ${PROBE_WINDOW}\n" in units


def test_no_balancer_sends_a_write_again_by_its_settings():
    assert "http-request disable-l7-retry unless METH_GET" in read(
        "haproxy/haproxy.cfg"
    )
    assert "proxy_next_upstream off;" in read("nginx/nginx.conf")
    for name in ("caddy/Caddyfile", "container/Caddyfile"):
        assert "lb_retry_match" not in re.sub(r"#.*", "", read(name))


def test_what_is_not_sent_writes_here_is_told_the_same_as_what_is():
    """Caddy among containers and Traefik beside Nomad, by their fellows' settings."""
    caddy, other = (
        re.findall(r"^\t\t(\w.*)$", read(name), re.MULTILINE)
        for name in ("caddy/Caddyfile", "container/Caddyfile")
    )
    assert caddy == other
    assert "lb_try_duration 5s" in caddy
    (service,) = nomad_group()["service"]
    told = blocks(hcl2.loads(read("consul/blue.hcl")))["service"][0]["tags"]
    assert service["tags"] == service["canary_tags"] == told


def test_nomad_gives_a_deploy_the_time_that_it_takes():
    group, task = nomad_group(), nomad_task()
    (environ,) = task["env"]
    grace = seconds(environ["SHUTDOWN_GRACE_PERIOD"])
    timeout = seconds(environ["SHUTDOWN_TIMEOUT"])
    assert grace == 6
    assert seconds(task["kill_timeout"]) == 20 > grace + timeout
    assert task["kill_signal"] == "SIGTERM"
    (update,) = nomad_job()["update"]
    assert (update["canary"], update["auto_promote"]) == (1, True)
    assert seconds(update["min_healthy_time"]) == 5
    (service,) = group["service"]
    check, liveness = service["check"]
    assert (check["path"], liveness["path"]) == ("/readyz", "/livez")
    assert service["port"] == int(PUBLIC)
    assert check["port"] == liveness["port"] == int(INTERNAL)
    assert [check[key] for key in ("interval", "timeout")] == ["2s", "1s"]
    # What is not ready is not started again for that: only what hangs is.
    assert "check_restart" not in check
    assert liveness["check_restart"][0]["limit"] == 3
    refresh = yaml.safe_load(read("consul/traefik.yml"))["providers"]["consulCatalog"]
    assert refresh["refreshInterval"] == "5s"


def test_the_row_of_nomad_runs_the_job_of_the_recipe(tmp_path):
    """Nomad itself is in no registry: what it would be given is looked at here."""
    row = NomadConsulTraefik(Stage(tmp_path, grace=16.0, timeout=3.0, refresh=15.0))
    text = recipes.render("nomad/trip2g.nomad.hcl", row.changes("localhost/site:7"))
    job, task = nomad_job(text), nomad_task(text)
    assert task["config"][0]["image"] == "localhost/site:7"
    assert seconds(job["update"][0]["min_healthy_time"]) == 15
    assert seconds(task["kill_timeout"]) > 16 + 3
    (environ,) = task["env"]
    assert environ["PUBLIC_URL"] == f"http://localhost:{row.target.port}"
    assert seconds(environ["SHUTDOWN_GRACE_PERIOD"]) == 16
    # All else is as the recipe has it.
    (service,) = nomad_group(text)["service"]
    assert service == nomad_group()["service"][0]
    (volume,) = nomad_group(text)["volume"]
    volumes = row.agent_config()["client"]["host_volume"]
    assert list(volumes) == [volume["data"]["source"]]
    assert volumes["trip2g"]["path"] == str(tmp_path / "data")


def test_kubernetes_gives_a_rollout_the_time_that_it_takes():
    container, pod = kubernetes_pod()
    environ = {one["name"]: one["value"] for one in container["env"]}
    grace = seconds(environ["SHUTDOWN_GRACE_PERIOD"])
    timeout = seconds(environ["SHUTDOWN_TIMEOUT"])
    assert pod["terminationGracePeriodSeconds"] > grace + timeout
    readiness = container["readinessProbe"]
    window = (
        readiness["periodSeconds"] * readiness["failureThreshold"]
        + readiness["timeoutSeconds"]
    )
    assert grace > window == seconds(environ["PROBE_WINDOW"])
    ports = {one["name"]: str(one["containerPort"]) for one in container["ports"]}
    assert ports == {"public": PUBLIC, "internal": INTERNAL}
    paths = {
        name: (container[name]["httpGet"]["path"], container[name]["httpGet"]["port"])
        for name in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert paths == {
        "startupProbe": ("/livez", "internal"),
        "readinessProbe": ("/readyz", "internal"),
        "livenessProbe": ("/livez", "internal"),
    }
    claim, deployment, service = yaml.safe_load_all(read("kubernetes/trip2g.yaml"))
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    strategy = deployment["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxUnavailable": 0, "maxSurge": 1}
    (term,) = pod["affinity"]["podAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert term["labelSelector"]["matchLabels"] == labels == service["spec"]["selector"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert {one["mountPath"] for one in container["volumeMounts"]} == {"/data", "/tmp"}


def test_the_image_runs_as_the_user_that_kubernetes_names():
    text = read("container/Containerfile")
    _, pod = kubernetes_pod()
    user = pod["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}" in text
    assert f"EXPOSE {PUBLIC} {INTERNAL}" in text
    assert text.count("\nFROM ${PYTHON}") == 2
    assert 'ENTRYPOINT ["python", "manage.py"]' in text


def test_no_builder_of_images_is_sent_the_data():
    """Podman reads the one, Docker and Fly the other; data/ and its key are in neither."""
    ignored = (ROOT / ".containerignore").read_text()
    assert ignored == (ROOT / ".dockerignore").read_text()
    rules = [line for line in ignored.splitlines() if line and line[0] != "#"]
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = re.findall(
        r"^COPY (?!--from)(.+) \S+$", read("container/Containerfile"), re.MULTILINE
    )
    assert rules[0] == "*"
    assert kept == {name for names in copied for name in names.split()}


def test_caddy_can_be_started_by_the_user_of_its_package():
    """Debian's unit runs it as caddy, who cannot make a socket in /run."""
    assert "\tadmin localhost:2019\n" in read("caddy/Caddyfile")


def test_compose_stops_a_container_later_than_it_ends_by_itself():
    compose = yaml.safe_load(read("container/compose.yaml"))
    shared = compose["x-trip2g"]
    environ = shared["environment"]
    timeout = seconds(environ["SHUTDOWN_TIMEOUT"])
    grace = re.sub(r"\$\{\w+:-(.*)\}", r"\1", environ["SHUTDOWN_GRACE_PERIOD"])
    assert seconds(shared["stop_grace_period"]) > seconds(grace) + timeout
    for colour in ("blue", "green"):
        assert compose["services"][colour]["stop_grace_period"] == "30s"
        assert f"{colour}:{PUBLIC}" in read("container/Caddyfile")
    # Certificates outlive the container of Caddy's; '/data' is where its image has them.
    kept = [one for one in compose["services"]["caddy"]["volumes"] if one[0] != "."]
    assert kept == ["caddy:/data"]
    assert "caddy" in compose["volumes"]


def test_fly_has_the_ports_of_the_site_and_ends_later_than_a_drain():
    fly = tomllib.loads(read("fly/fly.toml"))
    assert fly["http_service"]["internal_port"] == int(PUBLIC)
    assert fly["checks"]["readyz"]["port"] == int(INTERNAL)
    assert fly["checks"]["readyz"]["path"] == "/readyz"
    environ = fly["env"]
    drain = seconds(environ["SHUTDOWN_GRACE_PERIOD"]) + seconds(
        environ["SHUTDOWN_TIMEOUT"]
    )
    backup = KNOBS.load(environ | {"DATA_DIR": "/data"})
    drain += backup["SIMPLE_BACKUP_SHUTDOWN_TIMEOUT"]
    assert fly["kill_timeout"] > drain
    assert fly["kill_signal"] == "SIGTERM"
    (check,) = fly["http_service"]["checks"]
    assert check["headers"]["Host"] in environ["PUBLIC_URL"]
    assert (DEPLOY / "fly" / fly["build"]["dockerfile"]).exists()


def test_probes_that_recipes_name_are_those_that_there_are():
    named = {
        path
        for _, text in documents()
        for path in re.findall(r"/(?:livez|readyz|healthz)\b", text)
    }
    assert named
    assert named <= {"/livez", "/readyz", "/healthz"}
