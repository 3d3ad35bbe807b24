#!/bin/sh
# usage: run_fuzz.sh PROGRAM CORPUS SECONDS [SEEDS...]: fuzzes for a while; inputs found stay in CORPUS, one
# that fails in CORPUS-crash-..., and running PROGRAM on that file repeats the failure.  The random numbers
# are the same in every run, so that the gate does not depend on luck; to search new ground, run with
# FUZZ_SEED=0 (taken from the clock) and for longer.
program=$1 corpus=$2 seconds=$3
shift 3
mkdir -p "$corpus"
# libFuzzer's own status for a failure is 77, which Meson takes for a skipped test
exec "$program" -max_total_time="$seconds" -seed="${FUZZ_SEED:-1}" -error_exitcode=1 -timeout_exitcode=1 -oom_exitcode=1 \
    -rss_limit_mb=2048 -timeout=20 -max_len=65536 -print_final_stats=1 -verbosity=0 \
    -artifact_prefix="$corpus-" "$corpus" "$@"
