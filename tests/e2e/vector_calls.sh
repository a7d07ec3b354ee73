#!/usr/bin/env bash
# vector_calls.sh - no function of vectors calls one of its own file that was compiled for any processor: old SSE instructions between AVX ones
# wait for the upper halves of every register on Intel's processors (seen: a linear layer's weight gradient 16 times as slow), and gcc, which
# knows what a local function uses, leaves the vzeroupper out. Looks at the kernels' objects beside the program.
set -eu
. tests/e2e/common.bash
command -v objdump >/dev/null || exit 77
case $(uname -m) in x86_64) ;; *) exit 77 ;; esac
objects=$(dirname "$(readlink -f "$NIBBLE")")/src/kernels
[ -d "$objects" ] || exit 77

# mixed OBJECT: "caller calls callee" of each such call, and functions that mix by themselves
mixed() {
    objdump -d --no-show-raw-insn "$1" | awk '
        /^[0-9a-f]+ <.*>:$/ { f = $2; gsub(/[<>:]/, "", f); next }
        !/^ +[0-9a-f]+:/ { next }
        { op = $2 }
        /%[yz]mm/ { wide[f] = 1 }
        /%xmm/ && op !~ /^(v|prefetch|nop)/ { old[f] = 1 }
        op == "vzeroupper" { clean[f] = NR }
        (op == "call" || op == "jmp") && match($0, /<[A-Za-z_0-9.]+>/) {
            to = substr($0, RSTART + 1, RLENGTH - 2)
            if (to != f && !(clean[f] && NR - clean[f] < 12)) { from[++n] = f; goes[n] = to }
        }
        END {
            for (f in wide) if (old[f]) print f " mixes both"
            for (i = 1; i <= n; i++) if (wide[from[i]] && old[goes[i]]) print from[i] " calls " goes[i]
        }' | sort -u
}

# the test itself: what must be found, in the assembler's words, as whether gcc leaves a vzeroupper out is its own affair; and what must not
assemble() { # NAME LINE...: an object whose function `whole` has these lines between its vectors and its end
    local name=$1
    shift
    { printf '.text\npart: addps %%xmm1, %%xmm0\nret\nvpart: vaddps %%xmm1, %%xmm0, %%xmm0\nret\nwhole: vaddps %%ymm1, %%ymm0, %%ymm0\n'
      printf '%s\n' "$@" ret; } >"$WORK/$name.s"
    gcc -c "$WORK/$name.s" -o "$WORK/$name.o"
}
finds() { # NAME TEXT
    [ "$(mixed "$WORK/$1.o")" = "$2" ] || die "$1: finds \"$(mixed "$WORK/$1.o")\" where \"$2\" is right"
}
assemble called 'call part' && finds called 'whole calls part'
assemble clean 'vzeroupper' 'call part' && finds clean ''
assemble vectors 'call vpart' && finds vectors ''
assemble inside 'addps %xmm1, %xmm0' && finds inside 'whole mixes both'

seen=0
for object in "$objects"/*/*.o; do
    found=$(mixed "$object")
    [ -z "$found" ] || die "$object: $found"
    seen=$((seen + 1))
done
[ "$seen" -gt 20 ] || die "only $seen objects beside the program"
