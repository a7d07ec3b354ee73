#!/usr/bin/env bash
# freestanding.sh - the engine library needs nothing but the four functions a freestanding C compiler may call, and uses no floating
# point registers' types. ENGINE is the archive to look at.
set -u
cd "$(dirname "$0")/../.." || exit 1
: "${ENGINE:?path of libnibble_engine.a}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
ld -r -o "$dir/engine.o" --whole-archive "$ENGINE" || exit 1
needs=$(nm -u "$dir/engine.o" | awk '{ print $2 }' | grep -vxE 'mem(cpy|set|move|cmp)|_GLOBAL_OFFSET_TABLE_')
[ -z "$needs" ] || { echo "the engine library needs: $needs"; exit 1; }
hits=$(grep -nE '\<(float|double)\>' src/engine/*.[ch] src/kernels/integer/*.[ch] | grep -vE '^[^:]*:[0-9]+: *(/?\*|.*/\*.*\<(float|double)\>)')
[ -z "$hits" ] || { echo "$hits"; echo "  ^ no floating point in the engine"; exit 1; }
