/* fconv_avx2.c - rows times taps with AVX2 and FMA: 6 rows x 16 columns are 12 of 16 registers. */
#include "kernels/float/fconv_isa.h"

#ifdef NB_WITH_AVX2
#    include <immintrin.h>

#    define V                     __m256
#    define V_WIDTH               8
#    define V_LOAD(p)             _mm256_loadu_ps(p)
#    define V_STORE(p, v)         _mm256_storeu_ps(p, v)
#    define V_SET1(p)             _mm256_broadcast_ss(p)
#    define V_ADD(a, b)           _mm256_add_ps(a, b)
#    define V_SUB(a, b)           _mm256_sub_ps(a, b)
#    define V_FMA(a, b, c)        _mm256_fmadd_ps(a, b, c)
#    define V_LOAD_PART(p, n)     _mm256_maskload_ps(p, first_lanes(n))
#    define V_STORE_PART(p, v, n) _mm256_maskstore_ps(p, first_lanes(n), v)
#    define TILE_ROWS             6
#    define TILE_TARGET           __attribute__((target("avx2,fma")))

static inline TILE_TARGET __m256i first_lanes(int32_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

#    include "kernels/float/fconv_tile.h"
#    include "kernels/float/fdepth_tile.h"
#    include "kernels/float/fwino_tile.h"

const nb_fconv_isa nb_fconv_avx2 = {dense,      depth,         depth3,      depth3_spread, depth3_weights,
                                    wino_image, wino_gradient, wino_result, wino_product,  V_WIDTH};
#endif
