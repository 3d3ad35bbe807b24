#!/bin/sh
# Installs the Debian packages that are missing: usage: install-deps.sh build|test...  Uses sudo when not
# root.  On other systems it only names what is needed.
set -eu

build="build-essential meson ninja-build pkg-config libsndfile1-dev libsoxr-dev libkissfft-dev zlib1g-dev
libjansson-dev libcurl4-openssl-dev libssl-dev libcmocka-dev"
test="clang libclang-rt-14-dev python3 python3-numpy espeak-ng ffmpeg groff-base valgrind"

wanted=""
for set in "$@"; do
    case $set in
    build) wanted="$wanted $build" ;;
    test) wanted="$wanted $test" ;;
    *)
        echo "install-deps: no set of packages called '$set'; there are: build test" >&2
        exit 1
        ;;
    esac
done

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "install-deps: not a Debian system, so nothing was checked or installed; needed are what Debian 12" \
        "calls" "$(echo $wanted)" >&2
    exit 0
fi

missing=""
for package in $wanted; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root="env DEBIAN_FRONTEND=noninteractive"
elif command -v sudo >/dev/null; then
    as_root="sudo env DEBIAN_FRONTEND=noninteractive"
else
    echo "install-deps: neither root nor sudo; as root: apt-get install$missing" >&2
    exit 1
fi
echo "installing:$missing" >&2
$as_root apt-get update -qq
# shellcheck disable=SC2086 # one word per package is meant
$as_root apt-get install -y -qq --no-install-recommends $missing >&2
