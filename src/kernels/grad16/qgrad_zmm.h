/* qgrad_zmm.h - vectors of 512 bits for qgrad_tile.h: a panel is one register. No guard, as there. V_DOT, which the includer
 * brings, works in place and in the order written: see qgrad_avx2.c. */
#include <immintrin.h>
#include <string.h>

#define V              __m512i
#define VF             __m512
#define V_WIDTH        16
#define V_ZERO()       _mm512_setzero_si512()
#define V_LOAD(p)      _mm512_loadu_si512((const void *)(p))
#define V_SET1(pair)   _mm512_set1_epi32(pair)
#define V_FLOAT(a)     _mm512_cvtepi32_ps(a)
#define VF_LOAD(p)     _mm512_loadu_ps(p)
#define VF_STORE(p, v) _mm512_storeu_ps(p, v)
#define VF_MUL(a, b)   _mm512_mul_ps(a, b)
#define VF_ADD(a, b)   _mm512_add_ps(a, b)
#define TILE_ROWS      8
