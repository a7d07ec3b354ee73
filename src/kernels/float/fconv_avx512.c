/* fconv_avx512.c - rows times taps with AVX-512: a panel is one register, and 8 rows keep both units busy for 4 cycles.
 */
#include "kernels/float/fconv_isa.h"

#ifdef NB_WITH_AVX512
#    include <immintrin.h>

#    define V                     __m512
#    define V_WIDTH               16
#    define V_LOAD(p)             _mm512_loadu_ps(p)
#    define V_STORE(p, v)         _mm512_storeu_ps(p, v)
#    define V_SET1(p)             _mm512_set1_ps(*(p))
#    define V_ADD(a, b)           _mm512_add_ps(a, b)
#    define V_SUB(a, b)           _mm512_sub_ps(a, b)
#    define V_FMA(a, b, c)        _mm512_fmadd_ps(a, b, c)
#    define V_LOAD_PART(p, n)     _mm512_maskz_loadu_ps((__mmask16)((1u << (n)) - 1u), p)
#    define V_STORE_PART(p, v, n) _mm512_mask_storeu_ps(p, (__mmask16)((1u << (n)) - 1u), v)
#    define TILE_ROWS             8
#    define TILE_TARGET           __attribute__((target("avx512f")))
#    include "kernels/float/fconv_tile.h"
#    include "kernels/float/fdepth_tile.h"
#    include "kernels/float/fwino_tile.h"

const nb_fconv_isa nb_fconv_avx512 = {dense,      depth,         depth3,      depth3_spread, depth3_weights,
                                      wino_image, wino_gradient, wino_result, wino_product,  V_WIDTH};
#endif
