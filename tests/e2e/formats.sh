#!/usr/bin/env bash
# formats.sh - files outlive builds: checkpoints that older builds wrote (tests/formats) load, give the accuracy and loss they gave
# then, and export; a file of a later version is refused in one sentence.
set -eu
. tests/e2e/common.bash
cd "$WORK"
old=$root/tests/formats

field() { # NAME: of the JSON printed last
    sed "s/.*\"$1\":\([-+0-9.e]*\).*/\1/" out
}

count=0
while read -r file correct loss; do
    case $file in '#'*) continue ;; esac
    count=$((count + 1))
    run 0 eval "$old/$file" --json
    [ "$(field correct)" = "$correct" ] || die "$file: $(field correct) images are right, were $correct"
    limit=0
    grep -q '"kind":"float"' out && limit=1e-5
    awk -v a="$(field loss)" -v b="$loss" -v limit=$limit 'BEGIN { d = a - b; exit !(d <= limit && -d <= limit) }' ||
        die "$file: the loss is $(field loss), was $loss"
    run 0 info "$old/$file"
done <"$old/expected.txt"
[ "$count" = "$(ls "$old"/*.safetensors | wc -l)" ] || die "a file of $old is not in expected.txt"

# What an old checkpoint becomes is what its integers were, in every form.
for file in "$old"/*.int.safetensors; do
    name=$(basename "$file" .int.safetensors)
    for from in int last; do
        mkdir -p "$from"
        run 0 export "$old/$name.$from.safetensors" --format c -o "$from/net.c"
    done
    diff -I '^ \*' -I '"config"' int/net.c last/net.c >/dev/null || die "$name: the checkpoint's integers are not those of its file"
    run 0 verify "$file" --from "$old/$name.last.safetensors"
    rm -r int last
done

# An old run goes on: its folder holds the checkpoint, the same config with more epochs.
mkdir run
cp "$old/keep-ema.last.safetensors" start.safetensors
sed 's/^out: .*/out: more/' "$old/keep-ema.yaml" >more.yaml
run 0 train more.yaml --set init=start.safetensors
[ -s more/model.int.safetensors ] || die "training on from an old checkpoint leaves no integers"

# Later versions. The header keeps its length: one digit for another.
sed 's/nibble-int 1/nibble-int 9/' "$old/keep-ema.int.safetensors" >later.int.safetensors
refuses 1 "written by a newer Nibble" eval later.int.safetensors
sed 's/nibble-checkpoint-1/nibble-checkpoint-9/' "$old/keep-ema.last.safetensors" >later.safetensors
refuses 1 "written by a newer Nibble" eval later.safetensors
refuses 1 "written by a newer Nibble" train more.yaml --set out=other --set init=later.safetensors
