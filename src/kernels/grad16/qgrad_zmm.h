/* qgrad_zmm.h - vectors of 512 bits for qgrad_tile.h and qgrad_winograd_tile.h: a panel is one register. No guard, as
 * there. V_DOT, which the includer brings, works in place and in the order written: see qgrad_ymm.h. */
#include <immintrin.h>
#include <string.h>

#define V              __m512i
#define VF             __m512
#define V_WIDTH        16
#define V_ZERO()       _mm512_setzero_si512()
#define V_LOAD(p)      _mm512_loadu_si512((const void *)(p))
#define V_STORE(p, v)  _mm512_storeu_si512((void *)(p), v)
#define V_SET1(pair)   _mm512_set1_epi32(pair)
#define V_ADD(a, b)    _mm512_add_epi32(a, b)
#define V_SUB(a, b)    _mm512_sub_epi32(a, b)
#define V_ADD16(a, b)  _mm512_add_epi16(a, b)
#define V_SUB16(a, b)  _mm512_sub_epi16(a, b)
#define V_FLOAT(a)     _mm512_cvtepi32_ps(a)
#define VF_LOAD(p)     _mm512_loadu_ps(p)
#define VF_STORE(p, v) _mm512_storeu_ps(p, v)
#define VF_SET1(x)     _mm512_set1_ps(x)
#define VF_MUL(a, b)   _mm512_mul_ps(a, b)
#define VF_ADD(a, b)   _mm512_add_ps(a, b)
#define TILE_ROWS      8
#define TILE_MOST      16 /* tiles, or input channels, at a time in products of points */

/* Half to even for |a| < 2^22, as in the scalar variant: from 2^23 on floats are whole, so the addition of 1.5 * 2^23
 * rounds; it need not wait for the multiplier as a conversion does. */
#define V_ROUND(a)                                                                                                     \
    _mm512_sub_epi32(_mm512_castps_si512(_mm512_add_ps(a, _mm512_set1_ps(12582912.0f))), _mm512_set1_epi32(0x4B400000))

/* As in qgrad_ymm.h; here two places of 16 values are one register. */
#define V_PAIR(a, b)        _mm512_mask_blend_epi16(0xAAAAAAAA, a, _mm512_slli_epi32(b, 16))
#define V_LOAD_TWO(p, half) V_LOAD(p)
#define V_INTERLEAVE(a)                                                                                                \
    _mm512_permutexvar_epi16(_mm512_set_epi32(0x1f000f, 0x1e000e, 0x1d000d, 0x1c000c, 0x1b000b, 0x1a000a, 0x190009,    \
                                              0x180008, 0x170007, 0x160006, 0x150005, 0x140004, 0x130003, 0x120002,    \
                                              0x110001, 0x100000),                                                     \
                             a)
#define V_STORE_CODES(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), _mm512_cvtepi32_epi16((v)[0]))
