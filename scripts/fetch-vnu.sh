#!/bin/sh
# fetch-vnu.sh FOLDER: put vnu.jar, the Nu Html Checker, into FOLDER, from its package
# on npm. When that fails, the tests that need it skip and say so.
set -u
folder=${1:?name a folder, as in: fetch-vnu.sh .venv/bin}
version=26.9.27
sha512=4e441de4315f39a582f5e6edbe8cd3b2b1f655aa1dde3620faface791133217c417b12f3f7ead2d8336d8e7efe44f5226618258b44a0860057e9125135e6b428
if [ -e "$folder/vnu.jar" ]; then
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
echo "fetching for the tests: vnu.jar"
package=https://registry.npmjs.org/vnu-jar/-/vnu-jar-$version.tgz
if curl -sSf --retry 3 -o "$work/package.tgz" "$package" 2>"$work/log" &&
    echo "$sha512  $work/package.tgz" | sha512sum -c - >>"$work/log" 2>&1 &&
    tar -xzf "$work/package.tgz" -C "$work" package/build/dist/vnu.jar 2>>"$work/log" &&
    mv "$work/package/build/dist/vnu.jar" "$folder/vnu.jar"; then
    exit 0
fi
tail -n 3 "$work/log" >&2
echo "could not fetch vnu.jar; the tests that need it skip" >&2
