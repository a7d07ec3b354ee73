#!/usr/bin/env bash
# report.sh - one page of a run, a file, a sweep: alone in the world, the same bytes each time, harmless whatever names are, and with what is
# missing or damaged named and the rest shown.
# NB_CHROMIUM=chromium also opens pages in that browser: no console message, nothing wider than a phone.
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml
run 0 train tiny.yaml --quiet
model=run/model.int.safetensors

has() { # PAGE TEXT...
    local page=$1
    shift
    for text; do
        grep -qF -- "$text" "$page" || die "$page does not say: $text"
    done
}
lacks() { # PAGE TEXT...
    local page=$1
    shift
    for text; do
        ! grep -qF -- "$text" "$page" || die "$page says: $text"
    done
}
alone() { # PAGE: well-formed enough to be closed, without scripts, and without anything from elsewhere
    [ "$(stat -c %s "$1")" -lt 2000000 ] || die "$1 has more than 2 MB"
    ! sed 's/xmlns="[^"]*"//g' "$1" | grep -nE 'https?:|<script|<link rel="(style|pre)|@import|url\(|javascript:|nan|-?inf\b' |
        grep -vE 'Missing|<td|nanosecond' || die "$1 needs more than itself, or shows no number"
    if command -v python3 >/dev/null; then
        python3 - "$1" <<'END' || die "$1 is not well-formed"
import html.parser, sys
open_tags, void = [], {"meta", "link", "img", "br"}
class P(html.parser.HTMLParser):
    def handle_starttag(self, tag, attrs):
        if tag not in void: open_tags.append(tag)
    def handle_startendtag(self, tag, attrs): pass
    def handle_endtag(self, tag):
        if not open_tags or open_tags.pop() != tag: sys.exit("</%s> at line %d" % (tag, self.getpos()[0]))
text = open(sys.argv[1], encoding="utf-8").read()
P().feed(text)
sys.exit("not closed: %s" % open_tags if open_tags else 0)
END
    fi
    [ -z "${NB_CHROMIUM:-}" ] || look "$1"
}
look() { # PAGE: in the browser, light and dark, as wide as a phone (which its windows cannot be: a frame)
    local scheme
    sed 's|</body>|<script>console.assert(document.body);parent.postMessage(document.documentElement.scrollWidth,"*")</script></body>|' "$1" >inner.html
    echo '<!DOCTYPE html><link rel="icon" href="data:,"><script>onmessage = e => document.title = "wide " + e.data</script>' \
        '<iframe src="inner.html" style="width:390px;height:2000px;border:0"></iframe>' >outer.html
    for scheme in 0 1; do
        "$NB_CHROMIUM" --headless=new --no-sandbox --user-data-dir="$WORK/chromium" --enable-logging=stderr --window-size=800,2100 \
            --blink-settings=preferredColorScheme=$scheme --dump-dom "file://$PWD/outer.html" >dom 2>log
        ! grep CONSOLE log || die "$1 says something on the console"
        [ "$(sed -n 's/.*<title>wide \([0-9]*\).*/\1/p' dom)" -le 390 ] || die "$1 is wider than a phone: $(grep -o '<title>wide [0-9]*' dom)"
    done
}

# ---- a run ----
run 0 report run --assets shown
says "report: run/report.html"
page=run/report.html
has $page 'id="verdict"' 'integers W4A8' 'Costs most:</strong> ' 'Confused most:</strong> ' 'Needs on a device, as exported C:</strong> ' 'Not proven here:</strong> ' 'id="layers"' 'id="costs"' \
    'id="bias"' 'id="weights"' 'id="training"' 'id="answers"' 'id="proofs"' 'id="config"' 'data:image/png;base64,' 'prefers-color-scheme:dark'
lacks $page 'Missing: '
has $page "file $model of "
grep -qE '^<figure>.*<div>image [0-9]+:<br>is class [0-3],<br>said class [0-3],<br>(over )?[0-9.]+ %</div>' $page || die "a mistake's picture does not say which it is"
alone $page
run 0 eval $model --csv
[ "$(tail -n 1 out | cut -d, -f6)" = "$(awk -F, 'NR == 7 { print $9 }' run/metrics.csv)" ] || die "eval and metrics.csv differ"
accuracy=$(tail -n 1 out | awk -F, '{ printf "%.2f %%", 100 * $6 }')
has $page "$accuracy of 100 test images right"
before=$(awk -F, '$3 == "no" { a = $9 } END { printf "%.2f %%", 100 * a }' run/metrics.csv)
has $page "had reached $before after 3 epochs. Then 3 epochs of training with rounding followed" 'Rounding costs:</strong> nothing here.' 'run: integers W4A8 on synth</h1>' \
    'None were held out for choices' "of $(date -u -r $model +%F). Page by Nibble"
lacks $page ' gap'
# 12x12x8 of c1, which the shortcut reads later, and 6x6x12 twice; two rows of b1.c2's windows, 3x3x12
has $page '2232 bytes of RAM, without stack and image (most while b1.c2 runs: 2016 for values between layers, 216 to work in);'
# what rounding costs: the float network's accuracy is the integers' and what they lost
run 0 analyze run --images 100 --csv --table networks
float=$(awk -F, 'NR == 2 { printf "%.2f %%", $2 }' out)
has $page "$float of the same images are right with the same weights, not rounded" 'ranges anew with equalize'
run 0 report run -o again.html --threads 3
cmp again.html $page || die "the same run gives another page"

# numbers and drawings as files; the tables are those of the terminal
for name in accuracy loss learning-rate training-ranges-weights training-ranges-values confusion sensitivity bias-layers weights-1 ranges-1 bytes; do
    for end in svg csv; do
        [ -s "shown/$name.$end" ] || die "there is no $name.$end"
    done
    grep -q '<style>' "shown/$name.svg" || die "$name.svg has no colours of its own"
done
run 0 eval $model --csv --classes
cmp out shown/classes.csv || die "classes.csv is not what eval prints"
run 0 analyze run --csv
cut -d, -f1 out >order
cut -d, -f1 shown/blame.csv | cmp - order || die "blame.csv is not what analyze prints"
[ "$(wc -l <shown/accuracy.csv)" = 7 ] || die "accuracy.csv has not a line for each epoch"
[ "$(awk -F, 'NR > 1 { n += $5 } END { print n }' shown/confusion.csv)" = 100 ] || die "the matrix does not add up to the images"
awk -F, 'NR > 1 { n += $3 } END { exit !(n > 99.99 && n < 100.01) }' shown/weights-1.csv || die "shares of codes are not 100 %"

# ---- files ----
run 0 report $model -o int.html
has int.html 'Missing: what quantization costs: ' 'holds integers alone' 'Missing: comparison with the network of training' 'id="answers"' 'id="weights"'
alone int.html
run 0 report run/last.safetensors -o last.html
has last.html 'id="training"' 'id="costs"'
run 0 report run/phase-1-float.safetensors -o float.html
has float.html 'float: ' ', quantized as the config says. ' 'id="weights"' 'id="costs"'
alone float.html
run 0 report run --from run/phase-1-float.safetensors -o beside.html
has beside.html 'every cost here holds what training changed, too' 'Its rounding and what training changed by itself moves' \
    'every difference of weights holds training, too' 'weights of the trained one, rounded, alone'
lacks beside.html 'All rounding together' 'right without rounding' 'weights rounded alone'
lacks run/report.html 'what training changed'
run 0 report run --proofs -o proofs.html
has proofs.html 'engine scalar, 1 thread'
lacks proofs.html 'that the exported C,'
run 0 report run --proofs -o proofs2.html
cmp proofs.html proofs2.html || die "proofs depend on the clock"

# ---- a network that was calibrated has no epochs, which is no lack ----
run 0 quantize tiny.yaml --from run/phase-1-float.safetensors -o made
cp out quantized
run 0 report made
lacks made/report.html 'Missing: '
accuracy=$(awk '$1 == "before" { print $3 }' quantized)
has made/report.html "beside the float network that it was made from without further training, which reached $accuracy %"
lacks made/report.html 'the same weights, not rounded</dt>' 'Before it was quantized' 'quantized as the config says' # steps have changed the weights
rm made/last.safetensors # without it nothing says so
run 0 report made
has made/report.html 'Missing: metrics.csv: '

# ---- what is missing is named ----
cp -r run cut
{ head -n 2 run/metrics.csv && tail -n 2 run/metrics.csv | head -c -3; } >cut/metrics.csv
rm cut/timing.csv
head -c 300 run/ranges.csv >cut/ranges.csv
run 0 report cut
has cut/report.html 'Missing: metrics.csv: 1 lines of' 'Missing: ranges.csv: 1 lines of' 'Missing: timing.csv: ' 'id="training"' \
    'id="training-ranges"' 'id="costs"'
rm cut/ranges.csv
run 0 report cut -o ranges.html
has ranges.html 'Missing: ranges.csv: ' 'id="training"' 'id="costs"'
lacks ranges.html 'id="training-ranges"'
alone cut/report.html
head -c 3000 $model >cut/model.int.safetensors
run 0 report cut -o damaged.html
has damaged.html 'Missing: the network: cut/model.int.safetensors: ' 'id="training"' 'id="config"'
lacks damaged.html 'id="answers"'
alone damaged.html
mkdir csv && cp run/metrics.csv csv/
run 0 report csv
has csv/report.html 'Missing: config.yaml: ' 'Missing: the network: csv: holds no checkpoint' 'id="training"'
: >csv/metrics.csv
run 0 report csv
has csv/report.html 'Missing: metrics.csv: it holds no whole line'
run 0 report run --set data.name=idx --set data.path="$WORK/nowhere" -o nodata.html
has nodata.html 'Missing: answers on test images: ' 'nowhere' 'id="layers"' 'id="weights"' 'id="training"'
lacks nodata.html 'id="costs"'
alone nodata.html
mkdir empty
refuses 1 "empty: is neither a run folder" report empty
refuses 1 "nowhere: " report nowhere -o x.html
refuses 1 "nowhere: cannot open" report nowhere
refuses 2 "-o FILE is missing" report $model
refuses 2 "one of the files that are read here" report $model -o $model

# ---- a sweep ----
cat >sweep.yaml <<'END'
config: tiny.yaml
out: many
seeds: [1]
start: {train.phases: [{epochs: 1, lr: 0.1}]}
how: {after: quantize}
tables:
  - name: bits
    rows: {W8A8: {quant.weights.bits: 8}, W4A8: {quant.weights.bits: 4}, W2A8: {quant.weights.bits: 2}}
END
run 0 sweep sweep.yaml
run 0 report many --assets many-shown
has many/report.html 'id="sweep"' 'Accuracy in percent against bytes' 'on the line' 'W2A8'
alone many/report.html
run 0 compare many/bits/after-W2A8-seed1 many/bits/after-W4A8-seed1 --format csv
bytes=$(awk -F, '$1 ~ /W2A8/ { print $8 }' out)
grep -q "W2A8-seed1,$bytes," many-shown/accuracy-bytes.csv || die "a run has not the bytes that compare says"
rm -r many/bits/after-W4A8-seed1
head -c -5 many/runs.csv >r && mv r many/runs.csv
run 0 report many -o gone.html
has gone.html 'Missing: bytes of a run' 'Missing: runs.csv: lines of it are not whole' 'W8A8'
alone gone.html

# ---- names that want to harm ----
command -v python3 >/dev/null || exit 0
evil='<script>alert("1")<&'\''b>'
for class in 0 1 2; do
    mkdir -p "set/train/c$class" "set/test/c$class"
done
mv set/train/c2 "set/train/${evil//\//_}" && mv set/test/c2 "set/test/${evil//\//_}"
python3 - <<'END'
import os, random, struct, zlib
random.seed(3)
def png(path, level):
    rows = b"".join(b"\0" + bytes(min(255, max(0, level + random.randint(-60, 60))) for _ in range(6)) for _ in range(6))
    def piece(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", struct.pack(">IIBBBBB", 6, 6, 8, 0, 0, 0, 0)) + piece(b"IDAT", zlib.compress(rows)) + piece(b"IEND", b""))
for split, n in ("train", 12), ("test", 6):
    for k, name in enumerate(sorted(os.listdir("set/" + split))):
        for i in range(n):
            png(f"set/{split}/{name}/<i>{i}.png", 60 * k + 30)
END
cat >'<b>.yaml' <<'END'
out: "<b>run"
data: {name: pngdir, path: set}
model: [input, linear: {name: "a&amp", out: 3}]
train: {batch: 8, phases: [{name: "<i>", epochs: 2, lr: 0.02}, {epochs: 1, lr: 0.02, quant: on}]}
END
sed -i 's/name: "a&amp"/name: fc/; s/name: "<i>"/name: i/' '<b>.yaml'
run 0 train '<b>.yaml' --quiet
run 0 report '<b>run' -o evil.html --assets evil-shown
grep -qF '<div>&lt;i&gt;' evil.html || die "a mistake's picture is not named by its file"
has evil.html '&lt;script&gt;alert(&quot;1&quot;)&lt;&amp;&#39;b&gt;' '&lt;b&gt;run'
lacks evil.html '<script' '<b>' '<i>'
! grep -l '<script' evil-shown/*.svg || die "a drawing has a script"
alone evil.html
