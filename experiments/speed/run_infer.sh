#!/usr/bin/env bash
# run_infer.sh - integer inference of ResNet-20 (32x32x3, W8A8) side by side: Nibble and other runtimes in turns, ROUNDS times, medians.
#
# usage: experiments/speed/run_infer.sh [PYTHON]   a Python with torch, onnx, onnxruntime (and openvino); from the repository's root, after `make`
# Environment: ROUNDS=3 STEPS=5. Writes experiments/speed/infer.csv (one line per round and contender) and prints the table.
set -euo pipefail
nibble=${NIBBLE:-build/current/nibble} python=${1:-python3}
here=$(dirname "$0")
rounds=${ROUNDS:-3} steps=${STEPS:-5}
csv=$here/infer.csv
data="data={name: synth, height: 32, width: 32, channels: 3, classes: 10, count: 256}" # speed does not depend on the pixels
echo "round,runtime,batch,threads,ms" >"$csv"

# Two lines, batch 128 and batch 1: name,batch,threads,ms
nibble_engine() {
    local name=$1 threads=$2
    shift 2
    "$nibble" bench configs/cifar10-resnet20.yaml --steps "$steps" --threads "$threads" --json --set train.batch=128 --set "$data" "$@" |
        sed -n -e "s/.*\"integer engine, 128 images\", \"ms\": \([0-9.]*\).*/$name,128,$threads,\1/p" \
            -e "s/.*\"integer engine, one image\", \"ms\": \([0-9.]*\).*/$name,1,$threads,\1/p"
}

for round in $(seq "$rounds"); do
    {
        for threads in 1 2; do
            nibble_engine "nibble" "$threads" --set quant.weights.bits=8
            nibble_engine "nibble W4A8" "$threads"
        done
        "$python" "$here/infer_peers.py" "$steps" 2>/dev/null
    } | sed "s/^/$round,/" >>"$csv"
done

echo "ms, median of $rounds rounds; 1 thread: processor time, 2 threads: on the wall"
sort -t, -k2,2 -k3,4 -k5,5n "$csv" | awk -F, '
    $1 == "round" { next }
    { k = $2 SUBSEP $3 SUBSEP $4; v[k, ++n[k]] = $5; if (!($2 in seen)) { seen[$2] = 1; order[++m] = $2 } }
    function med(name, batch, threads,    k) {
        k = name SUBSEP batch SUBSEP threads
        return k in n ? sprintf("%.3f", v[k, int((n[k] + 1) / 2)]) : "-"
    }
    END {
        printf "%-18s %16s %16s %16s %16s\n", "", "128, 1 thread", "128, 2 threads", "1, 1 thread", "1, 2 threads"
        for (i = 1; i <= m; i++)
            printf "%-18s %16s %16s %16s %16s\n", order[i], med(order[i], 128, 1), med(order[i], 128, 2), med(order[i], 1, 1), med(order[i], 1, 2)
    }'
