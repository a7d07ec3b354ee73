#!/usr/bin/env bash
# kind.sh - the kind of processor this is, as a folder of results is named for it: microarchitecture, then the instruction sets that kernels here
# are written for. With an argument, also writes what it is exactly into FOLDER/cpu.txt.
#
# usage: experiments/speed/kind.sh [FOLDER]
set -euo pipefail
value() { sed -n "s/^$1[[:space:]]*: //p" /proc/cpuinfo | head -1; }
has() { grep -m1 '^flags' /proc/cpuinfo | grep -qw -- "$1"; }
family=$(value 'cpu family') model=$(value model)
case $(value vendor_id):$family in
AuthenticAMD:23) name=zen2 ;;
AuthenticAMD:25) [ "$model" -lt 16 ] || { [ "$model" -ge 32 ] && [ "$model" -lt 96 ]; } && name=zen3 || name=zen4 ;;
AuthenticAMD:26) name=zen5 ;;
GenuineIntel:6)
    case $model in
    85) name=skylake ;; 106 | 108) name=icelake ;; 143) name=sapphirerapids ;; 207) name=emeraldrapids ;; 173 | 174) name=graniterapids ;;
    *) name=intel-$model ;;
    esac
    ;;
*) name=$(uname -m) ;;
esac
kind=$name
has avx2 && ! has avx512bw && kind=$kind-avx2
has avx512bw && kind=$kind-avx512
has avx512_vnni && kind=$kind-vnni
has avx_vnni && kind=$kind-avxvnni
has avx512_bf16 && kind=$kind-bf16
has amx_int8 && kind=$kind-amx
echo "$kind"
[ $# = 0 ] || {
    mkdir -p "$1"
    {
        echo "$(value 'model name'), family $family, model $model, stepping $(value stepping), $(nproc) processors"
        echo "instructions: $(grep -m1 '^flags' /proc/cpuinfo | grep -oE '\b(fma|avx2|avx512[a-z0-9_]*|avx_vnni|amx_[a-z0-9]*)\b' | sort -u | tr '\n' ' ')"
        echo "$("${NIBBLE:-build/current/nibble}" --version | head -1); $(uname -sr)"
    } >"$1/cpu.txt"
}
