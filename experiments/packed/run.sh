#!/usr/bin/env bash
# run.sh - 200,000 PNG files of 64x64 in 200 classes: packed, and trained on packed, kept in memory, and decoded as they are needed.
#
# usage: experiments/packed/run.sh [DIR]      from the repository's root, after `make`; needs 5 GB in DIR (default /tmp/packed-data)
# Environment: TRAIN=200000 TEST=10000 STEPS=312 THREADS=2, QUIET="a command that runs another while the machine is its own".
# Prints one line a measurement: what, seconds until the first training step was done, ms a step (evaluation not counted), peak memory.
set -euo pipefail
dir=${1:-/tmp/packed-data} nibble=${NIBBLE:-$PWD/build/current/nibble} here=$(dirname "$0")
train=${TRAIN:-200000} test=${TEST:-10000} steps=${STEPS:-312} threads=${THREADS:-2} quiet=${QUIET:-}
mkdir -p "$dir"
if [ ! -e "$dir/png/complete" ]; then
    cp "$(dirname "$nibble")"/libnibble.so.* "$dir/libnibble.so.0" # the name that programs ask for
    cc -O2 -D_XOPEN_SOURCE=700 -Iinclude -o "$dir/png_set" "$here/png_set.c" "$dir/libnibble.so.0" -Wl,-rpath,"$dir"
    "$dir/png_set" "$dir/png" 64 200 "$train" "$test"
    touch "$dir/png/complete"
fi

# peak COMMAND...: runs it; peak resident memory in MB and seconds into $dir/peak
peak() {
    # shellcheck disable=SC2086
    $quiet python3 - "$dir/peak" "$@" <<'END'
import resource, subprocess, sys, time
since = time.time()
code = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
open(sys.argv[1], "w").write("%.1f %.0f\n" % (time.time() - since, used.ru_maxrss * 1024 / 1e6))
sys.exit(code)
END
}
measure() { # NAME OPTIONS...
    local name=$1 since first seconds mb
    shift
    rm -rf "$dir/run" "$dir/first"
    since=$(date +%s.%N)
    peak bash -c '"$@" | while IFS= read -r line; do case $line in data:*) date +%s.%N >'"$dir/first"';; esac; done' - \
        "$nibble" train "$here/resnet.yaml" --threads "$threads" --set out="$dir/run" \
        --set train.phases.0.epochs="$(awk "BEGIN { print $steps / int($train / 128) }")" "$@"
    read -r seconds mb <"$dir/peak"
    first=$(awk "BEGIN { printf \"%.1f\", $(<"$dir/first") - $since }")
    awk -F, -v name="$name" -v first="$first" -v steps="$steps" -v mb="$mb" \
        'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "train_seconds") at = i } NR == 2 { printf "%-40s %6s s %8.1f ms %8d MB\n", name, first, 1000 * $at / steps, mb }' "$dir/run/timing.csv"
}

rm -rf "$dir/packed" # so that all of it is packed
peak "$nibble" pack "$dir/png" -o "$dir/packed" --quiet --threads "$threads"
read -r seconds mb <"$dir/peak"
echo "packed in $seconds s, $mb MB of memory, $(du -sm "$dir/packed" | cut -f1) MB of files ($(du -sm "$dir/png" | cut -f1) of PNG)"
# shellcheck disable=SC2086
$quiet "$nibble" bench "$here/resnet.yaml" --threads "$threads" --steps 40 --set data.name=packed --set data.path="$dir/packed" |
    grep -E 'what|training step'
printf '%-40s %8s %11s %11s\n' 'data' 'first' 'a step' 'peak'
measure packed --set data.name=packed --set data.path="$dir/packed"
measure 'packed, nothing augmented' --set data.name=packed --set data.path="$dir/packed" --set 'data.augment=[]'
measure 'PNG files, decoded when needed' --set data.memory=0 --set data.path="$dir/png"
measure 'PNG files, kept in memory' --set data.memory=8192 --set data.path="$dir/png"
