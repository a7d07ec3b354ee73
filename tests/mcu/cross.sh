#!/usr/bin/env bash
# cross.sh - a "compiler" for NB_TEST_CC of tests/prop/test_exported_c: what it makes runs on an emulated microcontroller.
#
# usage: cross.sh m4|m4-portable|m55 OPTION... -o OUT main.c       (OUT becomes a script; needs gcc-arm-none-eabi and qemu-system-arm)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
case $1 in
    m4) target="-mcpu=cortex-m4" machine=mps2-an386 cpu=cortex-m4 ;;
    m4-portable) target="-mcpu=cortex-m4 -U__ARM_FEATURE_SIMD32" machine=mps2-an386 cpu=cortex-m4 ;;
    m55) target="-mcpu=cortex-m55 -mfloat-abi=hard" machine=mps3-an547 cpu=cortex-m55 ;;
    *) echo "cross.sh: $1: must be one of m4, m4-portable, m55" >&2 && exit 2 ;;
esac
shift
options=()
while [ "$1" != -o ]; do
    options+=("$1")
    shift
done
out=$2 source=$3
# shellcheck disable=SC2086
arm-none-eabi-gcc -std=gnu99 -mthumb $target "${options[@]}" -Wall -Wextra -Werror -ffreestanding -nostdlib -fno-tree-loop-distribute-patterns -Wl,--gc-sections -ffunction-sections -T "$here/cortex-m.ld" -o "$out.elf" \
    "$here/startup.c" "$here/semihosting.c" "$source" -lgcc
cat >"$out" <<END
#!/bin/sh
exec timeout 300 qemu-system-arm -M $machine -cpu $cpu -nographic -semihosting-config enable=on,target=native -kernel "$PWD/$out.elf" </dev/null
END
chmod +x "$out"
