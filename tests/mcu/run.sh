#!/usr/bin/env bash
# run.sh - exported networks on emulated microcontrollers: every logit of IMAGES test images against the engine, and what they cost.
#
# usage: tests/mcu/run.sh MAKE_IMAGES [MODEL.int.safetensors...]      needs gcc-arm-none-eabi and qemu-system-arm
# Without models, configs/fmnist-cnn.yaml is trained for one epoch with W8A8, W4A4 and W2A8, tests/mcu/branches.yaml, and MLPerf Tiny's
# audio networks on a little that is made here (tests/e2e/npy_data.c) with W8A8, into runs/mcu-* (two minutes): what is compared here does not depend on how well they do. Flash is code and constants of the network alone
# (without the self-test), RAM its static arena, instructions one inference as qemu counts them. The stack is a few hundred bytes on top.
# RAM must be what the planner said, and within 5 % of the largest set of tensors alive at once; flash of the fmnist-cnn networks
# within 10 % of packed weights + 6 KiB.
set -euo pipefail
nibble=${NIBBLE:-build/current/nibble} images=${IMAGES:-100}
make_images=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
here=$(dirname "$0")
for tool in arm-none-eabi-gcc qemu-system-arm; do
    command -v $tool >/dev/null || {
        echo "run.sh: $tool is missing: apt-get install gcc-arm-none-eabi qemu-system-arm" >&2
        exit 2
    }
done

# NAME CONFIG OPTIONS...: adds a network, trained for an epoch unless it is there already
trained() {
    local out=runs/$1 config=$2
    shift 2
    models+=("$out/model.int.safetensors")
    [ -f "$out/model.int.safetensors" ] || "$nibble" train "$config" --force --quiet --set out="$out" "$@" >/dev/null
}

models=("$@")
if [ ${#models[@]} = 0 ]; then
    one='train.phases=[{name: qat, epochs: 1, lr: 0.05, schedule: cosine, quant: on}]'
    for bits in "8 8" "4 4" "2 8"; do
        trained "mcu-w${bits% *}a${bits#* }" configs/fmnist-cnn.yaml --set "quant.weights.bits=${bits% *}" --set "quant.activations.bits=${bits#* }" --set "$one"
    done
    trained mcu-branches "$here/branches.yaml"
    mkdir -p runs/mcu-keywords runs/mcu-sounds
    "${CC:-cc}" -std=c11 -O1 -Itests "$here/../e2e/npy_data.c" "$here/../ref/npy_writer.c" -o "$work/npy_data"
    "$work/npy_data" keywords runs/mcu-keywords 480 120
    "$work/npy_data" sounds runs/mcu-sounds 1200 120
    one='train.phases=[{name: qat, epochs: 1, lr: 0.002, quant: on}]'
    trained mcu-ds-cnn configs/ds-cnn-kws.yaml --set data.path=runs/mcu-keywords --set train.batch=32 --set "$one"
    trained mcu-autoencoder configs/autoencoder-ad.yaml --set data.path=runs/mcu-sounds --set train.batch=64 --set "$one"
fi

# Sum of the sizes of the network's own sections whose names match $2, in $1.
sections() {
    arm-none-eabi-size -A "$1" | awk -v want="$2" '$1 ~ want && $1 !~ /selftest|test_image|expected/ { n += $2 } END { print n + 0 }'
}

passed=0 failed=0
# One network on one target: builds it, runs it, prints a line.
measure() { # NETWORK OPT NAME CPU MACHINE QEMU_CPU HZ DEFINES
    local network=$1 opt=$2 name=$3 cpu=$4 machine=$5 qemu_cpu=$6 hz=$7 line differ count code flash ram
    local flags="-mthumb $cpu -DCLOCK_HZ=$hz ${8:-} -Wall -Wextra -Werror -ffreestanding"
    # shellcheck disable=SC2086
    arm-none-eabi-gcc -std=c99 "$opt" $flags -ffunction-sections -fdata-sections -c -o "$work/net.o" "$work/net.c"
    # shellcheck disable=SC2086
    arm-none-eabi-gcc -std=gnu99 -Os $flags -nostdlib -I"$work" -T "$here/cortex-m.ld" -fno-tree-loop-distribute-patterns -Wl,--gc-sections \
        -o "$work/all.elf" "$here/startup.c" "$here/semihosting.c" "$here/on_target.c" "$work/net.o" -lgcc
    line=$(timeout 600 qemu-system-arm -M "$machine" -cpu "$qemu_cpu" -nographic -icount shift=0 -semihosting-config enable=on,target=native \
        -kernel "$work/all.elf" 2>&1 </dev/null | tail -1) || true
    differ=$(sed -n 's/.*differ \([0-9]*\).*/\1/p' <<<"$line")
    count=$(sed -n 's/.*instructions \([0-9]*\).*/\1/p' <<<"$line")
    code=$(sections "$work/net.o" '^\\.text')
    flash=$((code + $(sections "$work/net.o" '^\\.rodata')))
    ram=$(sections "$work/net.o" '^\\.bss')
    printf '%-14s %-14s %-4s %8d %8d %8d %8d %8d %14s %8s\n' "$network" "$name" "$opt" "$code" "$flash" "$weights" "$ram" "$live" \
        "${count:-?}" "${differ:-$line}"
    if [ "${differ:-x}" = 0 ] && sizes_hold "$network" "$flash" "$ram"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

sizes_hold() { # NETWORK FLASH RAM
    local ok=0
    if [[ $1 = mcu-w* ]] && [ $(($2 * 10)) -gt $(((weights + 6144) * 11)) ]; then
        echo "  flash: $2 bytes are more than 10 % above $weights of weights + 6 KiB of code" && ok=1
    fi
    [ "$3" = "$planned" ] || { echo "  RAM: $3 bytes, but the planner said $planned" && ok=1; }
    [ $(($3 * 100)) -le $((live * 105)) ] || { echo "  RAM: $3 bytes are more than 5 % above the $live alive at once" && ok=1; }
    return $ok
}

printf '%-14s %-14s %-4s %8s %8s %8s %8s %8s %14s %8s\n' network target opt code flash weights RAM live instructions differ
for model in "${models[@]}"; do
    "$nibble" export "$model" --format c --prefix net -o "$work/net.c" >/dev/null
    n=$images
    [[ $model != *mcu-autoencoder* ]] || [ "$n" -le 40 ] || n=40 # each has 640 logits, and the flash is 512 KiB
    "$make_images" "$model" "$n" >"$work/images.h"
    network=$(basename "$(dirname "$model")")
    weights=$(sed -n 's/^static const u*int8_t net_w[0-9]*\[\([0-9]*\)\].*/\1/p' "$work/net.c" | awk '{ n += $1 } END { print n }')
    planned=$(sed -n 's/^#define NET_RAM_BYTES *\([0-9]*\).*/\1/p' "$work/net.h")
    live=$(sed -n 's/.*largest set of tensors alive at once is \([0-9]*\).*/\1/p' "$work/net.c")
    for opt in -Os -O3; do
        measure "$network" $opt M4,portable -mcpu=cortex-m4 mps2-an386 cortex-m4 25000000 -U__ARM_FEATURE_SIMD32
        measure "$network" $opt M4,SMLAD -mcpu=cortex-m4 mps2-an386 cortex-m4 25000000
        measure "$network" $opt M55,Helium -mcpu=cortex-m55 mps3-an547 cortex-m55 32000000 -mfloat-abi=hard
    done
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
