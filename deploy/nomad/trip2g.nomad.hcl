# The site on Nomad, with Consul and Traefik: one allocation at a time writes, and a
# deploy runs two side by side on one client. Parsed with python-hcl2 8.1.4; not run,
# since no registry here has Nomad. deploy/consul/traefik.yml is Traefik's part.
job "trip2g" {
  datacenters = ["dc1"]
  type        = "service"

  update {
    max_parallel      = 1
    canary            = 1
    auto_promote      = true
    auto_revert       = true
    health_check      = "checks"
    min_healthy_time  = "5s"
    healthy_deadline  = "5m"
    progress_deadline = "10m"
  }

  group "site" {
    count = 1

    # Both allocations of a deploy must be where the volume is: SQLite in WAL mode, and
    # the sockets in DATA_DIR/run, are of one machine.
    volume "data" {
      type      = "host"
      source    = "trip2g"
      read_only = false
    }

    # An address of its own for each allocation. Traefik joins the port of its check to
    # that address as a constant, so that dynamic ports of the host would not do.
    network {
      mode = "bridge"
      port "public" { to = 8080 }
      port "internal" { to = 8081 }
    }

    service {
      name         = "trip2g"
      port         = 8080
      address_mode = "alloc"

      tags = [
        "traefik.enable=true",
        "traefik.http.routers.trip2g.rule=PathPrefix(`/`)",
        "traefik.http.routers.trip2g.entrypoints=web",
        "traefik.http.routers.trip2g.middlewares=trip2g-retry",
        "traefik.http.middlewares.trip2g-retry.retry.attempts=4",
        "traefik.http.middlewares.trip2g-retry.retry.initialinterval=50ms",
        "traefik.http.services.trip2g.loadbalancer.healthcheck.path=/readyz",
        "traefik.http.services.trip2g.loadbalancer.healthcheck.port=8081",
        "traefik.http.services.trip2g.loadbalancer.healthcheck.interval=1s",
        "traefik.http.services.trip2g.loadbalancer.healthcheck.timeout=2s",
      ]
      # A canary is routed to as well, once it passes: it is the next version.
      canary_tags = [
        "traefik.enable=true",
        "traefik.http.routers.trip2g.rule=PathPrefix(`/`)",
        "traefik.http.routers.trip2g.entrypoints=web",
        "traefik.http.routers.trip2g.middlewares=trip2g-retry",
        "traefik.http.middlewares.trip2g-retry.retry.attempts=4",
        "traefik.http.middlewares.trip2g-retry.retry.initialinterval=50ms",
        "traefik.http.services.trip2g.loadbalancer.healthcheck.path=/readyz",
        "traefik.http.services.trip2g.loadbalancer.healthcheck.port=8081",
        "traefik.http.services.trip2g.loadbalancer.healthcheck.interval=1s",
        "traefik.http.services.trip2g.loadbalancer.healthcheck.timeout=2s",
      ]

      check {
        name         = "readyz"
        type         = "http"
        port         = 8081
        address_mode = "alloc"
        path         = "/readyz"
        interval     = "2s"
        timeout      = "1s"
      }

      # A process that hangs is started again; /livez is 200 in a warmup and in a drain.
      check {
        name         = "livez"
        type         = "http"
        port         = 8081
        address_mode = "alloc"
        path         = "/livez"
        interval     = "10s"
        timeout      = "2s"

        check_restart {
          limit = 3
          grace = "30s"
        }
      }
    }

    task "site" {
      driver = "docker"

      # Nomad's own default is SIGINT; a second one would stop at once.
      kill_signal = "SIGTERM"
      # Grace and time-out must fit: 6 s and 10 s.
      kill_timeout = "20s"

      config {
        image = "registry.example.org/trip2g:1"
        ports = ["public", "internal"]
      }

      volume_mount {
        volume      = "data"
        destination = "/data"
      }

      env {
        PUBLIC_URL                = "https://notes.example.org"
        LISTENER                  = "bind"
        SHUTDOWN_GRACE_PERIOD     = "6s"
        SHUTDOWN_TIMEOUT          = "10s"
        PROBE_WINDOW              = "3s"
        TRUSTED_PROXIES           = "172.26.64.0/20"
        SIMPLE_BACKUP_ON_SHUTDOWN = "false"
      }

      resources {
        cpu    = 500
        memory = 512
      }
    }
  }
}
