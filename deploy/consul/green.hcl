# The instance green, as Consul is told of it: consul services register green.hcl
# Run with Consul 1.8.7 (Debian 11) and Traefik 3.7.15.
service {
  id      = "trip2g-green"
  name    = "trip2g"
  address = "127.0.0.3"
  port    = 8080

  # Only what passes is in the catalog that Traefik reads.
  check {
    id       = "trip2g-green-readyz"
    name     = "readyz"
    http     = "http://127.0.0.3:8081/readyz"
    interval = "2s"
    timeout  = "1s"
  }

  # And Traefik asks by itself, every second: it sees a drain before the catalog does.
  # Its port is a constant, so every instance needs an address of its own.
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
}
