#!/usr/bin/env bash
# bad_files.sh - damaged checkpoints, images and full or unwritable output: exit code 1 (or 2 where the config is to blame) and one
# sentence; what was there before stays.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml
run 0 train tiny.yaml --quiet --set 'train.phases=[{name: float, epochs: 1, lr: 0.1}, {name: qat, epochs: 1, lr: 0.01, quant: on}]'

run 1 eval nowhere.safetensors
says "nowhere.safetensors"
run 1 train nowhere.yaml
for file in last.safetensors model.int.safetensors; do
    size=$(wc -c <"run/$file")
    for cut in 0 7 8 100 $((size / 2)) $((size - 1)); do
        head -c "$cut" "run/$file" >cut.safetensors
        run 1 eval cut.safetensors
        says "cut.safetensors"
    done
    # Damage in the header: an absurd length, then bytes that are not JSON.
    { printf '\377\377\377\377\377\377\377\177'; tail -c +9 "run/$file"; } >damaged.safetensors
    run 1 eval damaged.safetensors
    { head -c 8 "run/$file"; printf 'x'; tail -c +10 "run/$file"; } >damaged.safetensors
    run 1 info damaged.safetensors
done

# A checkpoint of another network, of the right kind.
run 2 train tiny.yaml --set init=run/last.safetensors --set model.1.conv2d.out=9 --set out=other
says "run/last.safetensors: tensor c1.weight is 8x3x3x3, the network has 9x3x3x3"
run 2 train tiny.yaml --resume --set train.batch=16
says "was trained with another config"

# Images.
printf 'this is no image' >text.png
run 1 run run/model.int.safetensors text.png
says "text.png"
run 1 run run/model.int.safetensors nowhere.png

# Output that cannot be written.
run 1 export run/model.int.safetensors -o /dev/full
says "/dev/full"
run 1 export run/model.int.safetensors -o nowhere/x.txt
run 1 train tiny.yaml --set out=/dev/null/run
says "/dev/null: cannot make the folder"
if "$NIBBLE" keys >/dev/full 2>"$WORK/err"; then
    die "a full standard output must not look like success"
fi
cp run/model.int.safetensors keep
if ! (ulimit -f 8 && trap '' XFSZ && "$NIBBLE" export run/model.int.safetensors -o run/last.safetensors) >out 2>err; then
    [ -s run/last.safetensors ] || die "a failed write must leave the old file"
fi
cmp keep run/model.int.safetensors || die "reading changed a file"
