#!/usr/bin/env bash
# sizes.sh - files below 600 lines, functions below 60, file names unique in the tree, every source file says its job first.
# A function is what clang-format leaves between a lone { and a lone } in the first column.
set -u
cd "$(dirname "$0")/../.." || exit 1
files=$(git ls-files -co --exclude-standard '*.c' '*.h')
bad=0
# shellcheck disable=SC2086
awk '
FNR == 1 {
    start = 0
    name = FILENAME; sub(/.*\//, "", name)
    if ($0 == "/* clang-format off */") getline
    if ($0 !~ ("^/\\* " name " - ")) { printf "%s:1: must begin with /* %s - what it does\n", FILENAME, name; bad = 1 }
}
FNR == 600 { printf "%s: 600 lines or more\n", FILENAME; bad = 1 }
/^\{$/ { start = FILENAME ~ /^tests/ && before ~ /^int main\(/ ? 0 : FNR } # the list of tests may be long
{ before = $0 }
/^\}$/ && start {
    if (FNR - start - 1 > 60) { printf "%s:%d: a function of %d lines, 60 are allowed\n", FILENAME, start, FNR - start - 1; bad = 1 }
    start = 0
}
END { exit bad }' $files || bad=1
twice=$(for f in $files; do echo "${f##*/}"; done | sort | uniq -d)
[ -z "$twice" ] || { echo "file names that are there twice: $twice"; bad=1; }
exit $bad
