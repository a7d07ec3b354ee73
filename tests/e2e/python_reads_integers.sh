#!/bin/sh
# python_reads_integers.sh - the example of docs/deploy.md: an integer checkpoint of `nibble train`, read by plain Python without any package,
# holds the weights that `nibble export` lists. 8-, 4- and 2-bit layers, 3-bit ones with a zero point for each channel, and a file whose
# layers have levels (3-bit and 1-bit indices).
set -eu
command -v python3 >/dev/null || {
    echo "skipped: no python3"
    exit 77
}
"$NIBBLE" train configs/synth-tiny.yaml --set out="$WORK/run" --set data.count=256 --set data.test_count=64 \
    --set 'quant.layers={b1.c1: {weights: {bits: 3, scheme: asymmetric}}, b1.c2: {weights: {bits: 2}}}' \
    --set 'train.phases=[{name: qat, epochs: 1, lr: 0.05, quant: on}]' >"$WORK/log" 2>&1 || {
    cat "$WORK/log"
    exit 1
}
levels=tests/fuzz/corpus/fuzz_intmodel/levels
"$NIBBLE" export "$WORK/run/model.int.safetensors" -o "$WORK/listing.txt"
"$NIBBLE" export "$levels" -o "$WORK/levels.txt"

cat >"$WORK/read.py" <<'PYTHON'
import json, re, struct, sys

# ---- this is all it takes ----
raw = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
head, data = json.loads(raw[8:8 + size]), raw[8 + size:]
graph = json.loads(head["__metadata__"]["graph"])

def tensor(name):
    begin, end = head[name]["data_offsets"]
    return data[begin:end]

def weights(step):
    bits, g = step["weight_bits"], step["geom"]
    row = g["kh"] * g["kw"] * g["c"] // g["groups"]
    if step["packing"] in ("bits", "offset"):                # indices; a channel begins on a byte
        name = step["name"] + (".levels" if step["packing"] == "bits" else ".low")
        means = struct.unpack("%db" % len(tensor(name)), tensor(name))
        own = len(head[name]["shape"]) == 2 if step["packing"] == "bits" else len(means) > 1
        packed, size = tensor(step["name"] + ".weight"), (row * bits + 7) // 8
        rows = [int.from_bytes(packed[c * size:][:size], "little") for c in range(g["oc"])]
        index = [(c * own, r >> i * bits & (1 << bits) - 1) for c, r in enumerate(rows) for i in range(row)]
        if step["packing"] == "offset":
            return [means[c] + k for c, k in index]
        return [means[c * (len(means) // g["oc"]) + k] for c, k in index]
    width = {"i8": 8, "s4": 4, "s2": 2}[step["packing"]]     # bits per code, first code in the lowest
    half, packed = 1 << width - 1, tensor(step["name"] + ".weight")
    codes = [((byte >> s & 2 * half - 1) ^ half) - half for byte in packed for s in range(0, 8, width)]
    return codes[:g["oc"] * row]                             # [oc][kh][kw][c / groups]
# ----

listed, name = {}, None
for line in open(sys.argv[2], encoding="utf-8"):
    if line.startswith("step "):
        name = line.split()[3]
    row = re.match(r" +\d+ +\d+ +\d+:((?: +-?\d+)+)$", line)
    if row:
        listed.setdefault(name, []).extend(map(int, row.group(1).split()))
convs = [s for s in graph["steps"] if s["kind"] == "conv"]
assert convs and {s["packing"] for s in convs} == set(sys.argv[3:]), [s["packing"] for s in convs]
for s in convs:
    assert weights(s) == listed[s["name"]], s["name"]
    assert any(weights(s)), s["name"] + " is all zero"
print("%d layers, %d weights" % (len(convs), sum(len(weights(s)) for s in convs)))
PYTHON
python3 "$WORK/read.py" "$WORK/run/model.int.safetensors" "$WORK/listing.txt" i8 s4 s2 offset
python3 "$WORK/read.py" "$levels" "$WORK/levels.txt" i8 bits
