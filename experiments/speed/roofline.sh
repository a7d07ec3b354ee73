#!/usr/bin/env bash
# roofline.sh - every kernel under the roof of this machine, one thread: `nibble bench --kernels` as a CSV and, where gnuplot is installed, a plot.
#
# usage: [STEPS=20] experiments/speed/roofline.sh       from the repository's root, after `make`
# Writes OUT/roofline.csv and roofline.svg (OUT=experiments/speed/results/KIND, kind.sh). The plot: products per byte that must be moved, against products per second; the
# slopes are the second-level cache and the memory, the flat roofs what the units can multiply. Points above a roof: see bench_kernels.c on Winograd.
set -euo pipefail
nibble=${NIBBLE:-build/current/nibble}
here=$(dirname "$0")
out=${OUT:-$here/results/$("$here/kind.sh")}
csv=$out/roofline.csv
"$here/kind.sh" "$out" >/dev/null

# One JSON object per line to comma separated values.
"$nibble" bench --kernels --json --steps "${STEPS:-20}" | awk '
    BEGIN { print "kernel,shape,method,gmacs,gbs,macs_per_byte,share"; n = split("kernel shape method gmacs gbs macs_per_byte share", key, " ") }
    /"kernel"/ {
        line = ""
        for (i = 1; i <= n; i++) {
            v = $0
            if (!sub(".*\"" key[i] "\": *", "", v)) exit 1
            if (v ~ /^"/) { sub(/^"/, "", v); sub(/".*/, "", v); gsub(/,/, ";", v) } else sub(/[,}].*/, "", v)
            line = line (i > 1 ? "," : "") v
        }
        print line
    }' >"$csv"
command -v gnuplot >/dev/null || { echo "$csv written; install gnuplot for the plot" >&2; exit 0; }

# value WHAT COLUMN: of the peak whose shape (cache, memory) or method (float, pairs, quads) that is
value() { awk -F, -v m="$1" -v c="$2" '$1 == "peak" && ($2 == m || $3 == m && $2 == "registers") { print $c; exit }' "$csv"; }
# points PASS: products per byte, products per second
points() { awk -F, -v k="$1" '$1 == k { print $6, $4 }' "$csv"; }
{
    printf '$float << EOD\n%s\nEOD\n' "$(points 'float forward'; points 'float input gradient'; points 'float weight gradient')"
    printf '$int16 << EOD\n%s\nEOD\n' "$(points 'int16 input gradient'; points 'int16 weight gradient')"
    printf '$w8a8 << EOD\n%s\nEOD\n$w4a4 << EOD\n%s\nEOD\n' "$(points 'W8A8 forward')" "$(points 'W4A4 forward')"
    cat <<PLOT
set terminal svg size 900,560 font "sans-serif,13" background "white"
set output "$out/roofline.svg"
set logscale xy
set xrange [0.5:200]
set yrange [1:400]
set grid
set key bottom right
set xlabel "products per byte that must be moved"
set ylabel "10^9 products per second, one thread"
low(a, b) = a < b ? a : b
plot low($(value cache 5) * x, $(value quads 4)) title "cache, byte quads" lc rgb "#999999" dt 3, \\
     low($(value cache 5) * x, $(value pairs 4)) title "cache, 16-bit pairs" lc rgb "#666666" dt 2, \\
     low($(value cache 5) * x, $(value float 4)) title "cache, float" lc rgb "#333333", \\
     low($(value memory 5) * x, $(value float 4)) title "memory, float" lc rgb "#8c564b" dt 4, \\
     \$float title "float passes" pt 7 ps 0.6 lc rgb "#1f77b4", \\
     \$int16 title "gradients in 16-bit integers" pt 5 ps 0.6 lc rgb "#2ca02c", \\
     \$w8a8 title "integer forward W8A8" pt 9 ps 0.7 lc rgb "#d62728", \\
     \$w4a4 title "integer forward W4A4" pt 11 ps 0.7 lc rgb "#ff7f0e"
PLOT
} | gnuplot
echo "$csv and $out/roofline.svg written" >&2
