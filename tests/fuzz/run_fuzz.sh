#!/bin/sh
# usage: run_fuzz.sh PROGRAM CORPUS SECONDS [SEEDS...]: fuzzes for a while; inputs found stay in CORPUS.
program=$1 corpus=$2 seconds=$3
shift 3
mkdir -p "$corpus"
exec "$program" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 -max_len=65536 \
    -print_final_stats=1 -verbosity=0 -artifact_prefix="$corpus-crash-" "$corpus" "$@"
