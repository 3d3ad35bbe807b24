#!/bin/sh
# Builds and runs every test, each build in its own folder:
#   build/        release: all suites
#   build-asan/   AddressSanitizer and UndefinedBehaviorSanitizer, and failing allocations
#   build-tsan/   ThreadSanitizer: everything with threads
#   build-fuzz/   libFuzzer targets, 60 s each
# The last line counts the tests: N passed, N failed, N skipped.  Words given as arguments choose among
# release, asan, tsan and fuzz.
set -u
cd "$(dirname "$0")/.."
chosen=${*:-release asan}
status=0

# configure FOLDER MESON-OPTION...
configure() {
    folder=$1
    shift
    [ -f "$folder/build.ninja" ] || meson setup "$folder" "$@" >"/dev/null" ||
        { cat "$folder/meson-logs/meson-log.txt"; return 1; }
}

# run FOLDER MESON-TEST-OPTION...: build, then test
run() {
    folder=$1
    shift
    rm -f "$folder/meson-logs/testlog.json"
    ninja -C "$folder" && meson test -C "$folder" --no-rebuild --print-errorlogs "$@" || status=1
}

for name in $chosen; do
    echo "== $name"
    case $name in
    release) configure build && run build ;;
    asan)
        configure build-asan --buildtype=debugoptimized -Db_sanitize=address,undefined \
            -Db_lundef=false -Dalloc_inject=true &&
            run build-asan --suite unit --suite kernels --suite cli --suite alloc
        ;;
    tsan)
        configure build-tsan --buildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false &&
            run build-tsan --suite threads
        ;;
    fuzz)
        CC=clang configure build-fuzz --buildtype=debugoptimized -Db_sanitize=address,undefined \
            -Db_lundef=false -Dfuzz=true -Dc_args=-fsanitize=fuzzer-no-link &&
            run build-fuzz --suite fuzz
        ;;
    *)
        echo "run-tests: no build called '$name'; there are: release asan tsan fuzz" >&2
        exit 1
        ;;
    esac || status=1
done

# shellcheck disable=SC2086 # one word per build is meant
python3 tools/count_tests.py $chosen || status=1
exit $status
