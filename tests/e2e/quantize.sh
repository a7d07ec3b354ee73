#!/usr/bin/env bash
# quantize.sh - post-training quantization: integers from a float checkpoint, the same bytes every time, and what is refused.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml
run 0 train tiny.yaml --set out=float --set 'train.phases=[{name: float, epochs: 3, lr: 0.1}]' --quiet
ckpt=float/last.safetensors

for n in 1 2 4 again; do
    mkdir "by$n"
    (cd "by$n" && run 0 quantize ../tiny.yaml --from ../$ckpt -o q --images 100 --threads "${n/again/2}")
    for file in config.yaml last.safetensors model.int.safetensors; do
        cmp "by1/q/$file" "by$n/q/$file" || die "$file: by1 and by$n differ"
    done
done
grep -qx 'out: "q"' by1/q/config.yaml || die "the config must say where it is"
mv by1/q q1
says "W4A8"
says "ranges from 100 training images"
[ "$(grep -cE '^(before|integers) ' out)" = 3 ] || die "must print both networks, and the path of the integers"

# The accuracy that is printed is the engine's, of the file that was written; 8 bits cost nothing here.
run 0 quantize tiny.yaml --from $ckpt --set out=q8 --set quant.weights.bits=8 --json
accuracy=$(sed 's/.*"accuracy":\([0-9.]*\).*/\1/' out)
says '"bits":"W8A8"'
awk '{ match($0, /"float_accuracy":[0-9.]*/); f = substr($0, RSTART + 17, RLENGTH - 17); match($0, /"accuracy":[0-9.]*/)
       q = substr($0, RSTART + 11, RLENGTH - 11); exit !(f > 0.5 && q > f - 0.03) }' out || die "W8A8 must be as good as float"
for file in q8/model.int.safetensors q8/last.safetensors; do
    run 0 eval $file --json
    says "\"accuracy\":$accuracy,"
done
run 0 verify q8/model.int.safetensors
run 0 verify q8/last.safetensors
run 0 info q8/model.int.safetensors

# More images than there are: all, as by default, and it is said.
run 0 quantize tiny.yaml --from $ckpt -o qall
run 0 quantize tiny.yaml --from $ckpt -o qmore --images 1024
says '--images 1024: there are 240 training images, all are taken'
says 'ranges from 240 training images'
cmp <(tensors qall/model.int.safetensors) <(tensors qmore/model.int.safetensors) || die '--images 1024 is not the default of 1024'
run 0 verify qall/last.safetensors --images 1024
says '--images 1024: there are 100 test images, all are taken'
# With validation images there is still only a last checkpoint; folded batch norms; what was quantized is quantized anew.
run 0 quantize tiny.yaml --from $ckpt -o qv --set data.validation=40 --set quant.batchnorm=fold
says "ranges from 200 training images"
run 0 verify qv/model.int.safetensors
run 0 quantize tiny.yaml --from qv/last.safetensors -o qvf --set quant.batchnorm=fold
[ "$(grep -c '^before ' out)" = 0 ] || die "folded batch norms leave no float network"
run 0 quantize tiny.yaml --from q8/last.safetensors -o q48 --images 100
cmp <(tensors q48/model.int.safetensors) <(tensors q1/model.int.safetensors)
run 0 train tiny.yaml --set out=tuned --set init=q1/last.safetensors --set 'train.phases=[{name: qat, epochs: 1, lr: 0.01, quant: on}]' --quiet
! grep -q 'was trained with rounding' err || die "this one was not"
# What quantized training leaves is no float network, and a line says so: its accuracy says nothing of one.
run 0 quantize tiny.yaml --from tuned/last.safetensors -o qtuned
says 'tuned/last.safetensors: was trained with rounding, and its weights are not those of a float network'
run 0 quantize tiny.yaml --from q1/last.safetensors -o qq1
! grep -q 'was trained with rounding' err || die "ranges alone were set"

# Nothing is overwritten, and what fails leaves no folder.
before=$(sums q1)
refuses 2 "q1: holds a run already; start over with --force" quantize tiny.yaml --from $ckpt -o q1
[ "$(sums q1)" = "$before" ] || die "a refused command changed the run folder"
run 0 quantize tiny.yaml --from $ckpt -o q1 --images 100 --force
[ "$(sums q1.old1)" = "$before" ] || die "--force must move the run aside"
cmp <(tensors q1/model.int.safetensors) <(tensors by2/q/model.int.safetensors)
refuses 2 "--from CKPT is missing" quantize tiny.yaml -o no
refuses 2 "--images: 0: must be a whole number from 1 on" quantize tiny.yaml --from $ckpt -o no --images 0
refuses 2 "--output: must name a folder" quantize tiny.yaml --from $ckpt -o ''
sed '/^quant:/,/^  activations/d' tiny.yaml >noquant.yaml
refuses 2 "quant: required key is missing" quantize noquant.yaml --from $ckpt -o no
refuses 2 "c1.weight is 8x3x3x3, the network has 9x3x3x3" quantize tiny.yaml --from $ckpt -o no --set model.1.conv2d.out=9
refuses 1 "is missing: it is a checkpoint of another network" quantize tiny.yaml --from $ckpt -o no --set model.6.linear.name=other
refuses 1 "no.safetensors: cannot open" quantize tiny.yaml --from no.safetensors -o no
refuses 1 "not a Nibble checkpoint" quantize tiny.yaml --from q1/model.int.safetensors -o no
head -c 2000 $ckpt >short.safetensors
run 1 quantize tiny.yaml --from short.safetensors -o no
: >file
run 1 quantize tiny.yaml --from $ckpt -o file/no
[ ! -e no ] || die "a failed command left a folder"
