#!/usr/bin/env bash
# bad_bytes.sh - checkpoints with single bytes flipped and single numbers of their headers replaced: each is either refused with one
# line that names the file, or is still a sound model and runs. Nothing crashes, hangs, or takes the machine's memory. Their checksums
# are taken away first, or they would answer for everything; with them, no byte, digit or word can be another.
# shellcheck disable=SC2015,SC2016 # die does not return; backquotes in messages are meant
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml
run 0 train tiny.yaml --quiet --set 'train.phases=[{name: float, epochs: 1, lr: 0.1}, {name: qat, epochs: 1, lr: 0.01, quant: on}]' \
    --set data.test_count=8
echo x >image.png
if (ulimit -v 4000000 && "$NIBBLE" --version >/dev/null 2>&1); then # not with a sanitizer, which reserves terabytes
    ulimit -v 4000000
fi

sound=0 refused=0
judge() { # WHAT ARGS...: damaged.safetensors, which is WHAT
    local what=$1 code=0 said
    shift
    timeout 60 "$NIBBLE" "$@" >out 2>err </dev/null || code=$?
    said=$(<err)
    if [ "$code" = 0 ]; then
        sound=$((sound + 1))
        [ -z "$said" ] || die "$what: exit code 0, but: $said"
        return
    fi
    refused=$((refused + 1))
    [ "$code" = 1 ] || [ "$code" = 2 ] || die "$what: exit code $code: $said"
    [[ $said == "nibble: "*damaged.safetensors* && $said != *$'\n'* ]] || die "$what: must be one line that names the file: $said"
}
turn=0
any() { # WHAT: by one command after the other
    local commands=("eval damaged.safetensors" "verify damaged.safetensors --images 2 --from run/last.safetensors" "info damaged.safetensors" "export damaged.safetensors -o listing.txt")
    # shellcheck disable=SC2086
    judge "$1" ${commands[turn++ % 4]}
}

flip() { # FILE COUNT: bytes all over it, in turn by their lowest bit, their highest, and all
    local file=$1 count=$2 size i at masks=(1 128 255) byte bytes
    mapfile -t bytes < <(od -An -v -tu1 -w1 "$file")
    size=${#bytes[@]}
    for ((i = 0; i < count; i++)); do
        at=$((i * size / count + i % 3 * size / count / 3))
        byte=$((bytes[at] ^ masks[i % 3]))
        cp "$file" damaged.safetensors
        # shellcheck disable=SC2059
        printf "\\$(printf '%03o' $byte)" | dd of=damaged.safetensors bs=1 seek=$at conv=notrunc 2>/dev/null
        any "byte $at of $file made $byte"
    done
}
cp run/last.safetensors run/model.int.safetensors .
digits=0
for file in last model.int; do
    LC_ALL=C sed -i 's/"crc32"/"CRC32"/' "run/$file.safetensors"
    cmp -s "$file.safetensors" "run/$file.safetensors" && die "$file has no checksum"
    for back in 1 100 1000; do # bytes from its end, in a tensor of either
        cp "$file.safetensors" damaged.safetensors
        at=$(($(wc -c <damaged.safetensors) - back))
        byte=$(od -An -tu1 -j$at -N1 damaged.safetensors)
        # shellcheck disable=SC2059
        printf "\\$(printf '%03o' $((byte ^ 4)))" | dd of=damaged.safetensors bs=1 seek=$at conv=notrunc 2>/dev/null
        refuses 1 "damaged.safetensors: damaged: the CRC-32 of its contents is" eval damaged.safetensors
    done
    # a digit of each kind of number that a header has, out of quotes or in them
    for key in '"shape":[' 'zero\": ' 'zero\":' 'scale\": ' 'scale\":' 'in\": [' 'in\":[' 'hi\": ' 'hi\":' '"std":"' '"mean":"' '"epoch":"' '"accuracy":"' 'seed: '; do
        at=$(LC_ALL=C grep -abo -m1 -F "$key" "$file.safetensors" | head -1 | cut -d: -f1) || continue
        [ -n "$at" ] || continue
        cp "$file.safetensors" damaged.safetensors
        at=$((at + ${#key}))
        [[ $(dd if=damaged.safetensors bs=1 skip=$at count=1 2>/dev/null) == [0-9] ]] || continue
        byte=$(od -An -tu1 -j$at -N1 damaged.safetensors)
        # shellcheck disable=SC2059
        printf "\\$(printf '%03o' $((byte ^ 1)))" | dd of=damaged.safetensors bs=1 seek=$at conv=notrunc 2>/dev/null
        digits=$((digits + 1))
        code=0
        "$NIBBLE" eval damaged.safetensors >out 2>err || code=$?
        if [ $code = 0 ] || ! grep -q "damaged.safetensors: " err; then
            die "$file, a digit behind $key: exit code $code: $(<err)"
        fi
    done
done
[ $digits -ge 8 ] || die "only $digits digits of headers were changed"
flip run/model.int.safetensors 240
flip run/last.safetensors 120

# Every number of the graph becomes another, which is often absurd; the header gets the length it then has.
length=$(od -An -tu4 -N4 run/model.int.safetensors | tr -d ' ')
head -c $((length + 8)) run/model.int.safetensors | tail -c +9 >header
tail -c $((-length - 8 + $(wc -c <run/model.int.safetensors))) run/model.int.safetensors >data
awk -v values='-1 0 2147483647 1 4294967296 -2147483648 64 1e99 0.5 65536 7 16777216' '{
    n = split(values, value, " ")
    begin = index($0, "\"graph\""); end = index($0, "\"classes\"")
    before = substr($0, 1, begin - 1); rest = substr($0, begin, end - begin); after = substr($0, end)
    for (k = 0; match(rest, /[:,[]-?[0-9][0-9.e-]*/); k++) {
        print before substr(rest, 1, RSTART) value[k % n + 1] substr(rest, RSTART + RLENGTH) after
        before = before substr(rest, 1, RSTART + RLENGTH - 1)
        rest = substr(rest, RSTART + RLENGTH)
    }
}' header >headers
[ "$(wc -l <headers)" -gt 100 ] || die "the header holds too few numbers: $(wc -l <headers)"
k=0
while IFS= read -r line; do
    n=${#line} k=$((k + 1))
    # shellcheck disable=SC2059
    { printf "$(printf '\\%03o\\%03o\\0\\0\\0\\0\\0\\0' $((n & 255)) $((n >> 8)))" && printf '%s' "$line" && cat data; } >damaged.safetensors
    any "the graph's number $k"
done <headers
echo "$refused refused, $sound still sound"
[ "$refused" -gt 100 ] && [ "$sound" -gt 50 ] || die "that is no mixture"
