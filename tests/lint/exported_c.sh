#!/usr/bin/env bash
# exported_c.sh - the C of exported programs (src/export/c), on its own: C99 and C++ without a warning, where clang is for Cortex-M4
# and M55 as well; every piece of it is somebody's; and the script that makes strings of it refuses what it would get wrong.
# Compilers that are not here are left out: `make check-exported` names them.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0
compile() { # COMPILER OPTION...: every file, without a warning
    local f werror
    command -v "$1" >/dev/null || return
    werror=$(tests/werror.sh "$1")
    for f in src/export/c/*.[ch]; do
        # shellcheck disable=SC2086
        "$@" -Wall -Wextra $werror -Wno-unused-function -fsyntax-only "$f" || { echo "  ^ $f: $*"; bad=1; }
    done
}
compile gcc -x c -std=c99 -Wpedantic -Wconversion -Wshadow
compile clang -x c -std=c99 -Wpedantic -Wconversion -Wshadow
compile g++ -x c++
compile clang++ -x c++
for cpu in cortex-m4 cortex-m55; do
    arm="--target=arm-none-eabi -mcpu=$cpu -mfloat-abi=hard -ffreestanding"
    # shellcheck disable=SC2086
    echo '#include <arm_acle.h>' | clang $arm -fsyntax-only -x c - 2>/dev/null || continue
    # shellcheck disable=SC2086
    compile clang $arm -x c -std=c99
    # shellcheck disable=SC2086
    compile clang++ $arm -x c++
done

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
awk -f scripts/c_strings.awk src/export/c/*.[ch] >"$dir/texts.c" || bad=1
for name in $(sed -n 's/^const char \(.*\)\[\] =$/\1/p' "$dir/texts.c"); do
    grep -qw "$name" src/export/*.c || { echo "src/export/c: $name: no exporter uses it"; bad=1; }
done
for awk in mawk gawk original-awk 'busybox awk'; do # whichever of them is `awk` somewhere
    command -v "${awk% *}" >/dev/null || continue
    $awk -f scripts/c_strings.awk src/export/c/*.[ch] | cmp - "$dir/texts.c" || { echo "  ^ $awk"; bad=1; }
done

refuses() { # TEXT SENTENCE
    local said
    printf '%b' "$1" >"$dir/piece.c"
    said=$(awk -f scripts/c_strings.awk "$dir/piece.c" 2>&1 >/dev/null) && { echo "c_strings.awk takes: $1"; bad=1; }
    [ "$said" = "$dir/piece.c:$2" ] || { echo "c_strings.awk says: $said, not: $2"; bad=1; }
}
refuses '/* ==== a ==== */\nint a;\n' '2: the last file ends within a'
refuses '/* ==== a ==== */\nint a;\n/* ==== b ==== */\n' '3: begins within a'
refuses '/* ==== a ==== */\n/* ==== */\n' '2: a is empty'
refuses 'int a;\n/* ==== */\n' '2: an end without a beginning'
refuses '/* ==== a ==== */\nint a;\n/* ==== */\n/* ==== a ==== */\n' '4: a is there twice'
refuses '/* ==== a ==== */\nint a;\n/* === */\n/* ==== A ==== */\n' '4: neither "/* ==== NAME ==== */" nor "/* ==== */": /* ==== A ==== */'
exit $bad
