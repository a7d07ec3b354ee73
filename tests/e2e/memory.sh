#!/usr/bin/env bash
# memory.sh - memory is steady: from step 200 to step 1200 of a training, float or quantized, the process grows by less than 1 MiB.
set -eu
. tests/e2e/common.bash
[ -r /proc/self/status ] || exit 77
cd "$WORK"
small_config >tiny.yaml

steady() { # NAME PHASE [TRY]: 50 steps an epoch
    local rows rss early="" late="" pid
    "$NIBBLE" train tiny.yaml --quiet --set out="$1" --set data.count=400 --set data.test_count=16 --set train.batch=8 \
        --set train.save_steps=0 --set "train.phases=[$2]" >out 2>err &
    pid=$!
    while rss=$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status" 2>/dev/null) && [ -n "$rss" ]; do
        rows=0
        [ ! -e "$1/metrics.csv" ] || rows=$(wc -l <"$1/metrics.csv")
        [ "$rows" -lt 5 ] || early=${early:-$rss} # the first line is the head
        [ "$rows" -lt 25 ] || late=$rss
        sleep 0.01
    done
    wait "$pid" || die "$1: $(cat err)"
    if [ -z "$late" ] && [ "${3:-1}" -lt 10 ]; then # a busy machine: it was over before we looked
        rm -r "$1"
        steady "$1" "$2" $((${3:-1} + 1))
        return
    fi
    echo "$1: $early KiB after 200 steps, $late KiB after 1200"
    [ $((late - early)) -lt 1024 ] || die "$1: grew from $early to $late KiB"
}
steady float '{epochs: 32, lr: 0.05}'
steady quantized '{epochs: 32, lr: 0.01, quant: on}'
