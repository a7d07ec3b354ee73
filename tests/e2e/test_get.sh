#!/bin/sh
# test_get.sh - datasets/get.sh without a network: what it downloads from file:// places is checked, continued, unpacked, or refused
# without a trace. Needs curl (wget cannot read file://).
# shellcheck disable=SC2015,SC2012 # die does not return, and the names listed are ours
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
command -v curl >/dev/null || {
    echo "no curl"
    exit 77
}
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
unset NB_DATA NB_MIRROR || true

die() {
    echo "not ok - $*" >&2
    cat "$t/log" >&2
    exit 1
}
ok() { echo "  ok $*"; }
# run WANTED_CODE ARGS...
run() {
    want=$1
    shift
    code=0
    sh "$here/datasets/get.sh" "$@" >"$t/log" 2>&1 || code=$?
    [ "$code" = "$want" ] || die "get.sh $*: exit $code, must be $want"
}
says() { grep -qF -- "$1" "$t/log" || die "does not say: $1"; }

mkdir -p "$t/place/inner" "$t/other"
seq 1 2000 >"$t/other/b.gz"
seq 5 3000 >"$t/place/a.gz"
echo 1 >"$t/place/inner/x.bin"
echo 2 >"$t/place/inner/names.txt"
tar -czf "$t/place/all.tar.gz" -C "$t/place" inner
sum() { sha256sum <"$1" | cut -d' ' -f1; }
cat >"$t/table" <<TABLE
two|$(sum "$t/place/a.gz")|a.gz|-|file://$t/place
two|$(sum "$t/other/b.gz")|b.gz|-|file://$t/place file://$t/other
bad|$(sum "$t/other/b.gz")|a.gz|-|file://$t/place
arc|$(sum "$t/place/all.tar.gz")|all.tar.gz|inner|file://$t/place
wrongdir|$(sum "$t/place/all.tar.gz")|all.tar.gz|outer|file://$t/place
TABLE
export NB_GET_TABLE="$t/table"

run 0 two "$t/d/two"
cmp "$t/place/a.gz" "$t/d/two/a.gz" && cmp "$t/other/b.gz" "$t/d/two/b.gz" || die "other bytes"
[ "$(ls -A "$t/d/two" | wc -l)" = 2 ] || die "leftovers"
ok "every file of a set is downloaded, from the next place when one has it not"

mv "$t/place" "$t/away"
run 0 two "$t/d/two"
says "a.gz is there and right"
ok "what is there is not downloaded again"
run 1 arc "$t/d/arc"
says "could not be had from any place"
[ ! -e "$t/d/arc/x.bin" ] || die "half a set"
mv "$t/away" "$t/place"
ok "a place that cannot be reached is an error"

echo damaged >"$t/d/two/a.gz"
run 0 two "$t/d/two"
cmp "$t/place/a.gz" "$t/d/two/a.gz" || die "still damaged"
ok "a damaged file is replaced"

mkdir -p "$t/d/bad"
echo old >"$t/d/bad/a.gz"
run 1 bad "$t/d/bad"
says "must be $(sum "$t/other/b.gz"): deleted"
[ "$(cat "$t/d/bad/a.gz")" = old ] && [ "$(ls -A "$t/d/bad")" = a.gz ] || die "the old file was touched, or something left"
ok "a download with a wrong sum is deleted and touches nothing"

rm "$t/d/two/a.gz"
head -c 1000 "$t/place/a.gz" >"$t/d/two/a.gz.part"
run 0 two "$t/d/two"
cmp "$t/place/a.gz" "$t/d/two/a.gz" || die "badly continued"
rm "$t/d/two/a.gz"
cp "$t/place/a.gz" "$t/d/two/a.gz.part"
run 0 two "$t/d/two"
cmp "$t/place/a.gz" "$t/d/two/a.gz" || die "complete part not used"
rm "$t/d/two/a.gz"
cat "$t/place/a.gz" "$t/place/a.gz" >"$t/d/two/a.gz.part"
run 0 two "$t/d/two"
cmp "$t/place/a.gz" "$t/d/two/a.gz" || die "too long a part was not dropped"
ok "a part is continued, used when complete, dropped when wrong"

run 0 arc "$t/d/arc"
[ "$(ls "$t/d/arc" | tr '\n' ' ')" = "names.txt x.bin " ] || die "unpacked otherwise"
run 0 arc "$t/d/arc"
says "already holds the files of all.tar.gz"
ok "an archive is unpacked once, without its folder"
run 1 wrongdir "$t/d/wrongdir"
says "holds no folder outer"
[ "$(ls -A "$t/d/wrongdir")" = all.tar.gz.part ] || die "leftovers of unpacking"
ok "an archive of another shape leaves nothing unpacked"

NB_DATA=$t/d run 0 two
says "two is in $t/d/two"
NB_MIRROR=file://$t/other run 1 bad "$t/d/bad"
ok "NB_DATA and NB_MIRROR are used"

run 2
run 2 nothing
says "nothing: unknown data set, must be one of: arc bad two"
run 2 't.o'
unset NB_GET_TABLE
run 2 nothing
says "must be one of: cifar10 cifar100 fashion-mnist mnist"
ok "wrong usage is exit code 2"
