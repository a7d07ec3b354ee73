/* qgrad_ymm.h - vectors of 256 bits for qgrad_tile.h and qgrad_winograd_tile.h: a panel is two registers. No guard, as
 * there. V_DOT, which the includer brings, works in place and in the order written: left to itself, gcc loads all rows
 * first, runs out of registers and keeps sums in memory, at half the speed. */
#include <immintrin.h>
#include <string.h>

#define V              __m256i
#define VF             __m256
#define V_WIDTH        8
#define V_ZERO()       _mm256_setzero_si256()
#define V_LOAD(p)      _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define V_STORE(p, v)  _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define V_SET1(pair)   _mm256_set1_epi32(pair)
#define V_ADD(a, b)    _mm256_add_epi32(a, b)
#define V_SUB(a, b)    _mm256_sub_epi32(a, b)
#define V_ADD16(a, b)  _mm256_add_epi16(a, b)
#define V_SUB16(a, b)  _mm256_sub_epi16(a, b)
#define V_FLOAT(a)     _mm256_cvtepi32_ps(a)
#define V_ROUND(a)     _mm256_cvtps_epi32(a)
#define VF_LOAD(p)     _mm256_loadu_ps(p)
#define VF_STORE(p, v) _mm256_storeu_ps(p, v)
#define VF_SET1(x)     _mm256_set1_ps(x)
#define VF_MUL(a, b)   _mm256_mul_ps(a, b)
#define VF_ADD(a, b)   _mm256_add_ps(a, b)
#define TILE_ROWS      6
#define TILE_MOST      6 /* tiles, or input channels, at a time in products of points: 12 registers of sums */

/* Values of 16 bits lane by lane, of a in the lower half of 32 bits and b in the upper; of b only 16 bits count. */
#define V_PAIR(a, b) _mm256_blend_epi16(a, _mm256_slli_epi32(b, 16), 0xAA)
/* Two places of 16 values each, one half of their channels: the first of all, the other of all ... */
#define V_LOAD_TWO(p, half)                                                                                            \
    _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const void *)((p) + 8 * (half)))),                 \
                            _mm_loadu_si128((const void *)((p) + NB_PANEL + 8 * (half))), 1)
/* ... and side by side. */
#define V_INTERLEAVE(a)                                                                                                \
    _mm256_shuffle_epi8(_mm256_permute4x64_epi64(a, 0xD8), _mm256_broadcastsi128_si256(_mm_setr_epi8(                  \
                                                               0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15)))
/* 16 values of 32 bits that fit 16. */
#define V_STORE_CODES(p, v)                                                                                            \
    V_STORE(p, _mm256_permute4x64_epi64(_mm256_packs_epi32((v)[0], (v)[1]), 0xD8)) /* packs within 128 bits */
