#!/bin/sh
# build-kubernetes.sh FOLDER: build Kubernetes' servers from Debian's source package and
# put them into FOLDER, for the row kubernetes. Debian itself ships kubectl alone, and
# no other registry has the servers. As root on Debian 12; a quarter of an hour of one
# core at the lowest priority, and 5 GB below TMPDIR while it lasts.
set -eu
folder=${1:?name a folder, as in: build-kubernetes.sh .venv/kubernetes}
programs="kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy"
has_all=yes
for program in $programs; do [ -x "$folder/$program" ] || has_all=; done
[ -z "$has_all" ] || exit 0
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
# No server of a package that is installed may start; this file says so.
policy=/usr/sbin/policy-rc.d
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
if [ ! -e "$policy" ]; then
    trap 'rm -rf "$work" "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq </dev/null
apt-get install -y -qq --no-install-recommends golang-1.19-go dpkg-dev make patch rsync \
    etcd-server containerd runc containernetworking-plugins conntrack ebtables socat \
    iptables iproute2 openssl </dev/null

mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts"
for suite in 'debian bookworm' 'debian-security bookworm-security'; do
    echo "deb-src http://deb.debian.org/$suite main"
done >"$work/sources.list"
fetch() {
    apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" \
        -o Dir::Etc::sourceparts="$work/parts" -o Dir::State::lists="$work/lists" \
        -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)" "$@" </dev/null
}
cd "$work"
fetch update
fetch source --download-only kubernetes
dpkg-source --extract kubernetes_*.dsc source >/dev/null
cd source
# Before Go's modules: it looks for its own sources below GOPATH, vendored ones included.
mkdir -p .go/src/k8s.io "$work/home"
ln -sfn ../../.. .go/src/k8s.io/kubernetes
set --
for program in $programs; do set -- "$@" "cmd/$program"; done
env PATH="/usr/lib/go-1.19/bin:$PATH" HOME="$work/home" GOCACHE="$work/go" \
    GOPATH="$PWD/.go" GO111MODULE=off CGO_ENABLED=0 GOFLAGS=-p=1 GOMAXPROCS=1 \
    KUBE_BUILD_PLATFORMS="linux/$(dpkg --print-architecture)" \
    KUBE_GIT_VERSION=v1.20.2 KUBE_GIT_MAJOR=1 KUBE_GIT_MINOR=20 KUBE_GIT_COMMIT=0 \
    KUBE_GIT_TREE_STATE=archive nice -n 19 make WHAT="$*"
for program in $programs; do cp "_output/bin/$program" "$folder/"; done
