#!/bin/sh
# The engine needs no C library, no compiler run time and no floating point: it is compiled for several machines with floating point switched
# off, linked against nothing but a main that brings memcpy and memset, its undefined symbols and instructions are looked at, and where this
# machine can run the result, it is run. Needs CC (default cc); clang, when present, adds machines that have no hardware for floats at all.
set -eu
cd "$(dirname "$0")/../.."
CC=${CC:-cc}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
flags="-std=c11 -O2 -Wall -Wextra -Wno-unused-command-line-argument -ffreestanding -fno-builtin -fno-stack-protector -fno-pie -DNB_FREESTANDING -Iinclude -Isrc"
sources=$(echo src/engine/*.c src/kernels/integer/*.c) # as in the Makefile

fail()
{
    echo "engine_freestanding: $*" >&2
    exit 1
}

# build NAME COMPILER FLAGS...: objects in $out/NAME
build()
{
    name=$1 compiler=$2
    shift 2
    mkdir -p "$out/$name"
    werror=$(tests/werror.sh "$compiler")
    for f in $sources; do
        # shellcheck disable=SC2086
        $compiler $flags $werror "$@" -c "$f" -o "$out/$name/$(basename "$f" .c).o" || fail "$name: $f does not compile"
    done
}

# Symbols that the objects use and none of them defines.
undefined()
{
    nm "$out/$1"/*.o | awk 'NF == 2 && $1 == "U" { u[$2] } NF == 3 { d[$3] } END { for (s in u) if (!(s in d)) print s }' | sort
}

only_memcpy_and_memset()
{
    for symbol in $(undefined "$1"); do
        case $symbol in
        memcpy | memset) ;;
        __aeabi_memcpy* | __aeabi_memset* | __aeabi_memclr*) ;; # the same two, as the Arm run-time ABI spells them
        *) fail "$1: needs $symbol" ;;
        esac
    done
}

# Links with nothing but our main (no libc, no libgcc) and runs it if this machine can.
links_and_runs()
{
    name=$1 compiler=$2
    shift 2
    # shellcheck disable=SC2086
    $compiler $flags "$@" -nostdlib -static -no-pie tests/e2e/freestanding_main.c "$out/$name"/*.o -o "$out/$name.exe" ||
        fail "$name: does not link on its own"
    code=0
    "$out/$name.exe" 2>/dev/null || code=$?
    case $code in
    0) echo "engine_freestanding: $name: links and runs" ;;
    126) echo "engine_freestanding: $name: links (this machine cannot run it)" ;;
    *) fail "$name: exit code $code" ;;
    esac
}

supports()
{
    echo 'int x;' | "$@" -x c -c - -o "$out/nothing.o" 2>/dev/null
}

if supports "$CC" -mgeneral-regs-only; then # x86 and aarch64: any float in the code is then a compile error
    build no-float "$CC" -mgeneral-regs-only
    only_memcpy_and_memset no-float
    links_and_runs no-float "$CC" -mgeneral-regs-only
fi

build default "$CC"
only_memcpy_and_memset default
links_and_runs default "$CC"

if [ "$(uname -m)" = x86_64 ]; then
    if supports "$CC" -m32 -mgeneral-regs-only; then
        build ia32 "$CC" -m32 -mgeneral-regs-only
        only_memcpy_and_memset ia32
        links_and_runs ia32 "$CC" -m32 -mgeneral-regs-only
    fi
    build avx2 "$CC" -mavx2
    for machine in sapphirerapids cascadelake; do # every variant; what an older compiler has of them
        supports "$CC" "-march=$machine" || continue
        build "$machine" "$CC" "-march=$machine"
        only_memcpy_and_memset "$machine"
        break
    done
    only_memcpy_and_memset avx2
    # Scalar and packed float arithmetic, conversions, comparisons; moves and logic in vector registers are integers' too.
    float='v?(add|sub|mul|div|sqrt|rcp|rsqrt|min|max|round|cmp|u?comi|fn?m(add|sub)(132|213|231))[sp][sd]|v?cvt[a-z]*(ss|sd|ps|pd)[a-z0-9]*|f(ld|add|mul|sub|div|st)[a-z]*'
    for o in "$out"/default/*.o "$out"/avx2/*.o; do
        if objdump -d --no-show-raw-insn "$o" | grep -E "^ +[0-9a-f]+:[[:space:]]+($float) "; then
            fail "$o: floating point instructions"
        fi
    done
    if grep -q ' avx2 ' /proc/cpuinfo 2>/dev/null; then
        links_and_runs avx2 "$CC" -mavx2
    fi
fi

if command -v clang >/dev/null 2>&1; then # machines without floats: each would be a call to the compiler's run time
    for target in armv7m-none-eabi:-mfloat-abi=soft riscv32-unknown-elf:-march=rv32im aarch64-none-elf:-mgeneral-regs-only; do
        name=${target%%:*} option=${target#*:}
        supports clang "--target=$name" "$option" || continue
        build "$name" clang "--target=$name" "$option"
        only_memcpy_and_memset "$name"
        echo "engine_freestanding: $name: compiles, needs nothing"
    done
fi
