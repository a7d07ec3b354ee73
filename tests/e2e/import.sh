#!/usr/bin/env bash
# import.sh - weights of another framework to a checkpoint that every command takes, and our own checkpoints through the identity map.
# shellcheck disable=SC2015,SC2016 # die does not return; backquotes in messages are meant
set -eu
. tests/e2e/common.bash
golden=$PWD/tests/golden
corpus=$PWD/tests/fuzz/corpus/fuzz_import_onnx
cd "$WORK"
cat >net.yaml <<'END'
seed: 1
data: {name: synth, count: 200, test_count: 60, height: 9, width: 9, channels: 3, classes: 4}
model:
  - input: {mean: 0.5, std: 0.25}
  - conv2d: {name: stem, out: 3, kernel: 3, pad: 1, bias: no}
  - batchnorm
  - relu
  - resblock: {name: a, out: 3}
  - resblock: {name: b, out: 5, stride: 2}
  - avgpool: {global: yes}
  - linear: {name: fc, out: 4}
quant: {weights: {bits: 8}, activations: {bits: 8}}
train:
  batch: 40
  optimizer: {name: sgd}
  phases:
    - {name: qat, epochs: 1, lr: 0.001, quant: on}
END
run 0 import "$golden/import_resnet.safetensors" --config net.yaml --list
says 'layer2.0.downsample.1.running_var'
says 'b.short.bn.var'
says 'left out'
run 0 import "$golden/import_resnet.safetensors" --config net.yaml --list --json
says '"map":"resnet"'
run 0 import "$golden/import_resnet.safetensors" --config net.yaml -o float.safetensors
says 'parameters by map resnet'
run 0 eval float.safetensors --logits logits.safetensors
says 'float on 60 test images'
[ "$(wc -c <logits.safetensors)" -gt $((60 * 4 * 4 + 60 * 4)) ] || die "the logits of 60 images are missing"
run 0 info float.safetensors
run 0 train net.yaml --quiet --set init=float.safetensors --set out=run
run 0 verify run/model.int.safetensors --images 20
run 0 eval run/model.int.safetensors --logits logits.safetensors

# Without the data the size of an image is enough, and a mapping file may leave the rest to a built-in map.
sed 's/{name: synth.*}/{name: cifar10, path: nowhere}/' net.yaml >away.yaml
run 1 import "$golden/import_resnet.safetensors" --config away.yaml -o away.safetensors
says '(without the data, --input says the size of an image, as 3x224x224)'
echo 'fc -> fc' >part.map
run 0 eval float.safetensors --logits here.logits
run 0 import "$golden/import_resnet.safetensors" --config away.yaml --input 3x9x9 --map part.map -o away.safetensors
says 'what part.map does not name goes by the built-in map resnet'
run 0 eval away.safetensors --set 'data={name: synth, count: 200, test_count: 60, height: 9, width: 9, channels: 3, classes: 4}' --logits away.logits
cmp here.logits away.logits || die "without its data the network must be the same"
run 2 import "$golden/import_resnet.safetensors" --config net.yaml --input 3x8x9 -o away.safetensors
says '--input: 3x8x9: the data are 3x9x9'

# A mapping file that says the same by name.
cat >by_name.map <<'END'
fc -> fc
conv1 -> stem
bn1 -> batchnorm1
layer1.0.conv1 -> a.c1
layer1.0.bn1 -> a.c1.bn
layer1.0.conv2 -> a.c2
layer1.0.bn2 -> a.c2.bn
layer2.{}.conv1 -> b.c{+1}
layer2.{}.bn1 -> b.c{+1}.bn
layer2.0.conv2 -> b.c2
layer2.0.bn2 -> b.c2.bn
layer2.0.downsample.0
layer2.0.downsample.1
END
run 0 import "$golden/import_resnet.safetensors" --config net.yaml --map by_name.map -o named.safetensors
cmp float.safetensors named.safetensors || die "the same weights by another map make another checkpoint"

# Our own: through the identity map the tensors stay, and the file from then on.
run 0 train net.yaml --quiet --set 'train.phases=[{epochs: 1, lr: 0.1}]' --set out=plain
run 0 import plain/best.safetensors --config net.yaml -o once.safetensors
run 0 import once.safetensors --config net.yaml --map nibble -o twice.safetensors
cmp once.safetensors twice.safetensors || die "the identity changes a checkpoint"
cmp <(tensors plain/best.safetensors) <(tensors once.safetensors) || die "the identity changes tensors"

# ---- ONNX: config and checkpoint ----
if "$NIBBLE" import "$golden/import_norms.onnx" -o probe --mean 0.5 --std 0.25 2>&1 | grep -q 'this build has no ONNX'; then
    exit 0
fi
run 0 import "$golden/import_norms.onnx" -o made/ --mean 0.5 --std 0.25
says 'no --data: the config names procedural images'
says 'made/import_norms.yaml'
run 0 eval made/import_norms.safetensors
run 0 train made/import_norms.yaml --quiet --set 'train.phases=[{epochs: 1, lr: 0.001, quant: on}]' --set data.count=128 --set data.test_count=40
run 0 verify runs/import_norms/model.int.safetensors --images 20
run 0 quantize made/import_norms.yaml --from made/import_norms.safetensors --set out=ptq --set data.count=128 --set data.test_count=40
run 0 import "$golden/import_folded.onnx" -o folded --mean 0.5,0.5,0.5 --std 0.25
run 0 eval folded.safetensors --logits a.safetensors
run 0 eval made/import_norms.safetensors --logits b.safetensors
[ "$(wc -c <a.safetensors)" = "$(wc -c <b.safetensors)" ] || die "both forms must give as many logits"
# A model can be imported without its data; nobody says how images were normalised then, unless --mean and --std do.
run 0 import "$golden/import_folded.onnx" -o anywhere --data '{name: pngdir, path: nowhere}' --input 3x9x9
says 'imported without its data: nowhere'
says 'the config takes pixels from 0 to 1'
grep -q 'input: {mean: \[0, 0, 0\], std: \[1, 1, 1\]}' anywhere.yaml || die 'pixels from 0 to 1 must stand in the config'
run 0 import "$golden/import_folded.onnx" -o elsewhere --data '{name: pngdir, path: nowhere}' --mean 0.5 --std 0.25
says 'imported without its data'

# ---- a float network as ONNX and back ----
run 0 export plain/best.safetensors --format onnx -o plain.onnx
run 0 import plain.onnx -o back --data '{name: synth, count: 200, test_count: 60, height: 9, width: 9, channels: 3, classes: 4}'
run 0 eval plain/best.safetensors --logits a.safetensors
run 0 eval back.safetensors --logits b.safetensors
cmp a.safetensors b.safetensors || die "a network is another one after export and import"
refuses 2 '--opset and --form are for integers' export plain/best.safetensors --format onnx --opset 13 -o x.onnx
refuses 1 'is a float network' export plain/best.safetensors --format c -o x.c
# Integers come back as integers, from both forms: what C is exported of them is the same.
program() { grep -v NET_HASH "$1" | sed 's@/\*.*\*/@@'; } # names of layers are comments
run 0 export run/model.int.safetensors --format c -o net.c
for form in qdq operator; do
    run 0 export run/model.int.safetensors --format onnx --form $form -o int.onnx
    refuses 2 'becomes one file of integers: name it OUT.int.safetensors' import int.onnx -o x
    run 0 import int.onnx -o back.int.safetensors
    mkdir -p back
    run 0 export back.int.safetensors --format c -o back/net.c
    cmp <(program net.c) <(program back/net.c) || die "other integers came back from the form $form"
done
# Integers without a config of ours, as other programs' files have none: the command says which images they are for.
LC_ALL=C sed 's/^\x06config/\x06Config/' int.onnx >foreign.onnx
run 0 import foreign.onnx -o foreign.int.safetensors
says "foreign.onnx: has no config of Nibble's"
refuses 1 "holds no config, so its data set is not known: say it, as in --set 'data={name: npy, path: DIR}'" eval foreign.int.safetensors
refuses 2 'changes nothing' eval foreign.int.safetensors --set quant.weights.bits=4
refuses 2 'data: required key is missing' eval foreign.int.safetensors --set seed=2
run 0 eval run/model.int.safetensors --logits ours.logits
run 0 eval foreign.int.safetensors --set 'data={name: synth, count: 200, test_count: 60, height: 9, width: 9, channels: 3, classes: 4}' --logits theirs.logits
cmp ours.logits theirs.logits || die "without its config the network is another one"
# Four values in and four out: the input again, or four classes where the data have as many.
cp "$corpus/autoencoder" four.onnx
run 0 import four.onnx -o four
says 'the config ends in mse'
grep -q '^  - mse ' four.yaml || die "no mse at the end of an autoencoder"
run 0 eval four.safetensors
says 'AUC'
run 0 import four.onnx -o ten --data '{name: synth, height: 1, width: 4, channels: 1, classes: 10}'
grep -q '^  - mse ' ten.yaml || die "ten classes are no four logits"
run 0 import four.onnx -o classes --data '{name: synth, height: 1, width: 4, channels: 1, classes: 4}'
! grep -q '^  - mse ' classes.yaml || die "four classes are logits"
refuses 2 'takes images of 1x4x1 in 4 classes, the data set has 1x5x1 in 10' import four.onnx -o five \
    --data '{name: synth, height: 1, width: 5, channels: 1, classes: 10}'
