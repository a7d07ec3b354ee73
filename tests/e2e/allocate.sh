#!/usr/bin/env bash
# allocate.sh - nibble allocate: what it counts is what is flashed, the config it writes trains, input that is no good.
set -eu
. tests/e2e/common.bash
cd "$WORK"

small_config >small.yaml
run 0 train small.yaml --quiet
float=run/phase-1-float.safetensors
before=$(sums run)
quick=(--from $float --images 64 --calibrate 64)

# ---- bytes: the written config has them before it is quantized, its integers and their C after ----
run 0 allocate small.yaml "${quick[@]}" --budget 1.8KiB -o new.yaml --json
cp out a.json
run 0 info new.yaml --json
cp out info.json
run 0 quantize new.yaml --from $float -o q --json
run 0 export q --format c -o net.c
flash=$(sed -n 's/^#define NET_FLASH_BYTES *\([0-9]*\).*/\1/p' net.h)
ram=$(sed -n 's/^#define NET_RAM_BYTES *\([0-9]*\).*/\1/p' net.h)
python3 - a.json info.json "$flash" "$ram" <<'END2'
import json, sys
a, info = (json.load(open(p)) for p in sys.argv[1:3])
assert a["budget"] == 1843 and a["cost"] == a["flash_bytes"] <= a["budget"] # parts of a byte are dropped
assert info["flash_bytes"] == a["flash_bytes"] == int(sys.argv[3]), (info["flash_bytes"], a["flash_bytes"], sys.argv[3])
assert info["ram_bytes"] == a["ram_bytes"] == int(sys.argv[4])
bits = {l["layer"]: l["weight_bits"] for l in info["layers"]}
for l in a["layers"]:
    if l["of"] == "weights":
        assert bits[l["layer"]] == l["bits"], l
        assert (l["fixed"] is None) == (l["bits"] in (2, 3, 4, 6, 8))
assert all(l["fixed"] in ("saves no bytes",) for l in a["layers"] if l["of"] == "output")
assert abs(sum(l["divergence"] for l in a["layers"]) - a["predicted_divergence"]) < 1e-9
best = [r for r in a["front"] if r["choice"] == "best"]
assert [r["flash_bytes"] for r in best] == sorted(r["flash_bytes"] for r in best) and len(best) > 4
assert all(x["predicted_divergence"] > y["predicted_divergence"] for x, y in zip(best, best[1:]))
chosen = [r for r in a["front"] if r["choice"] == "chosen"][0]
assert chosen["flash_bytes"] == a["cost"]
for r in a["front"]: # nothing beats the chosen one within the budget
    assert r["flash_bytes"] > a["budget"] or r["predicted_divergence"] >= chosen["predicted_divergence"] - 1e-12
END2
grep -q '^# It takes [0-9]* bytes of flash' new.yaml || die "the config says what it takes"
grep -q '^# Predicted loss: ' new.yaml || die "the config says the predicted loss"
grep -q "^  allocated: .*bytes of flash" new.yaml || die "the config says who chose its bits"
! grep -q '^out:' new.yaml || die "its runs do not go to the other config's folder"
run 0 train new.yaml --quiet --set init=$float --set 'train.phases=[{name: qat, epochs: 1, lr: 0.01, quant: on}]'
[ -s runs/new/model.int.safetensors ] || die "the written config trains"

# ---- by Hessians: what weights lose is estimated, the rest is measured, the same for any number of threads ----
hessian=("${quick[@]}" --sensitivity hessian)
run 0 allocate small.yaml "${hessian[@]}" --budget 1.8KiB -o curved.yaml --json --threads 2
cp out h.json
run 0 allocate small.yaml "${hessian[@]}" --budget 1.8KiB --json --threads 1
cmp out h.json || die "threads change the estimate"
grep -q '^# .* --sensitivity hessian$' curved.yaml || die "the config says how its bits were chosen"
run 0 info curved.yaml --json
python3 - a.json h.json <<'END2'
import json, sys
a, h = (json.load(open(p)) for p in sys.argv[1:])
assert (a["sensitivity"], h["sensitivity"]) == ("measured", "hessian")
assert h["cost"] == h["flash_bytes"] <= h["budget"]
for l, m in zip(h["layers"], a["layers"]):
    free = l["of"] == "weights" and l["fixed"] is None
    assert (l["mean_trace"] is not None) == free
    assert free or l["divergence"] == m["divergence"]
    assert not free or (l["mean_trace"] > 0 and 0 < l["mean_trace_error"] < 0.6 * l["mean_trace"]), l
# of the network with all weights at 8 bits, not far from what is measured
of = lambda r: [x["predicted_divergence"] for x in r["front"] if x["choice"] == "all at 8 bits"][0]
assert 0.1 < of(h) / of(a) < 10, (of(h), of(a))
END2
run 0 allocate small.yaml "${hessian[@]}" --budget 2KiB --set quant.batchnorm=fold
says 'losses of weights are estimated'
run 0 allocate small.yaml "${hessian[@]}" --budget-macs 4M
run 1 allocate small.yaml "${hessian[@]}" --budget 2KiB --set quant.batchnorm=fold_corrected
says 'have no gradient of their own: measured would do'
run 2 allocate small.yaml "${quick[@]}" --budget 2KiB --sensitivity hesian
says '(did you mean "hessian"?)'

# ---- a sweep's report marks it ----
cat >sweep.yaml <<'END2'
config: small.yaml
out: many
seeds: [1]
start: {train.phases: [{epochs: 1, lr: 0.1}]}
how: {after: quantize}
tables: [{name: bits, rows: {W8: {quant.weights.bits: 8}, W2: {quant.weights.bits: 2}, fits: {quant.layers.b1.c1.weights.bits: 3, quant.allocated: 2 KiB}}}]
END2
run 0 sweep sweep.yaml
run 0 report many --assets shown
[ "$(awk -F, 'NR == 1 { print $4 } $1 ~ /seed/ { n += $4; if ($4) at = $1 } END { print n, at }' shown/accuracy-bytes.csv | tr '\n' ' ')" = \
    "allocated 1 bits/after-fits-seed1 " ] || die "one run is marked: $(<shown/accuracy-bytes.csv)"
grep -q '>allocated</text>' many/report.html || die "the mark has no legend"

# ---- what the config fixes stays ----
run 0 allocate small.yaml "${quick[@]}" --budget 2.5KiB --set quant.first_last_bits=8
says 'first and last layer: fixed by quant.first_last_bits'
run 0 allocate small.yaml "${quick[@]}" --budget 2.5KiB --set quant.layers.b1.c1.weights.bits=5 --csv
grep -q '^b1.c1,weights,5,5,.*,quant.layers$' out || die "bits in quant.layers are fixed"
grep -q '^c1,weights,[23468],8,[^,]*,[^,]*,$' out || die "the first layer is part of the choice"
run 0 allocate small.yaml "${quick[@]}" --budget 2.5KiB --bits 4,8 --csv
! grep -qE ',weights,[^48],' out || die "--bits are the widths"

# ---- bit operations choose outputs, too, and are those of the written config ----
run 0 allocate small.yaml "${quick[@]}" --budget-macs 4M -o ops.yaml --json
cp out ops.json
run 0 info ops.yaml --json
python3 - ops.json out <<'END2'
import json, sys
a, info = (json.load(open(p)) for p in sys.argv[1:])
macs = {l["layer"]: l["macs"] for l in info["layers"] if l["macs"]}
bits = {(l["layer"], l["of"]): l["bits"] for l in a["layers"]}
written = {l["layer"]: l["weight_bits"] for l in info["layers"]}
reads = {"c1": "input1", "b1.c1": "c1", "b1.c2": "b1.c1", "b1.short": "c1", "fc": "b1.add"}
assert set(macs) == set(reads)
cost = sum(macs[l] * bits[l, "weights"] * bits[reads[l], "output"] for l in reads)
assert cost == a["cost"] <= a["budget"] == 4000000, cost
assert all(written[l] == bits[l, "weights"] for l in reads)
assert all(l["fixed"] is None for l in a["layers"])
END2
grep -q 'activations: {bits: ' ops.yaml || die "outputs are in the config"
run 0 quantize ops.yaml --from $float -o ops

# ---- RAM ----
run 0 allocate small.yaml "${quick[@]}" --budget-ram "$ram"
says 'bytes of flash'
refuses 2 '--budget-ram: 10 cannot be reached: the smallest possible is' allocate small.yaml "${quick[@]}" --budget-ram 10

# ---- formats; threads; another way to name the network; nothing else is written ----
run 0 allocate small.yaml "${quick[@]}" --budget 2kB --json --threads 1
cp out one.json
run 0 allocate small.yaml "${quick[@]}" --budget 2kB --json --threads 3
cmp out one.json || die "the number of threads changes numbers"
run 0 allocate $float --images 32 --budget 2kB --csv --table front
[ "$(head -n 1 out)" = choice,flash_bytes,predicted_divergence,mean_weight_bits ] || die "CSV has the front"
[ "$(awk -F, '{ print NF }' out | sort -u)" = 4 ] || die "rows of CSV have as many fields as the first"
run 0 allocate $float --images 32 --budget 2kB --table layers
run 0 allocate $float --images 1000000 --budget 2kB
says 'there are 240 training images, all are taken'
[ "$(sums run)" = "$before" ] || die "allocate writes into the run"

# ---- no good ----
# Six layers that double what they read, their weights cut off at half: each alone leaves a sure answer as it is, together
# nothing is sure. What was predicted does not hold, and it is said.
reach() { echo "$1: {activations: {lo: -$2, hi: $2}}"; }
cat >doubling.yaml <<END
seed: 5
out: doubling
data: {name: synth, count: 64, test_count: 20, height: 6, width: 6, channels: 1, classes: 4}
model: [input, {linear: {name: f, out: 4}}$(for name in a b c d e g; do printf ', {linear: {name: %s, out: 4, bias: no}}' $name; done)]
quant:
  weights: {bits: 8, granularity: tensor, range: fixed, lo: -1, hi: 1}
  activations: {bits: 8, range: fixed, lo: -256, hi: 256}
  layers: {$(reach f 4), $(reach a 8), $(reach b 16), $(reach c 32), $(reach d 64), $(reach e 128)}
train: {batch: 32, optimizer: {name: sgd}, phases: [{epochs: 1, lr: 1.0e-6}]}
END
run 0 train doubling.yaml --quiet
python3 - doubling/last.safetensors sure.safetensors <<'END'
import json, struct, sys
b = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", b[:8])[0]
h, d = json.loads(b[8 : 8 + n]), bytearray(b[8 + n :])
h["__metadata__"].pop("crc32")
for name in "abcdeg":
    first, end = h[name + ".weight"]["data_offsets"]
    d[first:end] = struct.pack("<16f", *[2.0 * (i % 5 == 0) for i in range(16)])
o = json.dumps(h).encode()
open(sys.argv[2], "wb").write(struct.pack("<Q", len(o)) + o + d)
END
run 0 allocate doubling.yaml --from sure.safetensors --budget 4KiB --images 32 --calibrate 32
says ' times the predicted divergence: errors of the quantizers add up to more than each alone; give a larger budget, or train the network'
run 0 allocate small.yaml "${quick[@]}" --budget 2.5KiB
! grep -q 'times the predicted' out || die "this one is as predicted"

refuses 2 '--from CKPT is missing' allocate small.yaml --budget 2kB
refuses 2 'a budget is missing: --budget 40KiB' allocate small.yaml --from $float
refuses 2 'give one of them' allocate small.yaml --from $float --budget 2kB --budget-macs 2M
for budget in 2KB -5 1e400; do
    refuses 2 "--budget: $budget: must be a plain number, like 40960 or 1.5, and a unit (B, kB, MB, KiB, MiB) or none" allocate small.yaml \
        --from $float --budget=$budget
done
refuses 2 '--budget: 0: must be in 1..9007199254740992' allocate small.yaml --from $float --budget 0
refuses 2 '--budget-ram: 0: must be in 1..9007199254740992' allocate small.yaml --from $float --budget-ram 0
refuses 2 '--budget-macs: 2KiB: must be a plain number, like 40960 or 1.5, and a unit (k, M, G) or none' allocate small.yaml --from $float --budget-macs 2KiB
refuses 2 '--budget: 100 cannot be reached: the smallest possible is' allocate small.yaml "${quick[@]}" --budget 100
refuses 2 'bit operations' allocate small.yaml "${quick[@]}" --budget-macs 100
for bits in 8,4 4,4 1,2 9 4, ,4 four '' 2,3,4x; do
    refuses 2 'must be widths of 2..8 in ascending order' allocate small.yaml --from $float --budget 2kB --bits "$bits"
done
refuses 2 '--table: fronts: must be layers or front' allocate small.yaml --from $float --budget 2kB --table fronts
refuses 2 '--json: has all tables' allocate small.yaml --from $float --budget 2kB --json --csv
refuses 2 '-o: new.txt: is a config, and ends in .yaml' allocate small.yaml --from $float --budget 2kB -o new.txt
refuses 2 'small.yaml' allocate small.yaml "${quick[@]}" --budget 2kB -o small.yaml
refuses 1 'no/such' allocate small.yaml "${quick[@]}" --budget 2kB -o no/such/new.yaml
refuses 2 'there is nothing to choose' allocate small.yaml "${quick[@]}" --budget 2kB --set 'quant.weights={format: ternary, bits: 2}' \
    --set quant.first_last_bits=8
refuses 1 'there are no integers, and so no bytes to count' allocate small.yaml "${quick[@]}" --budget 2kB --set quant.simulate=yes
refuses 1 'missing.safetensors' allocate small.yaml --from missing.safetensors --budget 2kB
head -c 2000 $float >cut.safetensors
refuses 1 'cut.safetensors' allocate small.yaml --from cut.safetensors --budget 2kB

# ---- names that a path would take apart ----
sed 's/name: c1,/name: "c.1[a]=b",/' small.yaml >odd.yaml
run 0 train odd.yaml --quiet --set out=odd --set 'train.phases=[{name: float, epochs: 1, lr: 0.1}]'
run 0 allocate odd.yaml --from odd --budget 2kB --images 32 -o odd-new.yaml
run 0 info odd-new.yaml
