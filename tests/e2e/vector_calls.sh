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

# the test itself: a pair that must be found, and one that must not
cat >"$WORK/mixed.c" <<'END'
#include <immintrin.h>
static __attribute__((noinline)) TARGET void part(float *out, const float *from, int n)
{
    for (int i = 0; i < n; i++)
        out[i] += from[i];
}
__attribute__((target("avx2"))) void whole(float *out, const float *x, int n)
{
    __m256 a = _mm256_loadu_ps(x), b = _mm256_loadu_ps(x + 8);
    float f[16];
    for (int i = 0; i < n; i++) {
        a = _mm256_add_ps(a, b), b = _mm256_mul_ps(b, a);
        _mm256_storeu_ps(f, a);
        part(out + i, f, n & 7);
    }
    _mm256_storeu_ps(out, b);
}
END
gcc -O3 -DTARGET= -c "$WORK/mixed.c" -o "$WORK/old.o"
gcc -O3 -DTARGET='__attribute__((target("avx2")))' -c "$WORK/mixed.c" -o "$WORK/new.o"
[ -z "$(mixed "$WORK/new.o")" ] || die "finds what is not there: $(mixed "$WORK/new.o")"
# whether gcc leaves the vzeroupper out is its own affair, but the kernels were found by this
echo "of a pair of functions: $(mixed "$WORK/old.o")"

seen=0
for object in "$objects"/*/*.o; do
    found=$(mixed "$object")
    [ -z "$found" ] || die "$object: $found"
    seen=$((seen + 1))
done
[ "$seen" -gt 20 ] || die "only $seen objects beside the program"
