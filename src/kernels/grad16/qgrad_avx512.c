/* qgrad_avx512.c - 16-bit gradients with AVX-512: a panel is one register. */
#include "kernels/grad16/qgrad_isa.h"

#ifdef NB_WITH_AVX512
#    include <immintrin.h>
#    include <string.h>

/* V_DOT in place and in the order written: see qgrad_avx2.c. */
#    define V              __m512i
#    define VF             __m512
#    define V_WIDTH        16
#    define V_ZERO()       _mm512_setzero_si512()
#    define V_LOAD(p)      _mm512_loadu_si512((const void *)(p))
#    define V_SET1(pair)   _mm512_set1_epi32(pair)
#    define V_DOT(a, x, w) __asm__ volatile("vpaddd %1, %0, %0" : "+v"(a) : "v"(_mm512_madd_epi16(x, w)))
#    define V_FLOAT(a)     _mm512_cvtepi32_ps(a)
#    define VF_LOAD(p)     _mm512_loadu_ps(p)
#    define VF_STORE(p, v) _mm512_storeu_ps(p, v)
#    define VF_MUL(a, b)   _mm512_mul_ps(a, b)
#    define VF_ADD(a, b)   _mm512_add_ps(a, b)
#    define TILE_ROWS      8
#    define TILE_TARGET    __attribute__((target("avx512f,avx512bw")))
#    include "kernels/grad16/qgrad_tile.h"

const nb_qgrad_isa nb_qgrad_avx512 = {
    .rows = rows, .max = nb_qgrad_max__avx2, .codes = nb_qgrad_codes__avx2, .pairs = nb_qgrad_pairs__avx2};
#endif
