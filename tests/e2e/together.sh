#!/usr/bin/env bash
# together.sh - files that belong together: net.c and net.h, config and weights of import, what quantize writes. A write or a rename that fails
# leaves the earlier pair; a kill between the renames leaves a mixture that neither a compiler nor train takes for a network.
# shellcheck disable=SC2015 # die does not return
set -eu
. tests/e2e/common.bash
golden=$PWD/tests/golden
cc=$(command -v gcc || command -v clang || command -v cc) || exit 77
"$cc" -shared -fPIC -o "$WORK/broken_calls.so" tests/e2e/broken_calls.c -ldl
cd "$WORK"
small_config | sed 's/epochs: 3/epochs: 1/;s/, freeze.*}/}/;s/, warmup: 0.5//' >tiny.yaml
broken() { # CALL AT DO ARGS...: the tool, with that call broken; sets code
    local call=$1 at=$2 todo=$3
    shift 3
    code=0
    LD_PRELOAD=$WORK/broken_calls.so CALL=$call AT=$at DO=$todo "$NIBBLE" "$@" >out 2>err </dev/null || code=$?
}
temporaries() {
    find . -name '*.tmp.*'
}
run 0 train tiny.yaml --quiet
run 0 train tiny.yaml --quiet --set seed=6 --set out=other
ckpt=run/last.safetensors

# ---- net.c and net.h: of two networks of the same shape, so that every mixture would compile ----
compiles() {
    "$cc" -std=c99 -c -o net.o net.c 2>cc.err
}
run 0 export run/model.int.safetensors --format c -o net.c
cp net.c once.c && cp net.h once.h
run 0 export run/model.int.safetensors --format c -o net.c
cmp net.c once.c && cmp net.h once.h || die "the same network must give the same bytes"
compiles || die "$(cat cc.err)"
run 0 export other/model.int.safetensors --format c -o net.c
cp net.h other.h
for fail in 'fsync 1' 'fsync 2' 'rename 1' 'rename 2'; do
    run 0 export run/model.int.safetensors --format c -o net.c
    # shellcheck disable=SC2086
    broken $fail fail export other/model.int.safetensors --format c -o net.c
    [ "$code" = 1 ] && grep -q 'cannot write: Input/output error' err || die "$fail fails: exit $code, $(cat err)"
    cmp net.c once.c && cmp net.h once.h || die "$fail fails: the earlier pair must stay"
    [ -z "$(temporaries)" ] || die "$fail fails: $(temporaries) left"
    mkdir new # nothing was there: nothing is there
    # shellcheck disable=SC2086
    broken $fail fail export other/model.int.safetensors --format c -o new/net.c
    [ "$code" = 1 ] && rmdir new || die "$fail fails: $(ls new) left"
done
broken rename 2 9 export other/model.int.safetensors --format c -o net.c
[ "$code" = 137 ] || die "was to be killed: exit $code"
if cmp -s net.c once.c && cmp -s net.h once.h; then die "the kill came too early"; fi
if compiles; then die "a source beside the header of another network compiled"; fi
grep -q 'this header belongs to another network: export the network again' cc.err || die "$(cat cc.err)"
find . -name '*.tmp.*' -delete
for header in other.h once.h; do # the other way round, and an old header without a hash
    cp once.c net.c
    sed "$([ $header = once.h ] && echo /_HASH/d || echo p\;d)" $header >net.h
    if compiles; then die "compiled with $header"; fi
    grep -q 'this header belongs to another network' cc.err || die "$(cat cc.err)"
done

cp once.h net.h
sed '/^#if !defined(NET_HASH)/,/^#endif/d' once.c >net.c # a pair of before there were hashes
sed -i /_HASH/d net.h
compiles || die "$(cat cc.err)"
broken rename 2 9 export other/model.int.safetensors --format c -o net.c
if compiles; then die "a source beside a header without a hash compiled"; fi
find . -name '*.tmp.*' -delete

# ---- what quantize writes ----
for fail in 'fsync 1' 'fsync 2' 'fsync 3' 'rename 1' 'rename 2' 'rename 3'; do
    # shellcheck disable=SC2086
    broken $fail fail quantize tiny.yaml --from $ckpt -o ptq --images 64 --steps none
    [ "$code" = 1 ] && grep -q 'cannot write: Input/output error' err || die "$fail fails: exit $code, $(cat err)"
    [ -z "$(find ptq -type f)" ] || die "$fail fails: $(find ptq -type f) left"
done
run 0 quantize tiny.yaml --from $ckpt -o ptq --images 64

# ---- a run that ended, or nearly, and is resumed: the integers are the checkpoint's ----
cp -r run ended
rm ended/model.int.safetensors
broken rename 1 fail train tiny.yaml --quiet --resume --set out=ended
[ "$code" = 1 ] && [ ! -e ended/model.int.safetensors ] || die "a rename that failed: exit $code"
run 0 train tiny.yaml --quiet --resume --set out=ended
for at in 1 2; do
    broken fsync $at 9 train tiny.yaml --quiet --resume --set out=ended
    cmp <(tail -c 2000 ended/model.int.safetensors) <(tail -c 2000 run/model.int.safetensors) || die "resumed and killed: other integers"
done

# ---- config and weights of import ----
if "$NIBBLE" import "$golden/import_norms.onnx" -o probe --mean 0.5 --std 0.25 2>&1 | grep -q 'this build has no ONNX'; then
    exit 0
fi
plain=(--set 'train.phases=[{epochs: 1, lr: 0.1}]')
run 0 train tiny.yaml --quiet "${plain[@]}" --set out=a
run 0 train tiny.yaml --quiet "${plain[@]}" --set out=b --set seed=6
data='{name: synth, count: 240, test_count: 100, height: 12, width: 12, channels: 3, classes: 4}'
cp a/last.safetensors a.safetensors
for net in a b; do
    run 0 export $net/last.safetensors --format onnx -o $net.onnx
done
import() { # NET [DO CALL AT]: as net.yaml and net.safetensors
    if [ $# = 1 ]; then
        run 0 import "$1.onnx" -o net --data "$data"
    else
        broken "$3" "$4" "$2" import "$1.onnx" -o net --data "$data"
    fi
}
import a
run 0 train net.yaml --quiet --set train.phases.0.epochs=1 --set out=tuned
run 0 quantize net.yaml --from net.safetensors -o netq --images 64
cp net.yaml a.yaml && cp net.safetensors a.safetensors
import a
cmp net.yaml a.yaml && cmp net.safetensors a.safetensors || die "the same network must give the same bytes"
for fail in 'fsync 1' 'fsync 2' 'rename 1' 'rename 2'; do
    # shellcheck disable=SC2086
    import b fail $fail
    [ "$code" = 1 ] && grep -q 'cannot write: Input/output error' err || die "$fail fails: exit $code, $(cat err)"
    cmp net.yaml a.yaml && cmp net.safetensors a.safetensors || die "$fail fails: the earlier pair must stay"
    [ -z "$(temporaries)" ] || die "$fail fails: $(temporaries) left"
done
import b 9 rename 2
[ "$code" = 137 ] || die "was to be killed: exit $code"
says=": holds other weights (#"
refuses 1 "net.safetensors$says" train net.yaml --quiet --set out=mixed
refuses 1 "net.safetensors$says" quantize net.yaml --from ./net.safetensors -o mixed
find . -name '*.tmp.*' -delete
run 0 quantize net.yaml --from a/last.safetensors -o elsewhere --images 64 # of other checkpoints the config says nothing
import b
run 0 quantize net.yaml --from net.safetensors -o whole --images 64
cp a.yaml net.yaml
refuses 1 "net.safetensors$says" train net.yaml --quiet --set out=mixed
run 0 train net.yaml --quiet --set train.phases.0.epochs=1 --set out=said --set init=net.safetensors # whoever says so
[ ! -e mixed ] || die "a refused command left a folder"
