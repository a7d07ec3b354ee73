#!/usr/bin/env bash
# layers.sh - the #include lines of the sources only point down the street, and siblings do not know each other.
set -u
cd "$(dirname "$0")/../.." || exit 1
exec awk '
BEGIN {
    n = split("base kernels engine core quant config layers datasets model train lower post export import report cli", names, " ")
    split("0 1 2 2 3 3 4 4 4 5 5 5 6 6 6 7", levels, " ")
    for (i = 1; i <= n; i++)
        level[names[i]] = levels[i]
    only["base"] = "context"                     # public headers that speak of what stands above are not for these
    only["kernels"] = "context geom tensor"
    only["engine"] = "engine geom"
    # The one user of each system header that must not spread.
    owner["sched.h"] = "src/base/parallel.c"
    owner["omp.h"] = "src/base/parallel.c"
    owner["cblas.h"] = "src/kernels/fblas.c"
    owner["immintrin.h"] = owner["arm_neon.h"] = "src/kernels/"
    owner["yaml.h"] = "src/config/"
    owner["png.h"] = "datasets/png_rows.c"
    owner["zlib.h"] = "src/base/"
    owner["cjson/cJSON.h"] = "src/base/ src/lower/"
}
function owned(places,    i, n, place) {
    n = split(places, place, " ")
    for (i = 1; i <= n; i++)
        if (index(FILENAME, place[i]) == 1) return 1
    return 0
}
function complain(what) { printf "%s:%d: %s: %s\n", FILENAME, FNR, $0, what; bad = 1 }
FNR == 1 { here = FILENAME; sub(/^src\//, "", here); sub(/\/.*/, "", here) }
FILENAME ~ /^src\/export\/c\// && /^# *include/ { # what exported programs may: one file, no library
    if (!/"net_[a-z]*\.h"$|<(stdint|arm_acle|arm_mve)\.h>$/) complain("exported programs have only stdint.h and their own")
    next
}
/^# *include *"export\/c\// { complain("text of exported programs, no part of this one") }
/^# *include *"/ {
    file = $0; sub(/^[^"]*"/, "", file); sub(/".*/, "", file)
    there = file
    if (!sub(/\/.*/, "", there)) next       # beside it
    if (!(there in level)) { complain("not a folder of the street"); next }
    if (there != here && level[there] >= level[here])
        complain(here " may not include " there)
    if (here == "engine" && file !~ /^engine\// && file !~ /^kernels\/(rescale|i[a-z]*)\.h$/)
        complain("the engine sees only rescale.h and the integer kernels")
}
/^# *include *<nibble\// && here in only {
    file = $0; sub(/.*<nibble\//, "", file); sub(/\.h>.*/, "", file)
    if (index(" " only[here] " ", " " file " ") == 0)
        complain(here " may not include this public header")
}
/^# *include *</ {
    file = $0; sub(/^[^<]*</, "", file); sub(/>.*/, "", file)
    if (file in owner && !owned(owner[file]))
        complain("only " owner[file] " may include this")
}
END { exit bad }' src/*/*.c src/*/*.h src/export/c/*.[ch] layers/*.[ch] datasets/*.[ch]
