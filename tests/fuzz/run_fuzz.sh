#!/bin/sh
# usage: run_fuzz.sh PROGRAM CORPUS SECONDS [SEEDS...]: fuzzes for a while; inputs found stay in CORPUS, one
# that fails in CORPUS-crash-..., and running PROGRAM on that file repeats the failure.
program=$1 corpus=$2 seconds=$3
shift 3
mkdir -p "$corpus"
# libFuzzer's own status for a failure is 77, which Meson takes for a skipped test
exec "$program" -max_total_time="$seconds" -error_exitcode=1 -timeout_exitcode=1 -oom_exitcode=1 \
    -rss_limit_mb=2048 -timeout=20 -max_len=65536 -print_final_stats=1 -verbosity=0 \
    -artifact_prefix="$corpus-" "$corpus" "$@"
