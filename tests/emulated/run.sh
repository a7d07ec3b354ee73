#!/usr/bin/env bash
# run.sh - runs the tests of kernels on processors this machine does not have, in the Bochs emulator, without an operating
# system: each program (a test, linked with machine.c) is booted once on each processor model. See README.md.
#
# usage: tests/emulated/run.sh PROGRAM...
#   BOCHS=bochs          the emulator; its BIOS images are where BXSHARE says, or where it was installed
#   MODELS="NAME ..."    processor models; else those of the list below that this emulator has
#   NB_TIMEOUT=600       seconds for one program on one model
# Exits with 0 when every program passed on every model, 77 when something needed is missing, 1 otherwise.
set -u
BOCHS=${BOCHS:-bochs}
wanted="corei7_skylake_x corei7_icelake_u arrow_lake sapphire_rapids" # AVX-512; VNNI, too; AVX-VNNI alone; AMX

skip()
{
    echo "check-emulated: skipped: $*; see tests/emulated/README.md"
    exit 77
}

for tool in "$BOCHS" grub-mkrescue xorriso mformat script; do
    command -v "$tool" >/dev/null || skip "$tool is not installed"
done
[ -d /usr/lib/grub/i386-pc ] || skip "grub-pc-bin is not installed"
available=$("$BOCHS" --help cpu 2>&1)
models=${MODELS:-}
if [ -z "$models" ]; then
    for model in $wanted; do
        if grep -qwx "$model" <<<"$available"; then
            models="$models $model"
        else
            echo "check-emulated: this Bochs has no model $model: what only that processor has is NOT checked"
        fi
    done
fi
[ -n "$models" ] || skip "$BOCHS has none of $wanted"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# A Bochs that was built with its debugger starts there, and Debian's has no display but windows and terminals.
debugger="" display=nogui
if "$BOCHS" --help 2>&1 | grep -q -- '-rc filename'; then
    printf 'c\nq\n' >"$scratch/commands"
    debugger="-rc '$scratch/commands'"
fi
case $(readlink -f "$(command -v "$BOCHS")") in /usr/bin/*) display=term ;; esac

# image PROGRAM: a disk that boots it
image()
{
    mkdir -p "$scratch/iso/boot/grub"
    strip -o "$scratch/iso/boot/test" "$1" || exit 1
    printf 'multiboot /boot/test\nboot\n' >"$scratch/iso/boot/grub/grub.cfg"
    grub-mkrescue -o "$scratch/disk.iso" "$scratch/iso" >"$scratch/grub.log" 2>&1 || { cat "$scratch/grub.log"; exit 1; }
}

# boot MODEL: leaves what the machine printed in $scratch/serial
boot()
{
    cat >"$scratch/bochsrc" <<EOF
cpu: model=$1, count=1, ips=200000000, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=512, host=512
display_library: $display
clock: sync=none
boot: cdrom
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$scratch/disk.iso, status=inserted
com1: enabled=1, mode=file, dev=$scratch/serial
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
log: $scratch/bochs.log
EOF
    : >"$scratch/serial"
    TERM=xterm timeout "${NB_TIMEOUT:-600}" script -qec "'$BOCHS' -q -f '$scratch/bochsrc' $debugger" /dev/null \
        >"$scratch/screen" 2>&1 </dev/null
}

passed=0 failed=0
for program in "$@"; do
    image "$program"
    for model in $models; do
        start=$(date +%s)
        boot "$model"
        if grep -q '^all passed' "$scratch/serial"; then
            ok=$(grep -c '^\[       OK \]' "$scratch/serial")
            passed=$((passed + ok))
            echo "  ok ${program##*/} on $model ($(sed -n 's/^processor: //p' "$scratch/serial")):" \
                "$ok passed ($(($(date +%s) - start)) s)"
            sed -n 's/^note: /     /p' "$scratch/serial"
        else
            failed=$((failed + 1))
            cat "$scratch/serial"
            tail -n 5 "$scratch/screen"
            echo "FAILED ${program##*/} on $model"
        fi
    done
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
