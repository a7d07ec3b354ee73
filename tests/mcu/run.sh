#!/usr/bin/env bash
# run.sh - exported networks on emulated microcontrollers: every logit of IMAGES test images against the engine, and what they cost.
#
# usage: tests/mcu/run.sh MAKE_IMAGES [MODEL.int.safetensors...]      needs gcc-arm-none-eabi and qemu-system-arm
# Without models, configs/fmnist-cnn.yaml is trained for one epoch with W8A8 and W4A4 into runs/mcu-* (a minute): what is compared here
# does not depend on how well they do. Flash is code and constants of the network alone (-Os, without the self-test), RAM its static
# arena, instructions one inference as qemu counts them. The stack is a few hundred bytes on top.
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

models=("$@")
if [ ${#models[@]} = 0 ]; then
    for bits in 8 4; do
        out=runs/mcu-w${bits}a$bits
        models+=("$out/model.int.safetensors")
        [ -f "$out/model.int.safetensors" ] || "$nibble" train configs/fmnist-cnn.yaml --force --quiet --set out="$out" --set quant.weights.bits=$bits \
            --set quant.activations.bits=$bits --set 'train.phases=[{name: qat, epochs: 1, lr: 0.05, schedule: cosine, quant: on}]' >/dev/null
    done
fi

# Sum of the sizes of the network's own sections whose names match $2, in $1.
sections() {
    arm-none-eabi-size -A "$1" | awk -v want="$2" '$1 ~ want && $1 !~ /selftest|test_image|expected/ { n += $2 } END { print n + 0 }'
}

passed=0 failed=0
# One network on one target: builds it, runs it, prints a line.
measure() { # MODEL OPT NAME CPU MACHINE QEMU_CPU HZ DEFINES
    local model=$1 opt=$2 name=$3 cpu=$4 machine=$5 qemu_cpu=$6 hz=$7 line differ count code flash
    local flags="-mthumb $cpu -DCLOCK_HZ=$hz ${8:-} -Wall -Wextra -Werror -ffreestanding"
    # shellcheck disable=SC2086
    arm-none-eabi-gcc -std=c99 "$opt" $flags -ffunction-sections -fdata-sections -c -o "$work/net.o" "$work/net.c"
    # shellcheck disable=SC2086
    arm-none-eabi-gcc -std=gnu99 -Os $flags -nostdlib -I"$work" -T "$here/cortex-m.ld" -fno-tree-loop-distribute-patterns -Wl,--gc-sections \
        -o "$work/all.elf" "$here/startup.c" "$here/on_target.c" "$work/net.o" -lgcc
    line=$(timeout 600 qemu-system-arm -M "$machine" -cpu "$qemu_cpu" -nographic -icount shift=0 -semihosting-config enable=on,target=native \
        -kernel "$work/all.elf" 2>&1 </dev/null | tail -1) || true
    differ=$(sed -n 's/.*differ \([0-9]*\).*/\1/p' <<<"$line")
    count=$(sed -n 's/.*instructions \([0-9]*\).*/\1/p' <<<"$line")
    code=$(sections "$work/net.o" '^\\.text')
    flash=$((code + $(sections "$work/net.o" '^\\.rodata')))
    printf '%-14s %-14s %-4s %8d %8d %8d %14s %8s\n' "$(basename "$(dirname "$model")")" "$name" "$opt" "$code" "$flash" \
        "$(sections "$work/net.o" '^\\.bss')" "${count:-?}" "${differ:-$line}"
    if [ "${differ:-x}" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

printf '%-14s %-14s %-4s %8s %8s %8s %14s %8s\n' network target opt code flash RAM instructions differ
for model in "${models[@]}"; do
    "$nibble" export "$model" --format c --prefix net -o "$work/net.c" >/dev/null
    "$make_images" "$model" "$images" >"$work/images.h"
    for opt in -Os -O3; do
        measure "$model" $opt M4,portable -mcpu=cortex-m4 mps2-an386 cortex-m4 25000000 -U__ARM_FEATURE_SIMD32
        measure "$model" $opt M4,SMLAD -mcpu=cortex-m4 mps2-an386 cortex-m4 25000000
        measure "$model" $opt M55,Helium -mcpu=cortex-m55 mps3-an547 cortex-m55 32000000 -mfloat-abi=hard
    done
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
