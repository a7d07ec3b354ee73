/* iconv_avxvnni.c - the dense integer convolution with AVX-VNNI, for processors that have vpdpbusd but no AVX-512: 32
 * products an instruction. 6 pixels x 16 channels are 12 of 16 registers. */
#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_isa.h"

#ifdef NB_WITH_AVXVNNI

#    include <immintrin.h>

#    define V                __m256i
#    define V_LANES          8
#    define V_ZERO           _mm256_setzero_si256()
#    define V_LOAD(p)        _mm256_loadu_si256((const void *)(p))
#    define V_STORE(p, v)    _mm256_storeu_si256((void *)(p), v)
#    define V_ADD(a, b)      _mm256_add_epi32(a, b)
#    define W                __m256i
#    define W_LOAD(p)        _mm256_loadu_si256((const void *)(p))
#    define X                __m256i
#    define X_SET(v)         _mm256_set1_epi32(v)
#    define V_DOT(acc, x, w) _mm256_dpbusd_avx_epi32(acc, x, w)
#    define TILE_BYTES       1
#    define TILE_ROWS        6
#    define TILE_PANELS      1
#    define TILE_TARGET      __attribute__((target("avx2,avxvnni")))
#    include "kernels/integer/iconv_tile.h"

static const nb_iconv_method bytes = {.name = "bytes", .form = NB_ICONV_BYTES, .dense = dense};
static const nb_iconv_method *const methods[] = {&bytes, NULL};

const nb_iconv_isa nb_iconv_avxvnni = {.methods = methods};

#endif
