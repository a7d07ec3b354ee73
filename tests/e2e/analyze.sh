#!/usr/bin/env bash
# analyze.sh - nibble analyze: three ways to name a network, formats of output, the damaged layer first, input that is no good.
set -eu
. tests/e2e/common.bash
cd "$WORK"

small_config >small.yaml
run 0 train small.yaml --quiet --set quant.layers.b1.c1.weights.bits=2
float=run/phase-1-float.safetensors
before=$(sums run)

# ---- a quantized run, a config and a checkpoint, a float checkpoint ----
run 0 analyze run --images 40
says 'W4A8'
says 'they were trained with rounding, so this is no network that somebody trained'
for title in 'networks beside the float one' 'layers, the worst first' 'quantizers, the worst first' 'mean error before the relu' 'what would help'; do
    says "$title"
done
says 'integers'
says 'ranges anew with equalize'
run 0 analyze small.yaml --from run --images 40 --calibrate 64 # the recommended steps are done, as by quantize
says 'float: the network of run/last.safetensors as it came'
says 'quantized without steps'
run 0 quantize small.yaml --from $float -o q --json
cp out q.json
run 0 analyze small.yaml --from $float --images 100 --json
python3 - out q.json <<'END'
import json, sys
networks = {n["network"]: n for n in json.load(open(sys.argv[1]))["networks"]}
q = json.load(open(sys.argv[2]))
assert abs(networks["integers"]["loss"] - q["loss"]) < 1e-12 and abs(networks["integers"]["accuracy_percent"] / 100 - q["accuracy"]) < 1e-12
assert abs(networks["float"]["loss"] - q["float_loss"]) < 1e-4 # equalized, maybe
END
run 0 analyze $float --images 40 --set 'quant.steps=[equalize]'
says 'quantized without steps'
says 'quantized with bias_correct'
! grep -q 'with equalize' out || die "the step is in the list already"
says 'worst: b1.c1 weights, 2 bits: on alone'
run 0 quantize small.yaml --from $float -o qb --set 'quant.steps=[bias_correct]'
run 0 analyze qb --images 20
says 'ranges anew with equalize'
! grep -q 'with bias_correct' out || die "the network has had the step"
run 0 analyze run --from $float --images 40
says "float: the network of $float"
run 0 analyze run --images 20 --no-remedies --set quant.weights.bits=2 # whose default is another range than the file's
[ "$(sums run)" = "$before" ] || die "analyze writes something"

# ---- formats; the same at any number of threads ----
damaged=(analyze $float --images 40 --calibrate 64 --set 'quant.steps=[]')
run 0 "${damaged[@]}" --json --threads 1
cp out one.json
run 0 "${damaged[@]}" --json --threads 3
cmp out one.json || die "the number of threads changes numbers"
python3 - one.json <<'END'
import json, math, sys
a = json.load(open(sys.argv[1]))
networks = {n["network"]: n for n in a["networks"]}
assert {"float", "weights rounded alone", "outputs rounded alone", "quantized", "integers", "quantized with equalize"} <= networks.keys()
assert networks["float"]["divergence"] is None and networks["quantized"]["divergence"] > 0
assert abs(networks["quantized"]["loss"] - networks["integers"]["loss"]) < 0.05
assert a["layers"][0]["layer"] == "b1.c1" and a["layers"][0]["weight_bits"] == 2
assert len(a["layers"]) == 7 and len(a["biases"]) == 7, len(a["layers"])
assert abs(sum(l["share_percent"] for l in a["layers"]) - 100) < 1e-6
costs = [q["alone_divergence"] for q in a["quantizers"]]
assert costs == sorted(costs, reverse=True) and len(costs) == 11
worst = a["quantizers"][0]
assert (worst["layer"], worst["of"], worst["bits"]) == ("b1.c1", "weights", 2)
remedies = {r["remedy"]: r for r in a["remedies"] if r["layer"] == "b1.c1" and r["of"] == "weights"}
assert remedies["8 bits"]["after_db"] > remedies["8 bits"]["before_db"] + 20
assert remedies["8 bits"]["network_divergence"] < networks["quantized"]["divergence"]
assert a["images"] == 40
END
run 0 "${damaged[@]}" --csv
[ "$(head -n 1 out | cut -d, -f1-4)" = layer,kind,weight_bits,output_bits ] || die "CSV has the layers"
[ "$(wc -l <out)" = 8 ] || die "CSV has all layers"
sed -n 2p out | grep -q '^b1.c1,conv2d,2,8,' || die "the damaged layer is the first in CSV"
for table in networks layers quantizers biases remedies; do
    run 0 "${damaged[@]}" --csv --table $table
    [ "$(awk -F, '{ print NF }' out | sort -u | wc -l)" = 1 ] || die "$table: rows of CSV have as many fields as the first"
    [ "$(wc -l <out)" -gt 3 ] || die "$table: CSV has rows"
done
run 0 "${damaged[@]}" --table layers --no-remedies
[ "$(wc -l <out)" = 10 ] || die "one table has nothing else"
run 0 "${damaged[@]}" --no-remedies
! grep -q 'what would help' out || die "--no-remedies tries nothing"
run 0 "${damaged[@]}" --images 1 --no-remedies
says 'of one image there is no error (±)'
! grep -qw nan out || die "what cannot be told is empty"
run 0 analyze $float --images 1000000 --no-remedies
says 'there are 100 test images, all are taken'

# ---- what is simulated has no integers, and is analysed all the same ----
run 0 analyze $float --images 20 --set 'quant.weights={format: fp8_e4m3}' --set 'quant.layers={}'
! grep -q '^integers ' out || die "there are no integers"
run 0 analyze $float --images 20 --set quant.batchnorm=fold
run 0 analyze $float --images 20 --set quant.batchnorm=fold_corrected
run 0 analyze $float --images 20 --set quant.activations=off

# ---- a layer without any difference, and weights of 1 bit: nothing is nan, and no 1 bits ----
python3 - $float flat.safetensors <<'END'
import json, struct, sys
b = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", b[:8])[0]
h, d = json.loads(b[8 : 8 + n]), bytearray(b[8 + n :])
h["__metadata__"].pop("crc32")
for name, t in h.items():
    if name.endswith("b1.c1.weight"):
        first, end = t["data_offsets"]
        d[first:end] = bytes(end - first)
o = json.dumps(h).encode()
open(sys.argv[2], "wb").write(struct.pack("<Q", len(o)) + o + d)
END
for command in "analyze small.yaml --from flat.safetensors --images 20" "profile flat.safetensors --images 16 --layer b1.c1 --formats uniform,binary --bits 2"; do
    # shellcheck disable=SC2086
    run 0 $command
    ! grep -qwe nan -e -inf out || die "nibble $command: $(grep -wm1 -e nan -e -inf out)"
done
grep -q ' constant ' out || die "the layer is not flat"
binary='quant.layers={b1.c1: {weights: {format: binary, bits: 1}}, b1.c2: {weights: {format: binary, bits: 1}}}'
run 0 quantize small.yaml --from $float -o bit --steps none --images 40 --set "$binary"
run 0 analyze bit --images 20
says ' weights, 1 bit: on alone'
run 0 export bit --format text -o -
says '  1 bit, '
run 0 report bit
grep -q '(1 bit)' bit/report.html || die "the report does not name the quantizer's bits"
for text in "$(<out)" "$(<bit/report.html)"; do
    [[ $text != *[^0-9]1" bits"* ]] || die "1 bits"
done
run 0 analyze $float --images 1 --no-remedies
says ' on 1 test image, '

# ---- no good ----
refuses 2 '--from CKPT is missing: the checkpoint whose weights small.yaml quantizes' analyze small.yaml
refuses 2 'is a float network itself' analyze $float --from $float
refuses 2 'is quantized, not the float network to compare with' analyze run/last.safetensors --from run/last.safetensors
refuses 2 '--table: layer: must be networks, layers, quantizers, biases or remedies (did you mean "layers"?)' analyze $float --table layer
refuses 2 '--json: has all tables' analyze $float --json --csv
refuses 2 '--images: 0: must be a whole number from 1 on' analyze $float --images 0
refuses 2 '--calibrate: many: must be a whole number from 1 on' analyze $float --calibrate many
refuses 1 'missing.safetensors' analyze missing.safetensors
refuses 1 'model.int.safetensors' analyze run/model.int.safetensors
grep -v -e '^quant' -e '^  weights' -e '^  activations' small.yaml | sed '/name: qat/d' >plain.yaml
refuses 2 'required key is missing: it says what to analyse' analyze plain.yaml --from $float
head -c 2000 $float >cut.safetensors
refuses 1 'cut.safetensors' analyze cut.safetensors
sed 's/out: 12/out: 14/' small.yaml >other.yaml
refuses 2 'b1.c1.weight' analyze other.yaml --from $float
