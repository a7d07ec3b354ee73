#!/usr/bin/env bash
# bad_pack.sh - packed data that are damaged, cut short, mixed or missing: one sentence with the file, the place and what to do,
# and no step is made on a wrong image. Wrong wishes of nibble pack, and what it must not write over.
# shellcheck disable=SC2012,SC2015 # names are ours; die does not return
set -eu
. tests/e2e/common.bash
cd "$WORK"
cat >make.yaml <<'END'
data: {name: synth, count: 24, test_count: 8, height: 6, width: 6, channels: 1, classes: 4}
END
cat >set.yaml <<'END'
out: never
data: {name: packed, path: bin}
model: [input, {linear: {out: 4}}]
train: {batch: 8, phases: [{epochs: 2, lr: 0.1}]}
END
run 0 pack make.yaml -o whole --shard 300 --quiet
[ "$(ls whole | wc -l)" = 5 ] || die "three shards, one, and the index"
fresh() { rm -rf bin && cp -r whole bin; }
patch() { # FILE OFFSET: another byte there
    # shellcheck disable=SC2059
    printf "\\$(printf %o $(($(od -An -tu1 -j "$2" -N1 "$1") ^ 85)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
wrong() { # CODE TEXT [ARGS...]
    local want=$1 text=$2
    shift 2
    refuses "$want" "$text" train set.yaml "$@"
    [ ! -e never ] || die "data that cannot be used must not leave a folder: $text"
}
again='run nibble pack again with the same folder, which writes anew what is damaged or missing'
x=bin/train-00001.safetensors
fresh && run 0 train set.yaml --quiet --set out=fine
fresh && rm bin/index.safetensors && wrong 1 'bin/index.safetensors: is not there: either bin is no packed data set, or packing did not come to its end'
fresh && printf '' >bin/index.safetensors && wrong 1 "bin/index.safetensors: not a safetensors file: 0 bytes: $again"
fresh && sed -i 's/nibble-shard 1/nibble-shard 9/' $x && wrong 1 "$x: written by a newer Nibble (format \"nibble-shard 9\"; this program reads up to \"nibble-shard 1\"): use that one"
fresh && cp set.yaml $x && wrong 1 "$x: not a safetensors file but a text file: $again"
fresh && patch bin/index.safetensors $(($(wc -c <bin/index.safetensors) - 2)) && wrong 1 "bin/index.safetensors: damaged: it does not have its checksum: $again"
fresh && cp bin/train-00000.safetensors bin/index.safetensors && wrong 1 'bin/index.safetensors: damaged'
fresh && rm $x && wrong 1 "$x: is not there, but bin/index.safetensors knows it: $again"
fresh && printf '' >$x && wrong 1 "$x: not a safetensors file: 0 bytes: $again"
fresh && head -c 100 whole/train-00001.safetensors >$x && wrong 1 "$x: not a safetensors file, or cut short"
fresh && head -c 600 whole/train-00001.safetensors >$x && wrong 1 'the file holds'
fresh && patch $x $(($(wc -c <$x) - 2)) && wrong 1 "$x: damaged: its header, labels or names do not have their checksum: $again"
fresh && cp bin/train-00002.safetensors $x && wrong 1 "$x: is shard 2 of split train, not 1 of train: was it renamed?"
fresh && cp bin/test-00000.safetensors $x && wrong 1 "$x: is shard 0 of split test, not 1 of train"
run 0 pack make.yaml -o other --shard 300 --set data.seed=9
fresh && cp other/train-00001.safetensors $x && wrong 1 "$x: is not the shard that bin/index.safetensors knows, but of another packing: $again"
run 0 pack make.yaml -o smaller --shard 300 --set data.height=5
fresh && cp smaller/train-00001.safetensors $x && wrong 1 "$x: images of 5x6x1, but the folder's are 6x6x1: it is of another packing"
rm -rf bin && wrong 1 'bin/index.safetensors: cannot open: No such file or directory'
wrong 2 'data.path: missing: packed needs the folder that nibble pack wrote' --set data.path=
wrong 2 'height: unknown key' --set data.height=3

# Pixels are looked at when they are read: before the run has a folder, or, of an image of a later batch, by then.
begin=$(($(od -An -tu8 -N8 whole/train-00001.safetensors) + 8 + 8 * 8))
fresh && for i in 0 1 2 3 4 5 6 7; do patch $x $((begin + 36 * i + 5)); done
code=0
"$NIBBLE" train set.yaml --set out=begun >out 2>err || code=$?
[ "$code" = 1 ] && grep -q "^nibble: $x: damaged: image [0-7] does not have the checksum it was packed with: $again" err || { cat err; die "a damaged image must end the run"; }
fresh && patch bin/test-00000.safetensors $(($(od -An -tu8 -N8 whole/test-00000.safetensors) + 8 + 8 * 8 + 36 * 3))
run 0 train set.yaml --quiet --set out=good --set data.path=whole
refuses 1 'bin/test-00000.safetensors: damaged: image 3 does not' eval good/last.safetensors --set data.path=bin
refuses 1 'bin/test-00000.safetensors: damaged: image 3 does not' train set.yaml --quiet --set out=begun2
fresh && run 0 eval good/last.safetensors

# What nibble pack refuses.
refuses 2 '-o OUT is missing' pack make.yaml
refuses 2 '--size: 0x4: must be rows and columns' pack make.yaml -o p --size 0x4
refuses 2 '--size: 4x: must be rows and columns' pack make.yaml -o p --size 4x
refuses 2 '--shard: much: must be a plain number' pack make.yaml -o p --shard much
refuses 2 '--shard: 0: must be in 1..' pack make.yaml -o p --shard 0
refuses 1 'nowhere.yaml' pack nowhere.yaml -o p
mkdir empty
refuses 1 'empty: holds no folders: there must be one per class' pack empty -o p
refuses 2 'whole: holds what was packed of another data set, or with other keys: choose another folder, or say --force' \
    pack make.yaml -o whole --set data.seed=5
run 0 pack make.yaml -o other --shard 300 --force
cmp whole/index.safetensors other/index.safetensors
printf 'x' >file
refuses 1 'file' pack make.yaml -o file
mkdir -p png/train/a png/test/a
printf 'x' >png/train/a/1.png
printf 'y' >png/train/a/2.png
printf 'z' >png/test/a/1.png
code=0
"$NIBBLE" pack png -o p >out 2>err || code=$?
[ "$code" = 1 ] && [ "$(grep -c 'not a readable PNG' err)" = 4 ] || { cat err; die "all images that cannot be used must be listed"; }
says '3 of 3 images cannot be used, all are listed; the first is png/train/a/1.png'
