#!/usr/bin/env bash
# profile.sh - profile from end to end: every way to name a network, text, CSV and JSON, one answer for any number of threads, a network
# without ranges, and what is damaged or wrong said in one sentence.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml
run 0 train tiny.yaml --set 'train.phases=[{name: float, epochs: 1, lr: 0.1}, {name: qat, epochs: 1, lr: 0.02, quant: on}]'
float=run/phase-1-float.safetensors

# Text: every tensor that would be rounded, each table under its heading.
run 0 profile $float
for text in 'over 240 training images' 'c1           weights' 'b1.relu      output' 'over the network' 'fewest bits' '{bits: ' half-normal; do says "$text"; done
[ "$(grep -cE '^(input1|c1|relu1|b1\.[a-z0-9.]+|fc) +(weights|output)' out)" = 33 ] || die "not 11 tensors in three tables"

# A run folder, its weights after training with rounding; a config with a checkpoint; without ranges or a word about quantization.
run 0 profile run --images 32
says "run/last.safetensors: is of a quantized network: its weights are taken as they are"
sed '/^quant:/,/^train:/{/^train:/!d}' tiny.yaml >plain.yaml
sed -i '/qat/d' plain.yaml
run 0 profile tiny.yaml --from $float --csv
cp out of_config.csv
run 0 profile plain.yaml --from $float --csv
cmp out of_config.csv || die "the quant section changes what a float network is like"
run 0 profile $float --csv
cmp out of_config.csv || die "the same checkpoint, another profile"
for batchnorm in fold fold_corrected; do
    run 0 profile tiny.yaml --from $float --set quant.batchnorm=$batchnorm --csv --table statistics
    mv out $batchnorm.csv
done
grep ,weights, fold.csv >once.csv
grep ,weights, fold_corrected.csv >always.csv
cmp once.csv always.csv || die "weights that are rounded folded are not looked at folded"
run 0 profile tiny.yaml --from run/last.safetensors --images 32 --table proposals

# CSV: one table, a line for each tensor, format, range and number of scales; as many fields as its first line has.
[ "$(wc -l <of_config.csv)" = 161 ] || die "errors: not 5 weights x 5 widths x 4 and 6 outputs x 5 x 2 lines below the first"
for table in statistics channels sqnr network errors codes proposals; do
    run 0 profile $float --images 16 --csv --table $table
    [ "$(wc -l <out)" -gt 10 ] || die "$table is short"
    [ $table = proposals ] || awk -F, 'NR == 1 { n = NF } NF != n { exit 1 }' out || die "$table: lines of unequal length"
done
run 0 profile $float --images 16 --layer c1 --bits 4 --formats uniform,log,fp4,codebook
for text in 'log 4' 'codebook 4' 'fp4' 'rounding errors' 'own'; do says "$text"; done
run 0 profile $float --weights --channels --table channels
[ "$(grep -c '^b1.c2 ' out)" = 12 ] || die "not a line per channel"

# JSON: one object, the same for any number of threads.
run 0 profile $float --json --channels
cp out 1.json
run 0 profile $float --json --channels --threads 3
cmp out 1.json || die "three threads give another profile"
[ "$(wc -l <1.json)" = 1 ] || die "JSON is not one line"
for key in statistics channels sqnr network errors codes proposals; do grep -q "\"$key\":\[{" 1.json || die "JSON without $key"; done
[ ! -s err ] || die "has remarks"

# What is wrong.
refuses 2 '--from CKPT is missing' profile tiny.yaml
refuses 2 'is no config; a checkpoint is given alone' profile $float --from $float
refuses 2 '--table: sqrn: must be' profile $float --table sqrn
refuses 2 '--json: has all tables' profile $float --json --csv
refuses 2 '--images: --weights looks at none' profile $float --weights --images 3
refuses 2 '--bits: 9: must be whole numbers 2..8' profile $float --bits 9
refuses 2 '--formats: unifrom: there is no such format (did you mean "uniform"?); there are: uniform, pow2,' profile $float --formats log,unifrom,fp4
refuses 2 '--target: loud: must be a number of dB' profile $float --target loud
refuses 2 'c9: there is no layer of this name' profile $float --layer c9
refuses 1 'run/model.int.safetensors: ' profile run/model.int.safetensors
refuses 1 'nowhere.safetensors: ' profile nowhere.safetensors
head -c 3000 $float >cut.safetensors
refuses 1 'cut.safetensors: ' profile cut.safetensors
refuses 1 'is a checkpoint of another network' profile tiny.yaml --from $float --set 'model.1.conv2d.name=c7'
refuses 2 'the data have images of 16x12x3 in 4 classes' profile tiny.yaml --from $float --set data.height=16
# a weight that is infinite: the float in the file's last tensor but one would do, any of c1's does
python3 - $float bad.safetensors 2>/dev/null <<'END' || exit 0
import json, struct, sys
b = bytearray(open(sys.argv[1], "rb").read())
n = struct.unpack("<Q", b[:8])[0]
at = 8 + n + json.loads(b[8:8 + n])["c1.weight"]["data_offsets"][0]
b[at:at + 4] = struct.pack("<f", float("inf"))
open(sys.argv[2], "wb").write(b.replace(b'"crc32"', b'"CRC32"'))  # the checksum would be what is refused
END
refuses 1 'c1.weight' profile bad.safetensors
