#!/usr/bin/env bash
# bad_data.sh - damaged, wrong and missing image files: exit code 1 (2 where the config is to blame), one line that names the file
# and what is wrong with it, and no trace of a run folder.
# shellcheck disable=SC2015,SC2016 # die does not return; backquotes in messages are meant
set -eu
. tests/e2e/common.bash
cd "$WORK"
unset NB_DATA || true

config() { # DATA-SECTION
    cat <<END
out: never
data: $1
model: [input, {linear: {out: 4}}]
train: {batch: 4, phases: [{epochs: 1, lr: 0.1}]}
END
}
wrong() { # CODE TEXT [ARGS...]: training on cfg.yaml
    local want=$1 text=$2
    shift 2
    refuses "$want" "$text" train cfg.yaml "$@"
    [ ! -e never ] || die "a damaged data set must not leave a folder: $text"
}
fine() { # [ARGS...]: training on cfg.yaml works, so that what is damaged next is what is refused
    run 0 train cfg.yaml --quiet --set out=fine "$@"
    rm -rf fine
}
be32() { # N: four bytes, most significant first
    # shellcheck disable=SC2059
    printf "$(printf '\\%03o\\%03o\\%03o\\%03o' $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)))"
}
patch() { # FILE OFFSET PRINTF-BYTES: overwrites bytes in place
    # shellcheck disable=SC2059
    printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

# ---- IDX ----
noise() { # BYTES: the same ones every time, none above 255
    LC_ALL=C awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "%c", 33 + (i * i * 7 + i * 13) % 90 }'
}
images() { # COUNT H W
    printf '\0\0\010\003'
    be32 "$1" && be32 "$2" && be32 "$3" && noise $(($1 * $2 * $3))
}
labels() { # COUNT
    printf '\0\0\010\001'
    be32 "$1"
    for ((i = 0; i < $1; i++)); do
        # shellcheck disable=SC2059
        printf "\\$((i % 4))"
    done
}
fresh() {
    rm -rf set
    mkdir set
    images 12 6 5 >set/train-images-idx3-ubyte
    labels 12 >set/train-labels-idx1-ubyte
    images 8 6 5 | gzip -n >set/t10k-images-idx3-ubyte.gz
    labels 8 | gzip -n >set/t10k-labels-idx1-ubyte.gz
}
config '{name: idx, path: set, classes: 4}' >cfg.yaml
fresh && fine
img=set/train-images-idx3-ubyte lab=set/train-labels-idx1-ubyte
gz=set/t10k-images-idx3-ubyte.gz

size=$(wc -c <$gz)
for cut in 2 9 11 $((size / 2)) $((size - 9)) $((size - 8)) $((size - 1)); do
    fresh && head -c "$cut" $gz >piece && mv piece $gz
    wrong 1 "$gz: truncated gzip stream"
done
fresh && patch $gz $((size - 6)) '\252' && wrong 1 "$gz: damaged gzip stream" # its CRC
fresh && patch $gz 12 '\377\377\377\377' && wrong 1 "$gz: damaged gzip stream"
fresh && patch $gz 2 '\011' && wrong 1 "$gz: damaged gzip stream" # a method nobody knows
fresh && printf 'more' >>$gz && wrong 1 "$gz: 4 bytes that are not gzip follow"
fresh && head -c 20 /dev/zero | gzip >$gz && wrong 1 "$gz: magic number 0x00000000: must be 0x00000803"
fresh && printf '' >$img && wrong 1 "$img: 0 bytes are too few"
fresh && printf '\0\0\010' >$img && wrong 1 "$img: 3 bytes are too few"
fresh && printf '\0\0\010\003\0\0' >$img && wrong 1 "$img: 6 bytes are too few"
fresh && cp $lab $img && wrong 1 "$img: an array [12]: must be [n, numbers]"
fresh && cp $img $lab && wrong 1 "$lab: labels are [12, 6, 5]: must be one number a sample"
fresh && patch $img 2 '\007' && wrong 1 "$img: magic number 0x00000703: must be 0x00000803 (images"
fresh && patch $img 2 '\015' && wrong 1 "$img: header promises 12 entries of 120 bytes, but 360 bytes follow"
fresh && patch $img 7 '\015' && wrong 1 "$img: header promises 13 entries of 30 bytes, but 360 bytes follow"
fresh && patch $img 7 '\013' && wrong 1 "$img: header promises 11 entries"
fresh && patch $img 4 '\0\0\0\0' && wrong 1 "$img: header: size 1 of 3 is 0"
fresh && patch $img 4 '\377\377\377\377' && wrong 1 "$img: header: size 1 of 3 is 4294967295"
fresh && patch $img 4 '\177\377\377\377' && wrong 1 "$img: header promises 2147483647 entries"
fresh && patch $img 8 '\0\0\0\0' && wrong 1 "$img: header: size 2 of 3 is 0"
fresh && patch $img 8 '\177\377\377\377' && wrong 1 "$img: header promises 12 entries of 10737418235 bytes"
fresh && head -c 375 $img >piece && mv piece $img && wrong 1 "$img: header promises 12 entries"
fresh && printf 'x' >>$img && wrong 1 "$img: header promises 12 entries"
fresh && labels 11 >$lab && wrong 1 "$lab: 11 labels, but $img holds 12 samples"
fresh && patch $lab 13 '\004' && wrong 1 "$lab: label 4 of entry 5: must be 0..3"
fresh && patch $lab 19 '\377' && wrong 1 "$lab: label 255 of entry 11: must be 0..3"
fresh && images 8 5 6 | gzip >$gz && wrong 1 "$img: samples of 6x5x1, but the test samples have 5x6x1"
fresh && rm $lab && wrong 1 "$lab: no such file"
fresh && rm $img && mkdir $img && wrong 1 "$img: is a folder"
fresh && rm $gz && wrong 1 "${gz%.gz}: no such file"
rm -rf set && wrong 1 "$img: no such file"
config '{name: mnist, path: set}' >cfg.yaml
wrong 1 'set: holds neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz'
mkdir set && wrong 1 'set: holds neither train-images-idx3-ubyte'
printf 'x' >set/train-images-idx3-ubyte && wrong 1 "$img: 1 bytes are too few"
config '{name: cifar100}' >cfg.yaml
NB_DATA=$WORK/nowhere run 1 train cfg.yaml && says 'datasets/get.sh cifar100'

# ---- CIFAR-10 ----
record() { # LABEL
    # shellcheck disable=SC2059
    printf "\\$1"
    head -c 3072 /dev/zero | tr '\0' 'x'
}
fresh() {
    rm -rf set
    mkdir set
    for i in 1 2 3 4 5; do
        { record 0 && record 3; } >set/data_batch_$i.bin
    done
    { record 1 && record 2; } | gzip >set/test_batch.bin.gz
    seq -f 'class%g' 10 >set/batches.meta.txt
}
config '{name: cifar10, path: set}' | sed 's/out: 4/out: 10/' >cfg.yaml
fresh && fine
bin=set/data_batch_3.bin
fresh && printf '' >$bin && wrong 1 "$bin: 0 bytes: must be a multiple of 3073"
fresh && head -c 6145 $bin >piece && mv piece $bin && wrong 1 "$bin: 6145 bytes: must be a multiple of 3073"
fresh && patch $bin 3073 '\012' && wrong 1 "$bin: label 10 of record 1: must be 0..9"
fresh && rm $bin && wrong 1 "$bin: no such file"
fresh && head -c 30 set/test_batch.bin.gz >piece && mv piece set/test_batch.bin.gz && wrong 1 'set/test_batch.bin.gz: truncated gzip stream'
fresh && seq -f 'class%g' 9 >set/batches.meta.txt && wrong 1 'set/batches.meta.txt: 9 class names: must be 10'
fresh && rm set/batches.meta.txt && wrong 1 'set/batches.meta.txt: no such file'

# ---- folders of PNG files ----
crc() { # of standard input, as four bytes: gzip writes it too, least significant first
    local b
    read -r -a b < <(gzip -c | tail -c 8 | head -c 4 | od -An -tu1)
    be32 $((b[3] << 24 | b[2] << 16 | b[1] << 8 | b[0]))
}
chunk() { # TYPE: with standard input in it
    { printf '%s' "$1" && cat; } >"$WORK/chunk"
    be32 $(($(wc -c <"$WORK/chunk") - 4))
    cat "$WORK/chunk"
    crc <"$WORK/chunk"
}
png() { # W H COLOUR-TYPE: all zeros; COLOUR-TYPE 0 grey, 2 RGB, 4 grey with alpha. One stored deflate block; of zeros, Adler-32 is easy.
    local row=$((1 + $1 * ($3 == 2 ? 3 : $3 == 4 ? 2 : 1))) n
    n=$((row * $2))
    printf '\211PNG\r\n\032\n'
    # shellcheck disable=SC2059
    { be32 "$1" && be32 "$2" && printf "\\010\\$3\\0\\0\\0"; } | chunk IHDR
    # shellcheck disable=SC2059
    {
        printf '\170\001\001'
        printf "$(printf '\\%03o' $((n & 255)) $((n >> 8)) $((~n & 255)) $((~n >> 8 & 255)))"
        head -c $n /dev/zero
        be32 $((n << 16 | 1))
    } | chunk IDAT
    printf '' | chunk IEND
}
png 6 5 0 >grey.png
png 6 5 2 >colour.png
png 7 5 0 >wide.png
png 6 5 4 >clear.png # nothing but transparent pixels: white, or what the config says
fresh() {
    rm -rf set
    for class in a b c d; do
        mkdir -p set/train/$class set/test/$class
        for i in 1 2; do cp grey.png set/train/$class/$i.png; done
        cp grey.png set/test/$class/1.png
    done
}
config '{name: pngdir, path: set}' >cfg.yaml
fresh && fine
x=set/train/b/2.png
fresh && printf '' >$x && wrong 1 "$x: not a readable PNG"
fresh && printf 'no image' >$x && wrong 1 "$x: not a readable PNG"
fresh && gzip -c grey.png >$x && wrong 1 "$x: not a readable PNG"
for cut in 7 20 33 45 60 80; do
    fresh && head -c $cut grey.png >$x && wrong 1 "$x: "
done
fresh && patch $x 50 '\377' && wrong 1 "$x: damaged PNG"      # pixels that their checksum contradicts
fresh && patch $x 30 '\377' && wrong 1 "$x: not a readable PNG" # the header's checksum
fresh && patch $x 24 '\377' && wrong 1 "$x: not a readable PNG" # 255 bits a pixel
claim() { # W H: grey.png with a header that promises another size
    head -c 8 grey.png
    { be32 "$1" && be32 "$2" && printf '\010\0\0\0\0'; } | chunk IHDR
    tail -c +34 grey.png
}
fresh && claim 1000000 1000000 >$x && wrong 1 "$x: 1000000 pixels high, 1000000 wide: at most"
fresh && claim 16000 4000 >$x && wrong 1 "$x: damaged: the header promises 4000x16000 pixels"
fresh && cp wide.png $x && wrong 1 "$x: 5 pixels high, 7 wide, but set/train/a/1.png has 5x6: make them one size, or set data.height"
fine --set data.height=5 --set data.width=6
fresh && cp colour.png $x && wrong 1 "$x: a colour image, but set/train/a/1.png is not: set data.channels"
fresh && cp wide.png set/test/d/1.png && wrong 1 'set/test/d/1.png: 5 pixels high, 7 wide'
fresh && rm set/train/c/* && wrong 1 'set/train/c: holds no .png files'
fresh && rm set/train/c/* && touch set/train/c/notes.txt && wrong 1 'set/train/c: holds no .png files, only others'
fresh && mkdir set/test/e && cp grey.png set/test/e && wrong 1 'set/test/e: no class of this name among the training images'
fresh && rm -r set/test && wrong 1 'set/test: '
fresh && rm -r set/test && mkdir set/test && wrong 1 'set/test: no images'
fresh && rm -r set/train && mkdir set/train && wrong 1 'set/train: holds no folders: there must be one per class'
fresh && mv set/train one && wrong 2 'set: has no train folder'
rm -rf set one && mkdir set && wrong 1 'set: holds no folders'
rmdir set && wrong 1 'set: '
printf 'x' >./set && wrong 1 'set: '
rm set && fresh && mv set/train other && rm -r set && mv other set
wrong 2 'set: has no train folder: make train/<class>/ and test/<class>/, or set data.test_fraction'
wrong 1 'set: no images for the test split' --set data.test_fraction=0.3
fresh
wrong 2 'set has a train folder already' --set data.test_fraction=0.3
wrong 2 'data.height: 5 with data.width: 0: set both' --set data.height=5
wrong 2 'data.channels: 2: must be' --set data.channels=2
wrong 2 'data.path: missing' --set data.path=
if [ "$(id -u)" != 0 ]; then
    chmod 0 $x && wrong 1 "$x: cannot open: Permission denied" && chmod 600 $x
    chmod 0 set/train/a && wrong 1 'set/train/a' && chmod 700 set/train/a
fi

# ---- class names ----
rename() { # FROM TO: a class, in both splits
    mv "set/train/$1" "set/train/$2"
    mv "set/test/$1" "set/test/$2"
}
fresh && rename d $'d\xff' && wrong 1 'data: the name of class 3, "d\xff", is not UTF-8 and could not be stored'
fresh && rename d $'d\n\\n'
run 0 train cfg.yaml --quiet --set out=odd
run 0 eval odd/last.safetensors
run 0 run odd/last.safetensors grey.png
says 'd?\n'
run 0 run odd/last.safetensors grey.png --json
says '"d\n\\n"'

# ---- a run is not resumed with other data ----
fresh
run 0 train cfg.yaml --quiet --set out=kept
before=$(sums kept)
other_data() { # TEXT
    refuses 2 "$1" train cfg.yaml --resume --set out=kept
    [ "$(sums kept)" = "$before" ] || die "a resume that was refused changed the run folder"
}
rename d e && other_data 'kept/last.safetensors: the data are not those it was trained on (class 3 is "e" instead of "d"): put them back, or start'
fresh && rm $x && other_data '(7 training images instead of 8)'
fresh && cp clear.png $x && other_data '(other pixels in the training images, or another order of them)'
fresh && cp clear.png set/test/b/1.png && other_data '(other pixels in the test images, or another order of them)'
fresh && run 0 train cfg.yaml --quiet --resume --set out=kept

# ---- a network without its data ----
refuses 1 'nowhere: No such file or directory' info cfg.yaml --set data.path=nowhere
run 0 info cfg.yaml --set data.path=nowhere --set data.height=5 --set data.width=6 --set data.channels=1 --set data.classes=4
says '5x6x1 inputs, 4 classes'
says 'without the data, shape and classes are the config'
refuses 2 'linear1 gives 3 values per image, the data have 4 classes' info cfg.yaml --set data.path=nowhere --set data.height=5 --set data.width=6 \
    --set data.channels=1 --set data.classes=4 --set model.1.linear.out=3

# ---- a trained network meets damaged images ----
run 0 train cfg.yaml --quiet --set out=run
before=$(sums run)
fresh && cp wide.png set/test/d/1.png
refuses 1 'set/test/d/1.png: 5 pixels high, 7 wide' eval run/last.safetensors
refuses 1 'nowhere: No such file or directory' eval run/last.safetensors --set data.path=nowhere
refuses 1 'wide.png: 5 pixels high, 7 wide: must be 5 high, 6 wide; --resize scales it' run run/last.safetensors wide.png
run 0 run run/last.safetensors wide.png --resize
run 0 run run/last.safetensors colour.png
run 0 run run/last.safetensors grey.png && tail -n +2 out >black
run 0 run run/last.safetensors clear.png --set data.background=0 && tail -n +2 out | cmp - black
run 0 run run/last.safetensors clear.png && ! tail -n +2 out | cmp -s - black || die 'what is transparent must be white'
head -c 60 grey.png >cut.png
refuses 1 'cut.png: ' run run/last.safetensors cut.png
refuses 1 'set: is a folder' run run/last.safetensors set
refuses 1 'nowhere.png: ' run run/last.safetensors nowhere.png
refuses 1 'run/last.safetensors: not a readable PNG' run run/last.safetensors run/last.safetensors
[ "$(sums run)" = "$before" ] || die "a command that failed changed the run folder"
