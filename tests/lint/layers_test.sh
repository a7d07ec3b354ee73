#!/usr/bin/env bash
# layers_test.sh - layers.sh on a street of one file per folder: each of these lines is refused where it is planted, for the reason
# that stands beside it, and what is allowed is not.
set -u
cd "$(dirname "$0")/../.." || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0
mkdir -p "$dir/tests/lint" "$dir/layers" "$dir/datasets" "$dir/include/nibble/extend" "$dir/experiments/embed" "$dir/tests/unit"
cp tests/lint/layers.sh "$dir/tests/lint/"
for folder in src/*/ src/export/c/ layers/ datasets/ include/nibble/ include/nibble/extend/; do
    mkdir -p "$dir/$folder"
    : >"$dir/${folder}a.c"
    : >"$dir/${folder}a.h"
done
: >"$dir/experiments/embed/a.c"
: >"$dir/tests/unit/a.c"

try() { # FILE LINE [REASON]: refused for this reason, in one line that names the place; without one it is allowed
    local said
    printf '%s\n' '' "$2" >"$dir/$1"
    said=$("$dir/tests/lint/layers.sh" 2>&1)
    local code=$?
    : >"$dir/$1"
    if [ -n "${3:-}" ]; then
        [[ $code = 1 && $said == "$1:2: $2: "*"$3"* && $said != *$'\n'* ]] && return
        echo "$1: $2: must be refused, as: $3"
    else
        [ "$code" = 0 ] && return
        echo "$1: $2: is allowed"
    fi
    echo "$said"
    bad=1
}
try src/base/a.c '#include <train/loader.h>' 'our own files are included in quotes'
try src/base/a.c '#include<train/loader.h>' 'our own files are included in quotes'
try src/train/a.h '#  include <base/rng.h>' 'our own files are included in quotes'
try src/base/a.c '#include <layers/mac.h>' 'our own files are included in quotes'
try src/base/a.c '#include <src/train/loader.h>' 'our own files are included in quotes'
try src/base/a.c '#include "train/loader.h"' 'base may not include train'
try src/base/a.c ' # include "train/loader.h"' 'base may not include train'
try src/base/a.c '#include "../train/loader.h"' 'without dots'
try src/base/a.c '#include <nibble/../../src/train/loader.h>' 'without dots'
try src/train/a.c '#include "lower/pack.h"' 'train may not include lower'
try src/post/a.c '#include "analysis/value_stats.h"' 'post may not include analysis'
try src/engine/a.c '#include "kernels/grad16/qgrad.h"' 'the engine sees only'
try src/base/a.c '#include <nibble/graph.h>' 'base may not include this public header'
try src/kernels/a.c '#include <nibble/extend/op.h>' 'kernels may not include this public header'
try layers/a.c '#include <nibble/train.h>' 'layers may not include what train implements'
try src/core/a.c '#include <nibble/extend/quant.h>' 'core may not include what quant implements'
try src/quant/a.h '#include <nibble/model.h>' 'quant may not include what model implements'
try src/report/a.c '#include <nibble/nibble.h>' 'report may not include what cli implements'
try src/train/a.c '#include <nibble/extend/extend.h>' 'one of everything'
try src/cli/a.c '#include <nibble/extend/op.h>' 'extend/ is for who adds'
try experiments/embed/a.c '#include <nibble/extend/op.h>' 'extend/ is for who adds'
try include/nibble/a.h '#include <nibble/extend/op.h>' 'extend/ is for who adds'
try include/nibble/a.h '#include "base/check.h"' 'include may not include base'
try tests/unit/a.c '#include <base/check.h>' 'our own files are included in quotes'
try src/export/c/a.c '#include <nibble/engine.h>' 'exported programs have only'
try src/export/a.c '#include "export/c/net_window.c"' 'text of exported programs'
try src/cli/a.c '#include <zlib.h>' 'only src/base/ may include this'
try src/train/a.c '#include "base/rng.h"'
try src/train/a.c '#include "optim.h"'
try src/train/a.c '#include <nibble/post.h>'
try src/quant/a.c '#include <nibble/extend/quant.h>'
try src/cli/a.c '#include <nibble/nibble.h>'
try src/cli/a.c '#include <sys/stat.h>'
try tests/unit/a.c '#include "ref/guard.h"'
try tests/unit/a.c '#include <zlib.h>'
try layers/a.c '#include <nibble/extend/lowering.h>'
try src/export/c/a.c '#include <stdint.h>'
try tests/unit/a.c '#include "export/c/net_window.c"'
try include/nibble/extend/a.h '#include <nibble/extend/op.h>'
exit $bad
