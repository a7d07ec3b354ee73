#!/usr/bin/env bash
# bad_import.sh - what import cannot take: files that are damaged or of another network, maps with mistakes, wrong usage. One line each,
# exit code 1 (2 where the command line or the config is to blame), and nothing is written.
# shellcheck disable=SC2015,SC2016 # die does not return; backquotes in messages are meant
set -eu
. tests/e2e/common.bash
golden=$PWD/tests/golden
cd "$WORK"
cp "$golden/import_resnet.safetensors" net.safetensors
cat >net.yaml <<'END'
data: {name: synth, count: 20, test_count: 10, height: 9, width: 9, channels: 3, classes: 4}
model:
  - input
  - conv2d: {name: stem, out: 3, kernel: 3, pad: 1, bias: no}
  - batchnorm
  - relu
  - resblock: {name: a, out: 3}
  - resblock: {name: b, out: 5, stride: 2}
  - avgpool: {global: yes}
  - linear: {name: fc, out: 4}
END
import_refused() { # CODE TEXT ARGS...
    local code=$1 text=$2
    shift 2
    refuses "$code" "$text" import "$@" -o out.safetensors
    [ ! -e out.safetensors ] || die "a refused import must write nothing: $*"
}

# ---- usage ----
refuses 2 'missing argument' import
refuses 2 '-o OUT is missing' import net.safetensors --config net.yaml
import_refused 2 '--config CONFIG is missing' net.safetensors
import_refused 2 '--mapp: unknown option (did you mean "--map"?)' net.safetensors --mapp x
import_refused 2 '--bn-eps: 0: must be a number above 0' net.safetensors --config net.yaml --bn-eps 0
import_refused 2 '--bn-eps: nan: must be' net.safetensors --config net.yaml --bn-eps nan
import_refused 1 'nowhere.yaml: ' net.safetensors --config nowhere.yaml
refuses 1 '/nowhere/out: ' import net.safetensors --config net.yaml -o /nowhere/out

# ---- files ----
import_refused 1 'nowhere.safetensors: ' nowhere.safetensors --config net.yaml
size=$(wc -c <net.safetensors)
for cut in 0 7 8 9 500 $((size / 2)) $((size - 1)); do
    head -c "$cut" net.safetensors >cut.safetensors
    import_refused 1 'cut.safetensors: ' cut.safetensors --config net.yaml
done
edited() { # SED-SCRIPT: of the same length
    LC_ALL=C sed "$1" net.safetensors >edited.safetensors
    ! cmp -s net.safetensors edited.safetensors || die "$1: changes nothing"
}
edited 's/"fc.bias"/"fc.bios"/' && import_refused 1 'edited.safetensors, map resnet: nobody takes fc.bios; nobody gives fc.bias' edited.safetensors --config net.yaml
edited 's/"fc.bias"/"gc.bias"/' && import_refused 2 'no built-in map knows all of its names' edited.safetensors --config net.yaml
edited 's/"shape":\[4,5\]/"shape":[5,4]/' && import_refused 1 'fc.weight is 5x4, which does not become fc.weight of 4x1x1x5' edited.safetensors --config net.yaml
header=$(($(od -An -tu4 -N4 net.safetensors)))
{ head -c $((header + 8)) net.safetensors && head -c $((size - header - 8)) /dev/zero | tr '\0' '\377'; } >nan.safetensors
import_refused 1 'it must be a finite number' nan.safetensors --config net.yaml

# ---- values that cannot be, and results that are none ----
cat >one.yaml <<'END'
data: {name: synth, count: 20, test_count: 10, height: 2, width: 2, channels: 1, classes: 4}
model: [input, linear: {name: fc, out: 4}]
quant: {weights: {bits: 8}, activations: {bits: 8}}
END
echo 'fc -> fc' >one.map
one_layer() { # BYTES: a state dict whose 16 weights are this float
    local header='{"fc.weight":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]},"fc.bias":{"dtype":"F32","shape":[4],"data_offsets":[64,80]}}'
    {
        # shellcheck disable=SC2059
        printf "$(printf '\\%03o' ${#header})\0\0\0\0\0\0\0%s" "$header"
        for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
            # shellcheck disable=SC2059
            printf "$1"
        done
        head -c 16 /dev/zero
    } >one.st
}
one_layer '\0\0\200\177'
import_refused 1 'one.st: tensor fc.weight: value 0 is inf: it must be a finite number' one.st --config one.yaml --map one.map
one_layer '\377\377\177\177' # the largest float: sums of four leave the range
run 0 import one.st --config one.yaml --map one.map -o large.safetensors
refuses 1 'large.safetensors: the network gives no result: logit 0 of image ' eval large.safetensors
refuses 1 'large.safetensors: the network gives no result: logit ' eval large.safetensors --logits logits
[ ! -e logits ] || die 'no logits may be written'
refuses 1 'large.safetensors: ' quantize one.yaml --from large.safetensors --steps none -o ptq
[ ! -e ptq ] || die 'a network that gives no result must leave nothing'
rm large.safetensors

# ---- the network is another ----
import_refused 1 'layer2.0.conv1.weight is 5x3x3x3, which does not become b.c1.weight of 6x3x3x3' net.safetensors --config net.yaml --set model.5.resblock.out=6
import_refused 1 'nobody takes fc.bias (--list' net.safetensors --config net.yaml --set model.7.linear.bias=no
import_refused 1 'layer2.0.conv1.weight is not of a batch norm, but is to become batchnorm2' net.safetensors --config net.yaml --set 'model.5=maxpool' --set 'model.6=batchnorm'
import_refused 2 'net.yaml:5: batchnorm batchnorm1: eps: 0.001, but the weights are of a network with 1e-05' net.safetensors --config net.yaml --set model.2.batchnorm.eps=0.001
import_refused 2 'say --bn-eps' net.safetensors --config net.yaml --bn-eps 0.001

# ---- maps ----
import_refused 2 'resnet20: neither a built-in map nor a file (did you mean "resnet"?)' net.safetensors --config net.yaml --map resnet20
import_refused 1 './nowhere: ' net.safetensors --config net.yaml --map ./nowhere
import_refused 1 '/dev/zero: ' net.safetensors --config net.yaml --map /dev/zero
printf 'conv1\nbn1 -> \n' >bad.map && import_refused 2 'bad.map:2: bn1: a side is missing' net.safetensors --config net.yaml --map bad.map
printf 'conv1\0bn1' >bad.map && import_refused 1 'bad.map: is not text' net.safetensors --config net.yaml --map bad.map
printf 'conv1 -> stam\n' >bad.map && import_refused 1 'bad.map:1: conv1.weight -> stam: the network has no such layer with parameters (did you mean "stem"?)' net.safetensors --config net.yaml --map bad.map
printf 'conv2\n' >bad.map && import_refused 1 'bad.map:1: conv2: net.safetensors has no such module (did you mean "conv1"?)' net.safetensors --config net.yaml --map bad.map
import_refused 1 'the network has no such layer' net.safetensors --config net.yaml --map nibble

# ---- files of others ----
printf 'PK\3\4\0\0net/data.pkl' >net.pth
import_refused 1 "net.pth: must be an ONNX model or a safetensors file, but is a PyTorch file (.pt, .pth); for a state dict: python -c" net.pth
mkdir saved && touch saved/saved_model.pb
import_refused 1 'saved: a TensorFlow SavedModel; python -m tf2onnx.convert --saved-model saved --output saved.onnx' saved

# ---- ONNX ----
if "$NIBBLE" import "$golden/import_norms.onnx" -o probe --mean 0.5 --std 0.25 2>&1 | grep -q 'this build has no ONNX'; then
    refuses 1 'this build has no ONNX' import "$golden/import_norms.onnx" -o out
    exit 0
fi
cp "$golden/import_norms.onnx" net.onnx
onnx_refused() { # CODE TEXT ARGS...
    local code=$1 text=$2
    shift 2
    run "$code" import "$@" -o out
    says "$text"
    [ ! -e out.yaml ] && [ ! -e out.safetensors ] || die "a refused import must write nothing: $*"
}
onnx_refused 2 '--map is for safetensors' net.onnx --map resnet
onnx_refused 2 "--set is for safetensors; the config of an ONNX model is written, so edit it there, and say with --data '{name: pngdir, path: DIR}'" net.onnx --set data.path=x
onnx_refused 2 '--mean: 0.5,0.5: must be one number, or one for each of 3 channels' net.onnx --mean 0.5,0.5
onnx_refused 2 '--mean: x: must be numbers' net.onnx --mean x
onnx_refused 2 '--mean: 1,: must be' net.onnx --mean 1,
onnx_refused 2 '--mean: 123.675: must be at most 1 in size, since pixels are divided by 255 first (123.675 / 255 is 0.485)' net.onnx --mean 123.675,116.28,103.53
onnx_refused 2 '--std: 58.395: must be at most 4' net.onnx --mean 0.485 --std 58.395,57.12,57.375
onnx_refused 2 '--std: 0: must be numbers from 1e-06' net.onnx --std 0
onnx_refused 2 'out.yaml:7: data.name: nothing' net.onnx --data nothing
onnx_refused 2 'takes images of 9x9x3 in 4 classes, the data set has 9x9x3 in 5' net.onnx --data '{name: synth, height: 9, width: 9, channels: 3, classes: 5}'
onnx_refused 2 '--input: 3x9: 2' net.onnx --input '3x9: 2'
onnx_refused 2 "input 'image' is [N, 3, 9, 9], which the size that was given does not fit" net.onnx --input 1x9x9
refuses 2 '-o OUT is missing' import net.onnx
refuses 2 '--data is for ONNX models' import net.safetensors --config net.yaml -o out.safetensors --data synth
onnx_refused 1 'nowhere.onnx: ' nowhere.onnx
for file in net.safetensors net.yaml /dev/null; do
    cat "$file" >other.onnx
    onnx_refused 1 'other.onnx: not an ONNX model' other.onnx
done
size=$(wc -c <net.onnx)
for cut in 1 2 100 $((size / 3)) $((size / 2)) $((size - 1)); do
    head -c "$cut" net.onnx >cut.onnx
    onnx_refused 1 'cut.onnx: ' cut.onnx
done
LC_ALL=C sed 's/BatchNormalization/InstanceNormalizat/g' net.onnx >edited.onnx
onnx_refused 1 'edited.onnx: node ' edited.onnx
LC_ALL=C sed '0,/conv1.weight/s//conv9.weight/' net.onnx >edited.onnx
onnx_refused 1 "reads 'conv9.weight', which no node before it gives" edited.onnx
