#!/usr/bin/env bash
# bad_inputs.sh - files of another kind than the one that is wanted, run folders where a file is meant, images that cannot be read: what
# it is, and what to type instead.
# shellcheck disable=SC2015,SC2016 # die does not return; backquotes in messages are meant
set -eu
. tests/e2e/common.bash
golden=$PWD/tests/golden
cd "$WORK"
small_config >tiny.yaml
phases='train.phases=[{name: float, epochs: 1, lr: 0.1}, {name: qat, epochs: 1, lr: 0.01, quant: on}]'
run 0 train tiny.yaml --quiet --set "$phases"

# ---- another kind of file where a checkpoint is wanted ----
checkpoint_is() { # FILE TEXT: by every command that takes one
    refuses 1 "$1: not a safetensors file but $2" eval "$1"
    refuses 1 "$1: not a safetensors file but $2" run "$1" image.png
    refuses 1 "$1: not a safetensors file but $2" info "$1"
    refuses 1 "$1: not a safetensors file but $2" verify "$1"
    refuses 1 "$1: not a safetensors file but $2" export "$1" -o listing.txt
    refuses 1 "$1: not a safetensors file but $2" quantize tiny.yaml --from "$1" -o no
    [ "$1" = net.bin ] ||
        refuses 1 "$1: must be an ONNX model or a safetensors file, but is $2" import "$1" --config tiny.yaml -o no
    refuses 1 "$1: not a safetensors file but $2" train tiny.yaml --set init="$1" --set out=other
}
cp tiny.yaml tiny.config # info takes a .yaml
checkpoint_is tiny.config 'a config; nibble train tiny.config makes a checkpoint of it'
printf 'PK\3\4\0\0\0\0\10\10net/data.pkl' >net.pth
checkpoint_is net.pth "a PyTorch file (.pt, .pth); for a state dict: python -c \"import torch, safetensors.torch as s; d = torch.load('net.pth'"
printf '\200\2\212\nl\374\234F\371 j\250P\31.' >old.pt
checkpoint_is old.pt 'a PyTorch file'
printf '\211HDF\r\n\32\n\0\0' >net.h5
checkpoint_is net.h5 'an HDF5 file (Keras); python -m tf2onnx.convert --keras net.h5 --output net.onnx'
printf '\34\0\0\0TFL3\0\0' >net.tflite
checkpoint_is net.tflite 'a TensorFlow Lite model; python -m tf2onnx.convert --tflite net.tflite --output net.onnx'
cp "$golden/import_norms.onnx" net.bin
checkpoint_is net.bin 'an ONNX model; nibble import net.bin -o OUT'
printf '\211PNG\r\n\32\n' >image.png
checkpoint_is image.png 'a PNG image'
cp "$golden/import_resnet.safetensors" dict.safetensors
refuses 1 'dict.safetensors: holds tensors, but is no checkpoint' eval dict.safetensors
says 'nibble import dict.safetensors --config CONFIG -o OUT makes one'
refuses 1 'dict.safetensors: not a Nibble checkpoint' quantize tiny.yaml --from dict.safetensors -o no
refuses 1 'model.int.safetensors: not a Nibble checkpoint to train or quantize from: it holds integers alone; take last.safetensors' \
    quantize tiny.yaml --from run/model.int.safetensors -o no

# ---- where a config is wanted, or an ONNX model, or an image ----
refuses 2 'run/last.safetensors: not a config (YAML) but a safetensors file; checkpoints are for eval, info' train run/last.safetensors
refuses 2 'net.pth: not a config (YAML) but a PyTorch file' quantize net.pth --from run/last.safetensors
head -c 5000000 /dev/zero | cat run/last.safetensors - >big.safetensors
refuses 2 'big.safetensors: not a config (YAML) but a safetensors file' train big.safetensors
if ! "$NIBBLE" import "$golden/import_norms.onnx" -o probe --mean 0.5 --std 0.25 2>&1 | grep -q 'this build has no ONNX'; then
    cp net.pth pth.onnx
    refuses 1 'pth.onnx: not an ONNX model but a PyTorch file' import pth.onnx -o no
fi
printf '\377\330\377\340JFIF' >jpeg.png
refuses 1 'jpeg.png: not a readable PNG: it is a JPEG image' run run/last.safetensors jpeg.png

# ---- run folders ----
for command in 'eval run' 'info run' 'verify run --images 8' 'export run/ -o listing.txt' 'eval run/'; do
    run 0 $command
    says 'is a run folder, taking run/model.int.safetensors'
done
run 0 quantize run --from run -o ptq
says 'run: is a run folder, taking run/config.yaml'
says 'run: is a run folder, taking run/last.safetensors'
run 0 bench run --steps 1
run 0 verify run/model.int.safetensors --from run --images 8
run 0 train run --resume --quiet
says 'run: is a run folder, taking run/config.yaml'
refuses 2 'run: holds a run already' train run/config.yaml
for init in run run/last.safetensors; do
    run 0 train tiny.yaml --quiet --set init=$init --set "out=begun/${init//\//-}"
    [ $init != run ] || says 'run: is a run folder, taking run/last.safetensors'
done
cmp begun/run/metrics.csv begun/run-last.safetensors/metrics.csv || die "init: a folder must be its checkpoint"
grep -qx 'init: .*run"*' begun/run/config.yaml || die "the config must say what was given"
mv begun/run begun/first
run 0 train begun/first/config.yaml --quiet
mv begun/run begun/again
cmp begun/first/model.int.safetensors begun/again/model.int.safetensors || die "not the same run again"
rm -r begun
mkdir none
run 1 train tiny.yaml --set init=none --set out=other
says "none: is a folder, expected a file; a run's checkpoint is none/last.safetensors"
run 1 train tiny.yaml --set train.teacher=none --set out=other
says "none: is a folder, expected a file"
rmdir none
run 0 train tiny.yaml --quiet --set 'train.phases=[{epochs: 1, lr: 0.1}]' --set out=float --set data.validation=40
run 0 eval float
says 'taking float/best.safetensors'
run 0 train tiny.yaml --quiet --set 'train.phases=[{epochs: 1, lr: 0.1}]' --set out=float2
run 0 eval float2
says 'taking float2/last.safetensors'
mkdir empty
refuses 1 'empty: is a folder' eval empty
refuses 1 'empty: is a folder' train empty

# ---- several images ----
base64 -d >good.png <<'END'
iVBORw0KGgoAAAANSUhEUgAAAAwAAAAMCAAAAABzHgM7AAAALklEQVR42k3BEQIAIBAAwbXsLDvLzrIsO+v/30l3BmwIIUwhhSWUsIUjXKGFJx84DBWpWw3sKAAAAABJRU5ErkJggg==
END
run 0 run run good.png
code=0
"$NIBBLE" run run/last.safetensors jpeg.png good.png nowhere.png >out 2>err || code=$?
[ "$code" = 1 ] || die "images that cannot be read: exit $code"
says 'jpeg.png: not a readable PNG'
says 'nowhere.png: cannot open'
says '2 of 3 images could not be read'
grep -q '^good.png' "$WORK/out" || die 'the image that can be read must be answered'
