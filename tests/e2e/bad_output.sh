#!/usr/bin/env bash
# bad_output.sh - output that cannot be written: no such folder, no permission, something else in the way, a full disk, a limit on
# file sizes. Exit code 1, one line that names the place, and what was there before is there afterwards.
# shellcheck disable=SC2015 # die does not return
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml
short='train.phases=[{name: float, epochs: 1, lr: 0.1}, {name: qat, epochs: 1, lr: 0.01, quant: on}]'
run 0 train tiny.yaml --quiet --set "$short"
before=$(sums run)
model=run/model.int.safetensors

# ---- export ----
refuses 1 '/dev/full: cannot write: No space left on device' export $model -o /dev/full
refuses 1 'nowhere/x.txt: cannot write: No such file or directory' export $model -o nowhere/x.txt
refuses 1 'run: is a folder, expected a file' export $model -o run
refuses 1 'tiny.yaml/x.txt: cannot write: Not a directory' export $model -o tiny.yaml/x.txt
refuses 1 ': cannot write: File name too long' export $model -o "$(printf 'a%.0s' {1..300}).txt"
refuses 2 '-o OUT is missing' export $model
refuses 2 'listing.txt: must end in .c' export $model --format c -o listing.txt
refuses 2 '--prefix is for --format c' export $model -o listing.txt --prefix net
refuses 2 '--opset is for --format onnx' export $model --format c -o net.c --opset 13
refuses 2 '--opset: x: must be 13 or 21' export $model --format onnx -o net.onnx --opset x
refuses 2 '--form is for --format onnx' export $model --format c -o net.c --form qdq
refuses 2 '--input is for --format tflite' export $model -o net.onnx --input pixels
refuses 2 '--weights is for --format tflite' export $model --format c -o net.c --weights int4
refuses 2 '--input: u8: must be one of codes, pixels' export $model -o net.tflite --input u8
refuses 2 '--weights: 4: must be one of int4, int8' export $model -o net.tflite --weights 4
refuses 2 '--form: qlinear: must be one of qdq, operator' export $model --format onnx -o net.onnx --form qlinear
refuses 2 'prefix: int x: must be a letter' export $model --format c -o net.c --prefix 'int x'
refuses 1 'nowhere/net.c: cannot write: No such file or directory' export $model --format c -o nowhere/net.c
printf 'precious\n' >listing.txt
small() { # like refuses, but no file may grow beyond a block
    (
        ulimit -f 1
        "$NIBBLE" "$@" >/dev/null 2>&1
    )
}
if small export $model -o listing.txt; then
    die "a listing cut at a block must not look like success"
fi
[ "$(cat listing.txt)" = precious ] || die "a failed export touched the file it was to replace"
[ "$(find . -name '*.tmp.*')" = "" ] || die "a failed export left a temporary file"

# ---- standard output ----
for command in "keys" "eval $model" "eval $model --json" "info $model" "info tiny.yaml --json" "verify $model --images 10" "--version" "help"; do
    # shellcheck disable=SC2086
    if "$NIBBLE" $command >/dev/full 2>err; then
        die "nibble $command: a full standard output must not look like success"
    fi
    [ "$(cat err)" = "nibble: standard output could not be written" ] || die "nibble $command: $(cat err)"
done
code=0
"$NIBBLE" eval $model >&- 2>err || code=$?
[ "$code" = 1 ] || die "a closed standard output must be an error, not $code: $(cat err)"

# ---- a run folder that cannot be made or written ----
refuses 1 '/dev/null: cannot make the folder' train tiny.yaml --set out=/dev/null/run
refuses 1 'tiny.yaml: cannot make the folder' train tiny.yaml --set out=tiny.yaml
refuses 1 'tiny.yaml: cannot make the folder' train tiny.yaml --set out=tiny.yaml/run
refuses 2 'run: holds a run already' train tiny.yaml
for file in config.yaml best.safetensors model.int.safetensors; do
    mkdir -p "way/$file"
    refuses 1 "way/$file: is a folder, expected a file" train tiny.yaml --quiet --set out=way --set "$short"
    rm -r way
done
# Permissions: root has them all, so as root somebody else tries, in a folder everybody can enter.
open=$(mktemp -d)
trap 'chmod -R u+rwX "$open"; rm -rf "$open"' EXIT
mkdir "$open/shut"
cp "$NIBBLE" "$open/nibble"
cp tiny.yaml $model run/last.safetensors "$open"
cp run/last.safetensors "$open/secret.safetensors"
chmod 644 "$open"/*.yaml "$open"/*.safetensors
chmod 755 "$open" "$open/nibble"
chmod 555 "$open/shut"
chmod 0 "$open/secret.safetensors"
somebody=""
[ "$(id -u)" != 0 ] || somebody="setpriv --reuid 65534 --regid 65534 --clear-groups"
denied() { # PLACE ARGS...: in that folder
    local place=$1 code=0
    shift
    # shellcheck disable=SC2086
    (cd "$open" && $somebody ./nibble "$@") >out 2>err </dev/null || code=$?
    [ "$code" = 1 ] && [ "$(cat err)" = "nibble: $place: Permission denied" ] || die "nibble $*: exit $code, $(cat err)"
}
# shellcheck disable=SC2086
if (cd "$open" && $somebody ./nibble --version) >/dev/null 2>&1; then
    denied 'shut/run: cannot make the folder' train tiny.yaml --set out=shut/run
    denied 'shut: cannot write into this folder' train tiny.yaml --set out=shut
    denied 'shut/x.txt: cannot write' export model.int.safetensors -o shut/x.txt
    denied 'secret.safetensors: cannot open' eval secret.safetensors
    [ -z "$(ls -A "$open/shut")" ] || die "something was written without permission"
else
    echo "permissions: skipped, there is no setpriv"
fi

# ---- a disk that fills up during training ----
if small train tiny.yaml --quiet --set out=limited; then
    die "a checkpoint cut at a block must not look like success"
fi
[ ! -e limited/last.safetensors ] || die "a checkpoint that could not be written is there"
[ "$(find limited -name '*.tmp.*')" = "" ] || die "a failed checkpoint left a temporary file"
[ "$(sums run)" = "$before" ] || die "something touched the run folder"

# A real full disk: there is room for the first checkpoint, but not for the next beside it.
mkdir disk
if [ "$(id -u)" != 0 ] || ! mount -t tmpfs -o size=256k tmpfs disk 2>/dev/null; then
    echo "skipped: a full file system needs root and mount"
    exit 0
fi
trap 'umount disk; rm -rf "$open"' EXIT
head -c $(((256 - 72) * 1024)) /dev/zero >disk/fill
refuses 1 'cannot write: No space left on device' train tiny.yaml --quiet --set out=disk/run --set "$short"
[ -s disk/run/last.safetensors ] || die "there was room for a first checkpoint"
run 0 eval disk/run/last.safetensors
[ "$(find disk -name '*.tmp.*')" = "" ] || die "a full disk left a temporary file"
cat /dev/zero >disk/rest 2>/dev/null || true
refuses 1 'disk/listing.txt: cannot write: No space left on device' export $model -o disk/listing.txt
refuses 1 'cannot write: No space left on device' train tiny.yaml --quiet --resume --set out=disk/run --set "$short"
rm disk/fill disk/rest
run 0 train tiny.yaml --quiet --resume --set out=disk/run --set "$short"
cmp disk/run/metrics.csv run/metrics.csv
for file in last.safetensors best.safetensors; do # what stopped in between ends as the run that was never stopped; only `out` differs
    cmp <(tail -c 9000 "disk/run/$file") <(tail -c 9000 "run/$file") || die "$file differs"
done
