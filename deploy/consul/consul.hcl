# One Consul agent on the machine of the instances, as its own server: it asks the
# probes, and Traefik asks it. Run with Consul 1.8.7 (Debian 11).
# consul agent -config-file consul.hcl
server           = true
bootstrap_expect = 1
datacenter       = "dc1"
data_dir         = "/var/lib/consul"
bind_addr        = "127.0.0.1"
client_addr      = "127.0.0.1"
