#!/usr/bin/env bash
# bad_own_files.sh - what a command reads it does not write over, and what somebody wrote stays: configs, checkpoints, data, through links.
# shellcheck disable=SC2015,SC2016,SC2086 # die does not return; $ in a folder's name is meant; commands are lists of words
set -eu
. tests/e2e/common.bash
golden=$PWD/tests/golden
cd "$WORK"
small_config | sed 's/epochs: 3/epochs: 1/;s/, freeze.*}/}/;s/, warmup: 0.5//' >tiny.yaml
float='train.phases=[{epochs: 1, lr: 0.1}]'
run 0 train tiny.yaml --quiet
run 0 train tiny.yaml --quiet --set "$float" --set out=float
model=run/model.int.safetensors last=run/last.safetensors
ln $model hard.safetensors
ln -s $model soft.safetensors
kept() {
    rm -f out err
    [ "$(sums .)" = "$before" ] || { diff <(echo "$before") <(sums .) >&2; die "a refused command changed a file"; }
}
before=$(rm -f out err; sums .)

# ---- an output that is an input ----
same='is one of the files that are read here, and would be written over'
for file in $model ./run/../$model hard.safetensors soft.safetensors; do
    refuses 2 "$file: $same" export $model --format text -o "$file"
    refuses 2 "$file: $same" eval $model --logits "$file"
done
refuses 2 "soft.safetensors: $same" export hard.safetensors --format text -o soft.safetensors
ln $model net.h # the second file of an export
refuses 2 "net.h: $same" export $model --format c -o net.c
[ ! -e net.c ] || die "half of an export that was refused is there"
rm net.h
for file in run/config.yaml $last run/best.safetensors run/metrics.csv; do # nor what was not read
    refuses 2 "$file: is a file of a run, and would be written over" export $model --format text -o $file
    refuses 2 "$file: is a file of a run, and would be written over" eval $model --logits ./$file
done
refuses 2 'run/best.safetensors: is a file of a run' import float/best.safetensors --config tiny.yaml --set "$float" -o run/best.safetensors
refuses 2 "float/last.safetensors: $same" export float/last.safetensors --format onnx -o float/last.safetensors
refuses 2 "float/best.safetensors: $same" import float/best.safetensors --config tiny.yaml --set "$float" -o float/best.safetensors
refuses 2 "tiny.yaml: $same" import "$golden/import_resnet.safetensors" --config tiny.yaml -o tiny.yaml \
    --set 'model=[{input: {mean: 0.5, std: 0.25}}, {conv2d: {name: stem, out: 3, kernel: 3, pad: 1, bias: no}}, batchnorm, relu, {resblock: {name: a, out: 3}}, {resblock: {name: b, out: 5, stride: 2}}, {avgpool: {global: yes}}, {linear: {name: fc, out: 4}}]'
kept
"$NIBBLE" export $model -o /dev/stdout >>hard.safetensors 2>err && die "a listing behind the model it is of"
grep -q "$same" err || die "$(cat err)"
kept

# ---- run folders ----
mkdir exp
{ echo '# mine'; cat tiny.yaml; } >exp/config.yaml
before=$(rm -f out err; sums .)
refuses 2 'exp/config.yaml: is the config that is read here' train exp/config.yaml --set out=exp
refuses 2 'exp/config.yaml: is the config that is read here' train exp/config.yaml --set out=exp --force
refuses 2 'exp/config.yaml: is the config that is read here' quantize exp/config.yaml --from $last -o exp
refuses 2 "exp/config.yaml: is somebody's config" train tiny.yaml --set out=exp
refuses 2 "exp/config.yaml: is somebody's config" quantize tiny.yaml --from $last -o exp
# also when it is as tidy as a printed one: no experiment, a part of one, or another run's
mkdir tidy
for text in 'mine: 1' 'seed: 3' "$(grep -v '^train' run/config.yaml | grep -v '^  ')" "$(cat run/config.yaml)"; do
    printf '%s\n' "$text" >tidy/config.yaml
    refuses 2 "tidy/config.yaml: is somebody's config" train tiny.yaml --set out=tidy
    refuses 2 "tidy/config.yaml: is somebody's config" quantize tiny.yaml --from $last -o tidy
done
# but the one that a run without results left is replaced, wherever its folder is now
sed 's|^out: .*|out: else/tidy|' run/config.yaml >tidy/config.yaml
run 0 train tiny.yaml --quiet --set out=tidy --set seed=4
grep -qx 'seed: 4' tidy/config.yaml || die "the config must be the new run's"
rm -r tidy
for name in metrics.csv ranges.csv last.safetensors best.safetensors phase-1.safetensors model.int.safetensors; do # links to what is read make a folder a run; without --force that is said
    mkdir links
    ln $last links/$name
    refuses 2 'links: holds a run already' train tiny.yaml --set init=$last --set out=links
    refuses 2 "links/$name: is read here, but --force would move it away" train tiny.yaml --set init=$last --set out=links --force
    rm -r links
done
for name in timing.csv events.out.tfevents.nibble; do
    mkdir links
    ln -s ../$last links/$name
    refuses 2 "links/$name: $same" train tiny.yaml --set init=$last --set out=links
    refuses 2 "links/$name: $same" quantize tiny.yaml --from $last -o links
    rm -r links
done
refuses 2 "$last: is read here, but --force would move it away" train tiny.yaml --force --set init=$last
refuses 2 "$last: is read here, but --force would move it away" quantize tiny.yaml --from $last -o run --force
kept
# The config alone may lie there: it is read for good, and moves with the run.
run 0 train run/config.yaml --quiet --force
says 'the earlier run was moved to run.old1'
[ -s run.old1/config.yaml ] && [ -s run/last.safetensors ] || die "--force lost a run"
same_run run run.old1
# A folder may be written with slashes behind it, as shells complete it; what is not there is not listed as there.
run 0 train tiny.yaml --quiet --force --set out=float/ --set "$float"
says 'the earlier run was moved to float.old1'
[ -s float.old1/best.safetensors ] && [ -s float/last.safetensors ] || die "--force lost a run"
mkdir alone
cp run/last.safetensors alone
run 0 train run/config.yaml --quiet --resume --set out=alone
grep -q '^also in alone: metrics.csv' out && ! grep -q 'config.yaml\|timing.csv\|for .init' out || die "files are listed that are not there: $(<out)"
run 0 train run/config.yaml --quiet --resume
grep -qx 'also in run: config.yaml, metrics.csv, ranges.csv, timing.csv, best.safetensors' out || die "$(<out)"
# A resolved config that a run left before its first checkpoint is no obstacle, nor is one that says the same.
mkdir early same
"$NIBBLE" train tiny.yaml --quiet --set out=early --set train.batch=16 >/dev/null
find early ! -name config.yaml -type f -delete
run 0 train tiny.yaml --quiet --set out=early
grep -q 'batch: 32' early/config.yaml || die "another run's config was left"
sed 's/^out: .*/out: same/' run/config.yaml >same/config.yaml
run 0 train same/config.yaml --quiet

# ---- quantize -o: the config says where it is, whatever the folder's name ----
for out in ptq 'a "b" \ c: {d}' "it's #1" $'two\nlines'; do
    run 0 quantize tiny.yaml --from $last -o "$out" --set out=elsewhere
    [ -s "$out/model.int.safetensors" ] && [ ! -e elsewhere ] || die "-o $out: not there"
    run 0 train "$out/config.yaml" --quiet --force
    [ -d "$out.old1" ] || die "-o $out: its config names another folder: $(grep ^out: "$out/config.yaml")"
done

# ---- a listing on standard output, and nothing else ----
run 0 export $model -o listing.txt
"$NIBBLE" export $model -o - >piped.txt 2>err
cmp listing.txt piped.txt || die "-o - must give the listing alone"
echo first >appended.txt
"$NIBBLE" export $model -o - >>appended.txt
"$NIBBLE" export $model -o /dev/fd/3 3>>appended.txt >/dev/null
cmp <(echo first; cat listing.txt listing.txt) appended.txt || die ">> must append"
[ "$("$NIBBLE" export $model -o - | wc -c)" = "$(wc -c <listing.txt)" ] || die "a pipe must get the listing"
dash='does not go to standard output'
refuses 2 "$dash" export $model --format c -o -
refuses 2 "$dash" export $last --format onnx -o -
refuses 2 "$dash" eval $model --logits -
refuses 2 "$dash" import float/best.safetensors --config tiny.yaml --set "$float" -o -
refuses 2 'out: -: a run is a folder' quantize tiny.yaml --from $last -o -
refuses 2 'out: -: a run is a folder' train tiny.yaml --set 'out="-"'
[ ! -e - ] || die "there is a file called -"
run 0 export $model --format text -o ./-
cmp listing.txt ./-

# ---- import: a config that was edited ----
if "$NIBBLE" import "$golden/import_norms.onnx" -o probe --mean 0.5 --std 0.25 2>&1 | grep -q 'this build has no ONNX'; then
    exit 0
fi
refuses 2 '-o -: two files are written' import "$golden/import_norms.onnx" -o - --mean 0.5 --std 0.25
cp "$golden/import_norms.onnx" net.onnx
run 0 import net.onnx -o net --mean 0.5 --std 0.25
run 0 import net.onnx -o net --mean 0.5 --std 0.25
before=$(rm -f out err; sums .)
refuses 2 'net.yaml: is there and says something else: --force replaces it' import net.onnx -o net --mean 0.25 --std 0.25
kept
run 0 import net.onnx -o net --mean 0.25 --std 0.25 --force
echo '# mine' >>net.yaml
before=$(rm -f out err; sums .)
refuses 2 'net.yaml: is there and says something else: --force replaces it' import net.onnx -o net --mean 0.25 --std 0.25
kept
ln -s net.onnx alias.yaml
refuses 2 "alias.yaml: $same" import net.onnx -o alias --mean 0.5 --std 0.25 --force
refuses 2 '--force is for ONNX models' import $last --config tiny.yaml -o x.safetensors --force

# ---- what is there is written over by its kind alone ----
over() { # IS BY COMMAND...: the last word is the file
    refuses 2 "${*: -1}: is $1, and would be written over by $2: choose another file, or remove this one first" "${@:3}"
    kept
}
cp "$golden/import_resnet.safetensors" weights.safetensors
cp $last mine.safetensors
cp net.onnx other.onnx
printf 'int main(void)\n{\n}\n' >main.c
cp main.c main.h
cp main.c listing.txt
printf '\211PNG\r\n\032\n\0\0\0\rIHDR' | tee picture.png >net.tflite
cp picture.png plan.yaml
printf '\001\002\003\004' >page.html
before=$(rm -f out err; sums .)
page='an HTML page' logits='a file of logits' listing='a listing that nibble has written' code='C that nibble has written'
over 'a config' "$page" report $last -o tiny.yaml
over 'a checkpoint' "$page" report $last -o mine.safetensors
over 'an ONNX model' "$page" report $last -o other.onnx
over 'something else' "$page" report $last -o page.html
over 'a config' "$logits" eval $last --logits tiny.yaml
over 'a checkpoint' "$logits" eval $last --logits mine.safetensors
over 'a safetensors file' "$logits" eval $last --logits weights.safetensors
over 'a PNG image' "$listing" export $model --format text -o picture.png
over 'a text file' "$listing" export $model -o listing.txt
over 'a PNG image' 'a TensorFlow Lite model' export $model -o net.tflite
over 'a text file' "$code" export $model -o main.c
over 'a safetensors file' 'a checkpoint' import float/best.safetensors --config tiny.yaml --set "$float" -o weights.safetensors
refuses 2 "tiny.yaml: is a config, and would be written over by a checkpoint" import float/best.safetensors --config float/config.yaml -o tiny.yaml
refuses 2 'plan.yaml: is a PNG image, and would be written over by a config' import net.onnx -o plan --mean 0.5 --std 0.25 --force
refuses 2 'plan.yaml: is a PNG image, and would be written over by a config' allocate tiny.yaml --from float/last.safetensors --budget 4KiB --images 8 -o plan.yaml
kept
rm main.c # the header beside it is somebody's all the same
before=$(rm -f out err; sums .)
refuses 2 "main.h: is a text file, and would be written over by $code" export $model -o main.c
kept

# Of the same kind, empty, or behind what a shell keeps: as ever.
: >empty.onnx
for again in 1 2; do
    run 0 export $model -o ours.txt
    run 0 export $model -o ours.c
    run 0 export $model -o empty.onnx
    run 0 export float/last.safetensors -o ours.onnx
    run 0 export $model -o ours.tflite
    run 0 eval $last --logits ours.safetensors
    run 0 report $last -o ours.html
    run 0 import float/best.safetensors --config tiny.yaml --set "$float" -o theirs.safetensors
    run 0 allocate tiny.yaml --from float/last.safetensors --budget 4KiB --images 8 -o ours.yaml
done
echo mine >log.txt
"$NIBBLE" export $model -o - >>log.txt
[ "$(head -n 1 log.txt)" = mine ] && [ "$(wc -l <log.txt)" -gt 20 ] || die "standard output is the shell's"
