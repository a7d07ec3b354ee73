/* iconv_vnni.c - the dense integer convolution with AVX-512 VNNI: vpdpbusd multiplies 16 channels by 4 bytes each and
 * adds to 32-bit sums without saturating, 64 products an instruction. 12 pixels x 32 channels are 24 of 32 registers.
 */
#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_isa.h"

#ifdef NB_WITH_VNNI

#    include <immintrin.h>

#    define V                __m512i
#    define V_LANES          16
#    define V_ZERO           _mm512_setzero_si512()
#    define V_LOAD(p)        _mm512_loadu_si512(p)
#    define V_STORE(p, v)    _mm512_storeu_si512(p, v)
#    define V_ADD(a, b)      _mm512_add_epi32(a, b)
#    define W                __m512i
#    define W_LOAD(p)        _mm512_loadu_si512(p)
#    define X                __m512i
#    define X_SET(v)         _mm512_set1_epi32(v)
#    define V_DOT(acc, x, w) _mm512_dpbusd_epi32(acc, x, w)
#    define TILE_BYTES       1
#    define TILE_ROWS        12
#    define TILE_PANELS      2
#    define TILE_TARGET      __attribute__((target("avx512f,avx512vnni")))
#    include "kernels/integer/iconv_tile.h"

static const nb_iconv_method bytes = {.name = "bytes", .form = NB_ICONV_BYTES, .dense = dense};
static const nb_iconv_method *const methods[] = {&bytes, NULL};

const nb_iconv_isa nb_iconv_vnni = {.methods = methods};

#endif
