#!/bin/sh
# Installs the Debian packages that building and testing wisp needs, those that are missing only.
# Uses sudo when not root.
set -eu

packages="
build-essential meson ninja-build pkg-config
libsndfile1-dev libsoxr-dev libkissfft-dev zlib1g-dev libjansson-dev
libcurl4-openssl-dev libssl-dev
libcmocka-dev clang libclang-rt-14-dev python3 python3-numpy espeak-ng ffmpeg valgrind
"

missing=""
for package in $packages; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    sudo=""
elif command -v sudo >/dev/null; then
    sudo=sudo
else
    echo "install-deps: missing packages:$missing" >&2
    echo "install-deps: neither root nor sudo; install them as root: apt-get install$missing" >&2
    exit 1
fi
echo "installing:$missing" >&2
$sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq
# shellcheck disable=SC2086 # one word per package is meant
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
