#!/usr/bin/env bash
# layers.sh - the #include lines of the sources only point down the street, and siblings do not know each other.
# Our own files are included in one way each, "folder/file.h" and <nibble/file.h>; <nibble/extend/file.h> is not for the tool and the
# examples, which are users of the library like any other, nor for the headers of the user tier. layers_test.sh tries all of it.
set -u
cd "$(dirname "$0")/../.." || exit 1
shopt -s nullglob
exec awk '
BEGIN {
    n = split("base kernels engine core quant config layers datasets model train lower post analysis export import report bench sweep cli", names, " ")
    split("0 1 2 2 3 3 4 4 4 5 5 5 6 7 7 7 7 8 9", levels, " ")
    for (i = 1; i <= n; i++)
        level[names[i]] = levels[i]
    # Public headers belong to the folder that implements them (extend/lowering.h is what layers know of src/lower).
    n = split("context:base geom:base take:base config:config registry:config dataset:datasets image:datasets graph:core model:model train:train post:post lower:lower intmodel:lower engine:engine export:export features:core import:import nibble:cli extend/keys:config extend/tensor:core extend/op:core extend/cut:core extend/fusion:core extend/lowering:core extend/quant:quant extend/dataset_loader:datasets extend/block:model extend/optimizer:train extend/schedule:train extend/post_step:post", names, " ")
    for (i = 1; i <= n; i++) {
        split(names[i], pair, ":")
        home[pair[1]] = pair[2]
    }
    only["base"] = "context"                     # public headers that speak of what stands above are not for these
    only["kernels"] = "context geom take extend/tensor"
    only["engine"] = "engine geom take"
    # The one user of each system header that must not spread.
    owner["sched.h"] = "src/base/parallel.c"
    owner["omp.h"] = "src/base/parallel.c"
    owner["mpi.h"] = "src/base/ranks.c"
    owner["cblas.h"] = "src/kernels/float/fblas.c"
    owner["immintrin.h"] = owner["arm_neon.h"] = "src/kernels/ src/bench/peak.c"
    owner["yaml.h"] = "src/config/"
    owner["png.h"] = "datasets/png_rows.c datasets/png_write.c"
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
FNR == 1 { here = FILENAME; sub(/^src\//, "", here); sub(/\/.*/, "", here) } # "include" and "experiments" are no folders of the street
!/^[ \t]*#[ \t]*include/ { next }
FILENAME ~ /^src\/export\/c\// { # what exported programs may: one file, no library
    if (!/"net_[a-z]*\.h"$|<(stdint|arm_acle|arm_mve)\.h>$/) complain("exported programs have only stdint.h and their own")
    next
}
here != "tests" && /"export\/c\// { complain("text of exported programs, no part of this one") }
{
    file = $0
    quoted = sub(/^[^<"]*"/, "", file)
    sub(/^[^<]*</, "", file)
    sub(/[">].*/, "", file)
    there = file
    if (!sub(/\/.*/, "", there)) there = ""
    if (here != "tests" && file ~ /(^|\/)\.\.?\//) { complain("say it without dots"); next }
}
quoted && there != "" && here != "tests" { # what has no folder is beside it
    if (!(there in level)) { complain("not a folder of the street"); next }
    if (there != here && level[there] >= level[here])
        complain(here " may not include " there)
    if (here == "engine" && file !~ /^engine\// && file !~ /^kernels\/(rescale|integer\/[a-z_]*)\.h$/)
        complain("the engine sees only rescale.h and the integer kernels")
}
!quoted && (there in level || there == "src") { complain("our own files are included in quotes") }
!quoted && there == "nibble" {
    name = file; sub(/^nibble\//, "", name); sub(/\.h$/, "", name)
    if (name ~ /^extend\// && FILENAME ~ /^(src\/cli|experiments|include\/nibble\/[a-z]*\.h)/)
        complain("extend/ is for who adds layers, quantizers and the like")
    if (here in only) {
        if (index(" " only[here] " ", " " name " ") == 0) complain(here " may not include this public header")
    } else if (here in level && !(name in home))
        complain("a public header whose folder layers.sh does not know, or one of everything")
    else if (here in level && level[home[name]] > level[here])
        complain(here " may not include what " home[name] " implements")
}
!quoted && file in owner && here != "tests" && !owned(owner[file]) { complain("only " owner[file] " may include this") }
END { exit bad }' src/*/*.c src/*/*.h src/kernels/*/*.[ch] src/export/c/*.[ch] layers/*.[ch] datasets/*.[ch] include/nibble/*.h include/nibble/extend/*.h experiments/*/*.c tests/*/*.[ch]
