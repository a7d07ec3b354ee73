#!/usr/bin/env bash
# eval.sh - accuracy by class, confusion and mistakes: what they say of images in files and of numbered ones, in every format, and what is
# refused; the file of logits, read by plain Python.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml
run 0 train tiny.yaml --quiet
model=run/model.int.safetensors

# ---- for people ----
run 0 eval $model --classes --confusion --mistakes 3
says "by class"
says "a row for what images are, a column for what the network says"
says "the mistakes it is surest of"
right=$(sed -n 's/^  all  *100  *\([0-9]*\) .*/\1/p' out)
says "accuracy $right.00 %"
run 0 eval $model
[ "$(wc -l <out)" = 1 ] || die "without options one line is what there is"

# ---- for scripts: the same numbers, and of every kind of network ----
run 0 eval $model --csv --confusion
[ "$(head -n 1 out)" = label,answer_label,images ] || die "the keys come first"
[ "$(awk -F, 'NR > 1 { n += $3; if ($1 == $2) r += $3 } END { print n, r }' out)" = "100 $right" ] || die "pairs add up to images"
run 0 eval $model --csv
[ "$(wc -l <out)" = 2 ] || die "keys and one row"
says "run/model.int.safetensors,integers W4A8,test,100,$right,0."
run 0 eval $model --csv --mistakes 2
[ "$(wc -l <out)" = 3 ] || die "--mistakes 2 are two"
run 0 eval $model --csv --mistakes 100000
[ "$(wc -l <out)" = $((101 - right)) ] || die "all mistakes are all that are not right"
for file in run/phase-1-float.safetensors "run/last.safetensors --reference" "run/last.safetensors --split train"; do
    # shellcheck disable=SC2086
    run 0 eval $file --json --classes --confusion --mistakes 1
    for name in classes confusion mistakes; do
        says "\"$name\":[{"
    done
    correct=$(grep -oE '"correct":[0-9]+' out | head -n 1 | cut -d: -f2)
    sum=$(($(grep -oE '"correct":[0-9]+' out | tail -n +2 | cut -d: -f2 | paste -sd+)))
    [ "$correct" = "$sum" ] || die "$file: classes have $sum right answers, all of them $correct"
done

# ---- many classes: the worst pairs ----
run 0 train tiny.yaml --quiet --set out=many --set data.classes=25 --set 'model=[input, conv2d: {out: 4, kernel: 3}, relu, linear: {out: 25}]' \
    --set 'train.phases=[{epochs: 1, lr: 0.01, quant: on}]'
run 0 eval many --confusion
says "what is most often taken for what"
[ "$(grep -cE '^ *[0-9]+ +[0-9]+ +[0-9]+$' out)" = 20 ] || die "twenty pairs"

# ---- images in files, with names that want to harm ----
evil=$'a "b", \e[31m'
for class in 0 1 2 3; do
    mkdir -p "set/train/c$class" "set/test/c$class"
done
mv set/train/c3 "set/train/$evil" && mv set/test/c3 "set/test/$evil"
cp -r set mirrored # the same with every image's mirror image
if command -v python3 >/dev/null; then
    python3 - <<'END'
import os, random, struct, zlib
random.seed(3)
def png(path, level):
    image = [bytes(min(255, max(0, level + random.randint(-60, 60))) for _ in range(6)) for _ in range(6)]
    write(path, image)
    write("mirrored" + path[3:], [row[::-1] for row in image])
def write(path, image):
    rows = b"".join(b"\0" + row for row in image)
    def piece(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", struct.pack(">IIBBBBB", 6, 6, 8, 0, 0, 0, 0)) + piece(b"IDAT", zlib.compress(rows)) + piece(b"IEND", b""))
for split, n in ("train", 12), ("test", 6):
    for k, name in enumerate(sorted(os.listdir("set/" + split))):
        for i in range(n):
            png(f"set/{split}/{name}/{i}\n.png" if i == 5 else f"set/{split}/{name}/{i}.png", 60 * k + 30)
END
    cat >files.yaml <<'END'
out: files
data: {name: pngdir, path: set}
model: [input, linear: {out: 4}]
train: {batch: 8, phases: [{epochs: 3, lr: 0.02, quant: on}]}
END
    run 0 train files.yaml --quiet
    run 0 eval files --classes --confusion --mistakes 50
    grep -qE '^set/test/c[0-9]/' out || die "images have the names of their files"
    says 'a "b", ?[31m'
    ! grep -q $'\e' out || die "a name moves the cursor"
    run 0 eval files --csv --classes
    says '"a ""b"", '
    run 0 eval files --json --mistakes 50 --classes --logits logits.safetensors
    cp out said.json
    run 0 eval files --split train --logits train.safetensors
    run 0 eval files --set data.path=mirrored --logits mirrored.safetensors
    run 0 eval files --json --mirror
    cp out both.json
    run 0 eval files --mirror
    says "with the integer logits of the mirror image added, at twice the work: accuracy "
    grep -qE '^with .*: accuracy [0-9.]+ %, loss [0-9.]+$' out || die "a second view has a loss, too"
    run 0 eval files --csv --mirror
    ! grep -q mirror out || die "the table is of the single view"
    cat >check.py <<'END'
import json, math, struct, sys
def load(path):
    raw = open(path, "rb").read()
    size = struct.unpack("<Q", raw[:8])[0]
    head, data, out = json.loads(raw[8:8 + size]), raw[8 + size:], {}
    for name, t in head.items():
        piece = data[t["data_offsets"][0]:t["data_offsets"][1]]
        out[name] = json.loads(piece) if t["dtype"] == "U8" else struct.unpack("<%d%s" % (len(piece) // 4, "if"[t["dtype"] == "F32"]), piece)
    return list(head), out
order, t = load("logits.safetensors")
assert order == ["integers", "scale", "logits", "labels", "indices", "class_names", "image_names"], order
said = json.load(open("said.json"))
names = [row["class"] for row in said["classes"]]
assert names == t["class_names"] == ['a "b", \x1b[31m', "c0", "c1", "c2"], names
assert len(t["image_names"]) == len(t["labels"]) == 24 and t["indices"] == tuple(range(24)) and len(t["integers"]) == 96
scale, = t["scale"]
wrong = []
for i in range(24):
    z = t["integers"][4 * i:4 * i + 4]
    assert all(abs(scale * v - f) <= abs(f) * 1e-6 for v, f in zip(z, t["logits"][4 * i:4 * i + 4]))
    assert t["image_names"][i].startswith("set/test/" + names[t["labels"][i]] + "/"), t["image_names"][i]
    if z.index(max(z)) != t["labels"][i]:
        wrong.append(t["image_names"][i])
assert len(wrong) == said["images"] - said["correct"]
assert sorted(wrong) == sorted(m["image"] for m in said["mistakes"])
assert all(t["image_names"][m["index"]] == m["image"] and names[m["label"]] == m["class"] for m in said["mistakes"])
_, u = load("mirrored.safetensors")
both = json.load(open("both.json"))
right, loss = 0, 0
for i in range(24):
    z = [a + b for a, b in zip(t["integers"][4 * i:4 * i + 4], u["integers"][4 * i:4 * i + 4])]
    right += z.index(max(z)) == t["labels"][i]
    loss += (math.log(sum(math.exp(scale * v / 2) for v in z)) - scale * z[t["labels"][i]] / 2) / 24
assert both["mirrored_correct"] == right and both["correct"] == said["correct"], (both, right)
assert abs(both["mirrored_accuracy"] - right / 24) < 1e-9
assert abs(both["mirrored_loss"] - loss) < 1e-6 * loss, (both, loss)
print(len(wrong), "mistakes")
END
    python3 check.py >checked || die "the file of logits says else than the tables"
    ! grep -q '^0 ' checked || die "a network without a mistake proves nothing"
fi

# ---- a float network has no integers, a reference none either ----
run 0 eval run/phase-1-float.safetensors --logits a
run 0 eval run/last.safetensors --reference --logits b
for file in a b; do
    ! head -c 400 $file | grep -q '"integers"' || die "$file: floats have no integers"
    head -c 400 $file | grep -q '"logits"' || die "$file: there are logits"
done

# ---- refused ----
refuses 2 '--mirror: run/phase-1-float.safetensors has no integer logits of classes that could be added' eval \
    run/phase-1-float.safetensors --mirror
refuses 2 '--csv and --json: one of the two' eval $model --csv --json
refuses 2 '--csv is one table: one of --classes, --confusion, --mistakes' eval $model --csv --classes --mistakes 3
refuses 2 '--mistakes: 0: must be a whole number from 1 on' eval $model --mistakes 0
refuses 2 '--mistakes: many: must be a whole number from 1 on' eval $model --mistakes many
refuses 2 '--mistakes: 99999999999: must be a whole number from 1 on' eval $model --mistakes 99999999999
refuses 2 '--classes: takes no value' eval $model --classes=3
refuses 2 'the data set has images of 13x12x3' eval $model --classes --set data.height=13
refuses 2 'the data set has 3 classes, the model 4' eval $model --confusion --set data.classes=3
refuses 1 'nowhere/x: cannot write' eval $model --logits nowhere/x
