#!/usr/bin/env bash
# pack.sh - a run on packed data is the run on the folder of PNG files that was packed, byte for byte, and so is one that decodes
# them whenever they are needed. Packing goes on after a kill, mends what is damaged, and other data sets can be packed, too.
# shellcheck disable=SC2012,SC2015 # names are ours; die does not return
set -eu
. tests/e2e/common.bash
cd "$WORK"

be32() { # N: four bytes, most significant first
    # shellcheck disable=SC2059
    printf "$(printf '\\%03o\\%03o\\%03o\\%03o' $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)))"
}
chunk() { # TYPE: with standard input in it; gzip knows its checksum
    local b
    { printf '%s' "$1" && cat; } >piece
    be32 $(($(wc -c <piece) - 4))
    cat piece
    read -r -a b < <(gzip -c piece | tail -c 8 | head -c 4 | od -An -tu1)
    be32 $((b[3] << 24 | b[2] << 16 | b[1] << 8 | b[0]))
}
grey() { # SEED: a 6x5 PNG file, its pixels in one stored deflate block
    local i v low=1 high=0 text=''
    for ((i = 0; i < 35; i++)); do
        v=$((i % 7 ? ($1 * 37 + i * ($1 % 5 + 1) * 11) % 256 : 0))
        low=$(((low + v) % 65521)) high=$(((high + low) % 65521))
        text+=$(printf '\\%03o' $v)
    done
    printf '\211PNG\r\n\032\n'
    { be32 6 && be32 5 && printf '\010\0\0\0\0'; } | chunk IHDR
    # shellcheck disable=SC2059
    { printf '\170\001\001\043\000\334\377' && printf "$text" && be32 $((high << 16 | low)); } | chunk IDAT
    printf '' | chunk IEND
}
body() { # FILE: the tensors of a safetensors file
    tail -c +$(($(od -An -tu8 -N8 "$1") + 9)) "$1"
}
seed=0
for class in a b c d; do
    mkdir -p set/train/$class set/test/$class
    for i in 1 2 3 4 5 6; do seed=$((seed + 1)) && grey $seed >set/train/$class/$i.png; done
    for i in 1 2; do seed=$((seed + 1)) && grey $seed >set/test/$class/$i.png; done
done
cat >set.yaml <<'END'
out: run
data: {name: pngdir, path: set, augment: [flip, crop1]}
model: [input, {conv2d: {out: 4, kernel: 3, pad: 1}}, batchnorm, relu, {avgpool: {global: yes}}, {linear: {out: 4}}]
train: {batch: 8, phases: [{name: float, epochs: 2, lr: 0.1}, {name: qat, epochs: 1, lr: 0.02, quant: on}]}
quant: {weights: {bits: 4}}
END

run 0 pack set -o bin
says 'bin: 24 training and 8 test images of 5x6x1 in 4 classes, 2 files'
run 0 train set.yaml
grep -qx 'data: 24 training and 8 test images of 5x6x1, 4 classes, 0.0 MB of memory' out || die 'says what it trains on'
mv run decoded
run 0 train set.yaml --set data.name=packed --set data.path=bin
says '5x6x1, 4 classes, 0.0 MB of memory, each is made ready when it is needed'
mv run packed
# What differs is the config in the files, of one length: "pngdir, path: set" and "packed, path: bin"; and with it the checksum.
equal() { # FILE PATTERN: but for that
    LC_ALL=C sed "s/\"crc32\":\"[0-9a-f]*\"//; $2" "packed/$1" >one
    LC_ALL=C sed "s/\"crc32\":\"[0-9a-f]*\"//; $2" "decoded/$1" >two
    cmp one two || die "$1 depends on whether the data are packed"
}
for file in last best phase-1-float model.int; do
    equal $file.safetensors 's/name: packed, path: bin/name: pngdir, path: set/'
done
cmp packed/metrics.csv decoded/metrics.csv
cmp packed/ranges.csv decoded/ranges.csv
run 0 train set.yaml --set data.memory=0
says 'each is made ready when it is needed'
for file in last best model.int; do
    cmp <(body run/$file.safetensors) <(body decoded/$file.safetensors) || die "$file depends on whether all images are kept"
done
cmp run/metrics.csv decoded/metrics.csv
run 0 eval packed --mistakes 1
says 'test/'
run 0 eval packed --split train --set data.path=bin
echo '  ok the same run from PNG files, decoded once or again and again, and packed'

# The same command keeps what is there; what is damaged or missing is written anew, to the same bytes.
run 0 pack set -o small --shard 200
says '4 classes, 6 files'
before=$(cd small && cat train-* test-* index.safetensors | cksum)
again() { # KEPT: shards
    run 0 pack set.yaml -o small --shard 200 --json
    says "\"shards\":6,\"kept\":$1,"
    [ "$(cd small && cat train-* test-* index.safetensors | cksum)" = "$before" ] || die "packing again must give the same files"
    [ "$(ls small | wc -l)" = 7 ] && [ ! -e small/.nibble.lock ] || die "packing leaves other files behind"
}
again 6
rm small/train-00001.safetensors && again 5
printf 'x' | dd of=small/train-00002.safetensors bs=1 seek=800 conv=notrunc 2>/dev/null && again 5
rm small/index.safetensors && head -c 300 small/test-00001.safetensors >piece && mv piece small/test-00001.safetensors && again 5
touch -d 2001-01-01 set/train/a/1.png
run 0 pack set -o small --shard 200 --json && says '"kept":5,' # the image may be another now
cp -r small odd && run 0 pack set -o small --shard 1000 && says ' 2 files' && [ "$(ls small | wc -l)" = 3 ] || die "shards that are too many must go"
run 0 train set.yaml --quiet --set data.name=packed --set data.path=odd --set out=odd-run
for file in last model.int; do
    cmp <(body odd-run/$file.safetensors) <(body decoded/$file.safetensors) || die "the run depends on how large shards are"
done
echo '  ok what is whole is kept, what is not is written anew'

# Killed in the middle: no index, no run; then it goes on.
rm -rf killed
run 0 pack set -o killed --shard 200
rm killed/index.safetensors killed/test-*
refuses 1 'killed/index.safetensors: is not there: either killed is no packed data set, or packing did not come to its end: run nibble pack' \
    train set.yaml --set data.name=packed --set data.path=killed --set out=never
run 0 pack set -o killed --shard 200 --json
says '"kept":4,'
echo '  ok an unfinished one is not trained on, and goes on'

# Resized, and other data sets.
run 0 pack set -o sized --size 4x3 --json
says '"height":4,"width":3,"channels":1'
run 0 pack set.yaml -o sized --size 4x3 --threads 1 --json
says '"kept":2'
cat >synth.yaml <<'END'
data: {name: synth, count: 30, test_count: 10, height: 8, width: 8, channels: 3, classes: 4}
END
run 0 pack synth.yaml -o synth
sed -e '/^data/s/set,/set, height: 8, width: 8, channels: 3,/' set.yaml >colour.yaml
run 0 train colour.yaml --quiet --set data='{name: packed, path: synth}' --set out=of-packed
run 0 train colour.yaml --quiet --set data="$(sed 's/^data: //' synth.yaml)" --set out=of-synth
cmp <(body of-packed/last.safetensors) <(body of-synth/last.safetensors) || die "packed procedural images are others"
echo '  ok resized images, and another data set'
