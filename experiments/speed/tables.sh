#!/usr/bin/env bash
# tables.sh - the tables of this folder from the rounds that its scripts wrote: medians, and ratios of medians.
#
# usage: experiments/speed/tables.sh training|inference CSV
#        experiments/speed/tables.sh kinds        one line per kind of processor in results/: us beside the best of the others
set -euo pipefail
here=$(dirname "$0")

# medians CSV KEYS VALUE: "key,key,...,median" of column VALUE for each combination of the columns KEYS ("2 3 4"), in order of appearance
medians() {
    sort -t, -k2,4 -k"$3","$3"n "$1" | awk -F, -v keys="$2" -v value="$3" '
        $1 == "round" { next }
        { n_keys = split(keys, at, " "); k = $at[1]; for (i = 2; i <= n_keys; i++) k = k "," $at[i] }
        { all[k, ++n[k]] = $value + 0 }
        END { for (k in n) { for (i = 2; i <= n[k]; i++) for (j = i; j > 1 && all[k, j] < all[k, j - 1]; j--) { t = all[k, j]; all[k, j] = all[k, j - 1]; all[k, j - 1] = t }
                             print k "," all[k, int((n[k] + 1) / 2)] } }' | sort
}

training() {
    local rounds
    rounds=$(awk -F, 'NR > 1 && $1 > n { n = $1 } END { print n }' "$1")
    echo "median of $rounds rounds, batch 128"
    printf '%-22s %10s %10s %14s %20s %10s\n' "" "ms/step" "images/s" "to eager QAT" "to fastest float" "peak MiB"
    { medians "$1" 2 3; echo; medians "$1" 2 4; } | awk -F, '
        /^$/ { mib = 1; next }
        mib { size[$1] = $2; next }
        { ms[$1] = $2; if ($1 == "torch qat" || $1 == "torch qat-nchw") if (!qat || $2 < qat) qat = $2
          if ($1 ~ /^torch/ && $1 !~ /qat|pt2e/) if (!floats || $2 < floats) floats = $2 }
        END {
            for (k in ms) printf "%-22s %10.1f %10.0f %13.2fx %19.2fx %10d\n", k, ms[k], 128000 / ms[k], qat / ms[k], floats / ms[k], size[k]
        }' | sort -b -k1.23,1.33n
}

inference() {
    echo "ms, median of $(awk -F, 'NR > 1 && $1 > n { n = $1 } END { print n }' "$1") rounds; 1 thread: processor time, 2 threads: on the wall"
    medians "$1" "2 3 4" 5 | awk -F, '
        { v[$1, $2, $3] = $4; if (!($1 in seen)) { seen[$1] = 1; order[++m] = $1 } }
        function show(name, batch, threads) { return (name, batch, threads) in v ? sprintf("%.3f", v[name, batch, threads]) : "-" }
        END {
            printf "%-18s %16s %16s %16s %16s\n", "", "128, 1 thread", "128, 2 threads", "1, 1 thread", "1, 2 threads"
            for (i = 1; i <= m; i++)
                printf "%-18s %16s %16s %16s %16s\n", order[i], show(order[i], 128, 1), show(order[i], 128, 2), show(order[i], 1, 1), show(order[i], 1, 2)
        }'
}

# fastest CSV KEYS VALUE PATTERN: the smallest median of the contenders that match, or nothing
fastest() { medians "$1" "$2" "$3" | grep -E "$4" | awk -F, '!n++ || $NF < least { least = $NF } END { if (n) print least }'; }
ratio() { awk -v a="${1:-0}" -v b="${2:-0}" 'BEGIN { print (a > 0 && b > 0 ? sprintf("%.2f", a / b) : "-") }'; }

kinds() {
    local dir net csv ours others='^(openvino|onnx|torch|litert)[^,]*'
    printf '%-40s %-12s %10s %10s %14s %18s\n' "training, batch 128" "" "W8A8 ms" "W4A4 ms" "to eager QAT" "to fastest float"
    for dir in "$here"/results/*/; do
        for net in resnet20 mobilenetv2 wide; do
            csv=$dir/training-$net.csv
            [ -f "$csv" ] || continue
            ours=$(fastest "$csv" 2 3 '^nibble W8A8,')
            printf '%-40s %-12s %10.1f %10.1f %13sx %17sx\n' "$(basename "$dir")" $net "$ours" "$(fastest "$csv" 2 3 '^nibble W4A4,')" \
                "$(ratio "$(fastest "$csv" 2 3 '^torch qat')" "$ours")" "$(ratio "$(fastest "$csv" 2 3 '^torch (float|bf16|compiled)')" "$ours")"
        done
    done
    printf '\n%-40s %12s %20s %12s %20s\n' "inference, ResNet-20 W8A8" "128, ms" "to fastest other" "1 image, ms" "of fastest other"
    for dir in "$here"/results/*/; do
        csv=$dir/inference.csv
        [ -f "$csv" ] || continue
        local many one
        many=$(fastest "$csv" "2 3 4" 5 '^nibble,128,2,') one=$(fastest "$csv" "2 3 4" 5 '^nibble,1,')
        printf '%-40s %12.2f %19sx %12.3f %20s\n' "$(basename "$dir")" "$many" "$(ratio "$(fastest "$csv" "2 3 4" 5 "$others,128,2,")" "$many")" \
            "$one" "$(ratio "$one" "$(fastest "$csv" "2 3 4" 5 "$others,1,")")"
    done
}

case ${1:-} in
training | inference) "$1" "${2:?usage: tables.sh $1 CSV}" ;;
kinds) kinds ;;
*) sed -n '3,6s/^# //p' "$0"; exit 1 ;;
esac
