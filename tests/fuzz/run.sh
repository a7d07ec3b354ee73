#!/usr/bin/env bash
# run.sh - runs libFuzzer targets one after the other. New inputs go to build/fuzz/TARGET, findings to build/fuzz/found; the
# committed corpus below tests/fuzz/corpus is only read. Exits non-zero on the first finding.
#
# usage: tests/fuzz/run.sh SECONDS TARGET...
set -eu
seconds=$1
shift
mkdir -p build/fuzz/found
for target in "$@"; do
    name=${target##*/}
    mkdir -p "build/fuzz/$name"
    dict=tests/fuzz/$name.dict
    echo "==== $name, $seconds s"
    "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="build/fuzz/found/$name-" $([ -f "$dict" ] && echo "-dict=$dict") \
        "build/fuzz/$name" "tests/fuzz/corpus/$name"
done
