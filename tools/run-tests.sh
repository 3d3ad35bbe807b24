#!/bin/sh
# The gate: installs what is missing, builds and runs every test, each build in a folder of its own:
#   build/        release: every suite
#   build-asan/   AddressSanitizer, UndefinedBehaviorSanitizer, asserts, failing allocations: every suite
#                 but plain
#   build-tsan/   ThreadSanitizer: the suite threads
#   build-fuzz/   clang, libFuzzer targets with address and undefined behaviour checks, 60 s each
# The last line counts the tests: N passed, N failed, N skipped.  Words given as arguments choose among
# release, asan, tsan and fuzz.
set -u
cd "$(dirname "$0")/.." || exit 1
chosen=${*:-release asan tsan fuzz}
status=0
checked="--buildtype=debugoptimized -Db_ndebug=false -Db_lundef=false"

# What a sanitizer finds ends the program with a signal or with 99, neither of which any test expects.  (Not
# detect_stack_use_after_return: GCC 12 then puts 64-byte vectors at addresses that are not aligned.)
export ASAN_OPTIONS="abort_on_error=1:exitcode=99"
export UBSAN_OPTIONS="halt_on_error=1:abort_on_error=1:print_stacktrace=1"
export TSAN_OPTIONS="halt_on_error=1:abort_on_error=1:exitcode=99"

# configure FOLDER COMPILER MESON-OPTION...: anew when the options are not those of last time
configure() {
    folder=$1 compiler=$2 wanted="$*"
    shift 2
    [ -f "$folder/build.ninja" ] && [ "$(cat "$folder/configured" 2>/dev/null)" = "$wanted" ] && return
    rm -rf "$folder"
    CC=$compiler meson setup "$folder" "$@" || return
    echo "$wanted" >"$folder/configured"
}

# run FOLDER MESON-TEST-OPTION...: builds what the chosen tests need; slow machines get three times as long
run() {
    folder=$1
    shift
    meson test -C "$folder" --print-errorlogs --timeout-multiplier 3 "$@"
}

# The folder that `make build` uses too keeps the options that it has.
release() {
    [ -f build/build.ninja ] || meson setup build || return
    ninja -C build && run build
}

# shellcheck disable=SC2086 # one word per option is meant
asan() {
    configure build-asan "${CC:-cc}" $checked -Db_sanitize=address,undefined -Dalloc_inject=true &&
        run build-asan --no-suite plain
}

# shellcheck disable=SC2086
tsan() {
    configure build-tsan "${CC:-cc}" $checked -Db_sanitize=thread && run build-tsan --suite threads
}

# shellcheck disable=SC2086
fuzz() {
    configure build-fuzz clang $checked -Db_sanitize=address,undefined -Dfuzz=true \
        -Dc_args=-fsanitize=fuzzer-no-link && run build-fuzz --suite fuzz
}

for name in $chosen; do
    case $name in
    release | asan | tsan | fuzz) ;;
    *)
        echo "run-tests: no build called '$name'; there are: release asan tsan fuzz" >&2
        exit 1
        ;;
    esac
done

rm -f build*/meson-logs/testlog.json # what is counted was run now
tools/install-deps.sh build test || { echo "0 passed, 1 failed, 0 skipped" && exit 1; }
for name in $chosen; do
    start=$(date +%s)
    echo "== $name"
    $name || status=1
    echo "== $name: $(($(date +%s) - start)) s"
done

# shellcheck disable=SC2086 # one word per build is meant
python3 tools/count_tests.py $chosen || status=1
exit $status
