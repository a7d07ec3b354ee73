#!/usr/bin/env bash
# bad_files.sh - checkpoints that are damaged, of another network, or no checkpoints at all, for every command that opens one: exit
# code 1 (2 where the config is to blame), one line that names the file, and nothing that was there is touched.
# shellcheck disable=SC2015,SC2016 # die does not return; backquotes in messages are meant
set -eu
. tests/e2e/common.bash
cd "$WORK"
small_config >tiny.yaml
run 0 train tiny.yaml --quiet --set 'train.phases=[{name: float, epochs: 1, lr: 0.1}, {name: qat, epochs: 1, lr: 0.01, quant: on}]'
cp -r run good
before=$(sums run)

be_refused() { # FILE TEXT: by every command that opens a checkpoint
    refuses 1 "$2" eval "$1"
    refuses 1 "$2" verify "$1"
    refuses 1 "$2" run "$1" image.png
    refuses 1 "$2" export "$1" -o listing.txt
    refuses 1 "$2" train tiny.yaml --set init="$1" --set out=other
    [ ! -e listing.txt ] && [ ! -e other ] || die "a refused checkpoint must leave nothing: $1"
}
le64() { # N: eight bytes, least significant first
    local i
    for i in 0 8 16 24 32 40 48 56; do
        # shellcheck disable=SC2059
        printf "$(printf '\\%03o' $(($1 >> i & 255)))"
    done
}
st() { # HEADER: a safetensors file, followed by what is on standard input
    le64 ${#1}
    printf '%s' "$1"
    cat
}

# ---- what is no checkpoint ----
echo 'this is no checkpoint' >text
printf '' >empty
ln -s loop loop
for file in nowhere text empty /dev/null /dev/zero . loop tiny.yaml/x; do
    be_refused "$file" "$file: "
done
mkfifo pipe
be_refused pipe 'pipe: is not a regular file'
refuses 1 'nowhere: ' info nowhere
refuses 1 '.: is a folder' info .
refuses 1 'text: not a safetensors file' info text

# ---- cut short ----
for file in last.safetensors model.int.safetensors; do
    size=$(wc -c <"run/$file")
    header=$(($(od -An -tu4 -N4 "run/$file")))
    for cut in 0 1 7 8 9 100 $((header + 7)) $((header + 8)) $((header + 9)) $((size - 1)) \
        $(seq $((size / 24)) $((size / 24)) $((size - 24))); do
        head -c "$cut" "run/$file" >cut.safetensors
        refuses 1 'cut.safetensors: ' eval cut.safetensors
    done
    be_refused cut.safetensors 'cut.safetensors: '
    refuses 1 'cut.safetensors: ' info cut.safetensors
    { cat "run/$file" && printf 'more'; } >long.safetensors
    be_refused long.safetensors 'long.safetensors: 4 bytes behind the last tensor belong to none'
    # The header's length: absurd, or one too few.
    for length in '\377\377\377\377\377\377\377\377' '\377\377\377\377\377\377\377\177' '\0\0\0\0\001\0\0\0' '\0\0\0\0\0\0\0\0' '\001\0\0\0\0\0\0\0'; do
        # shellcheck disable=SC2059
        { printf "$length" && tail -c +9 "run/$file"; } >length.safetensors
        refuses 1 'length.safetensors: ' eval length.safetensors
    done
done

# ---- headers that lie ----
lies() { # TEXT HEADER [BYTES OF DATA, 8]
    head -c "${3:-8}" /dev/zero | st "$2" >lie.safetensors
    refuses 1 "lie.safetensors: $1" eval lie.safetensors
    refuses 1 "lie.safetensors: $1" train tiny.yaml --set init=lie.safetensors --set out=other
}
f32='"dtype":"F32"'
lies '' ''
lies '' '{'
lies '' '[]'
lies '' '{"a":1}'
lies '' '{"a":{"dtype":"F32"'
lies '' "$(printf '[%.0s' {1..5000})"
lies 'tensor "a": must have exactly' "{\"a\":{$f32,\"shape\":[2]}}"
lies 'tensor "a": unknown dtype "F31"' '{"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}}'
lies 'tensor "a": a dimension is not' "{\"a\":{$f32,\"shape\":[-2],\"data_offsets\":[0,8]}}"
lies 'tensor "a": a dimension is not' "{\"a\":{$f32,\"shape\":[2.5],\"data_offsets\":[0,8]}}"
lies 'tensor "a": a dimension is not' "{\"a\":{$f32,\"shape\":[1e99],\"data_offsets\":[0,8]}}"
lies 'tensor "a": the product of its dimensions is absurd' "{\"a\":{$f32,\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}"
lies 'tensor "a": data_offsets hold 8 bytes, its shape needs' "{\"a\":{$f32,\"shape\":[4611686018427,2],\"data_offsets\":[0,8]}}"
lies 'tensor "a": more than 8 dimensions' "{\"a\":{$f32,\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}"
lies 'tensor "a": data_offsets run backwards' "{\"a\":{$f32,\"shape\":[2],\"data_offsets\":[8,0]}}"
lies 'tensor "a": data_offsets are not' "{\"a\":{$f32,\"shape\":[2],\"data_offsets\":[-8,0]}}"
lies 'tensor "a": ends at byte' "{\"a\":{$f32,\"shape\":[4],\"data_offsets\":[0,16]}}"
lies 'tensor "b": overlaps another tensor' "{\"a\":{$f32,\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{$f32,\"shape\":[1],\"data_offsets\":[4,8]}}"
lies 'tensor "b": overlaps another tensor' "{\"a\":{$f32,\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{$f32,\"shape\":[2],\"data_offsets\":[0,8]}}"
lies 'tensor "b": bytes before it belong to no tensor' "{\"a\":{$f32,\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{$f32,\"shape\":[1],\"data_offsets\":[8,12]}}" 12
lies '4 bytes behind the last tensor' "{\"a\":{$f32,\"shape\":[1],\"data_offsets\":[0,4]}}"
lies '' "{\"a\":{$f32,\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{$f32,\"shape\":[1],\"data_offsets\":[4,8]}}"
lies '' "{\"a\":{$f32,\"shape\":[2],\"data_offsets\":[0,8]}}" # sound, but neither kind of checkpoint
lies '' '{"__metadata__":{"format":3}}' 0
lies '' '{"__metadata__":{"format":"nibble-checkpoint-1"}}' 0
lies '' '{"__metadata__":{"format":"nibble-checkpoint-9"}}' 0
lies '' '{"__metadata__":{"format":"nibble-int 1"}}' 0

# ---- whole, but of something else ----
edited() { # FILE SED-SCRIPT: of the same length
    LC_ALL=C sed 's/"crc32"/"CRC32"/' "run/$1" >unsummed.safetensors # or the checksum answers for every edit
    LC_ALL=C sed "$2" unsummed.safetensors >edited.safetensors
    ! cmp -s unsummed.safetensors edited.safetensors || die "$2: changes nothing in $1"
}
edited last.safetensors 's/"c1.weight"/"c9.weight"/' && be_refused edited.safetensors 'edited.safetensors: '
edited last.safetensors 's/"shape":\[8,3,3,3\]/"shape":[3,8,3,3]/g' && refuses 2 'c1.weight is 3x8x3x3, the network has 8x3x3x3' eval edited.safetensors
edited last.safetensors 's/"input":"12 12 3"/"input":"12 -2 3"/' && be_refused edited.safetensors 'metadata "input" is "12 -2 3"'
edited last.safetensors 's/"classes":"4"/"classes":"0"/' && be_refused edited.safetensors 'metadata "classes"'
edited last.safetensors 's/"mean":"0/"mean":"x/' && be_refused edited.safetensors 'metadata "mean"'
edited last.safetensors 's/"std":"0.25/"std":"0.00/' && be_refused edited.safetensors 'metadata "std"'
edited last.safetensors 's/"quantized":"yes"/"quantized":"yea"/' && be_refused edited.safetensors 'metadata "quantized" is "yea"'
edited last.safetensors 's/"quantized":/"quantised":/' && be_refused edited.safetensors 'metadata "quantized" is missing'
edited last.safetensors 's/"accuracy":"0/"accuracy":"?/' && be_refused edited.safetensors 'metadata "accuracy"'
edited last.safetensors 's/kernel: 3/kernle: 3/' && refuses 1 'edited.safetensors:' eval edited.safetensors
edited model.int.safetensors 's/kernel: 3/kernle: 3/' && run 0 info edited.safetensors
refuses 1 'run/model.int.safetensors: not a Nibble checkpoint' train tiny.yaml --set init=run/model.int.safetensors --set out=other
refuses 2 'run/last.safetensors: tensor c1.weight is 8x3x3x3, the network has 9x3x3x3' \
    train tiny.yaml --set init=run/last.safetensors --set model.1.conv2d.out=9 --set out=other
run 0 train tiny.yaml --quiet --set out=plain --set 'train.phases=[{epochs: 1, lr: 0.1}]'
refuses 1 'plain/last.safetensors: is a float network' export plain/last.safetensors -o listing.txt
refuses 1 'plain/last.safetensors' verify plain/last.safetensors
refuses 2 'run/last.safetensors: the data set has images of 13x12x3, the model takes 12x12x3' eval run/last.safetensors --set data.height=13

# ---- weights with levels ----
levels=$root/tests/fuzz/corpus/fuzz_intmodel/levels
cp "$levels" run/levels
run 0 info run/levels
grep -q 'c1 .* 3 * 5 ' out || die "info must show 5 levels of 3 bits"
wrong_levels() { # SED-SCRIPT TEXT
    edited levels "$1"
    refuses 1 "edited.safetensors: $2" eval edited.safetensors
    refuses 1 "edited.safetensors: $2" export edited.safetensors --format c -o net.c
    [ ! -e net.c ] || die "a refused model leaves a program"
}
wrong_levels 's/nibble-int 2/nibble-int 1/' 'graph: step 1: packing: "bits": only format "nibble-int 2" has it'
wrong_levels 's/nibble-int 2/nibble-int 7/' 'written by a newer Nibble'
wrong_levels 's/"c1.levels"/"c1.lovels"/' 'tensor "c1.levels" is missing'
wrong_levels 's/weight_bits\\":3/weight_bits\\":2/' 'tensor "c1.levels" has 5 values: must have 2..4'
wrong_levels 's/weight_bits\\":3/weight_bits\\":9/' 'graph: step 1: weight_bits: 9: must be 1..8'
refuses 1 'index 0 of channel 0 is none of its 5 levels' eval "$levels-bad-index"
refuses 1 'levels[1]: -128: must be -127..127' eval "$levels-unsorted"
rm run/levels

# Values that are no numbers: the first weights become NaN.
size=$(wc -c <run/last.safetensors)
header=$(($(od -An -tu4 -N4 run/last.safetensors)))
{ head -c $((header + 8)) run/last.safetensors && head -c $((size - header - 8)) /dev/zero | tr '\0' '\377'; } >nan.safetensors
run 1 eval nan.safetensors
says 'nan.safetensors'

# ---- resuming from a damaged checkpoint ----
resume_refused() { # CODE TEXT
    local damaged
    damaged=$(sums run)
    refuses "$1" "$2" train tiny.yaml --resume --set "train.phases=[{name: float, epochs: 1, lr: 0.1}, {name: qat, epochs: 1, lr: 0.01, quant: on}]"
    [ "$(sums run)" = "$damaged" ] || die "a refused --resume changed the run: $2"
    rm -r run && cp -r good run
}
head -c 9000 good/last.safetensors >run/last.safetensors && resume_refused 1 'run/last.safetensors: '
printf '' >run/last.safetensors && resume_refused 1 'run/last.safetensors: '
cp good/best.safetensors run/last.safetensors && resume_refused 1 'run/last.safetensors: tensor opt/'
cp good/model.int.safetensors run/last.safetensors && resume_refused 1 'run/last.safetensors: '
for key in step epoch phase; do
    edited last.safetensors "s/\"$key\":\"[0-9]/\"$key\":\"9/" && cp edited.safetensors run/last.safetensors
    resume_refused 1 'run/last.safetensors: '
done
edited last.safetensors 's/"metrics":"phase/"metrics":"phaze/' && cp edited.safetensors run/last.safetensors
resume_refused 1 'run/last.safetensors: '
refuses 2 'run/last.safetensors: was trained with another config' train tiny.yaml --resume --set train.batch=16

[ "$(sums run)" = "$before" ] || die "reading changed the run folder"
