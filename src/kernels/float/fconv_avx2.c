/* fconv_avx2.c - rows times taps with AVX2 and FMA: 6 rows x 16 columns are 12 of 16 registers. */
#include "kernels/float/fdispatch.h"

#if defined(__x86_64__) && defined(__GNUC__)
#    include <immintrin.h>

#    define V                     __m256
#    define V_WIDTH               8
#    define V_LOAD(p)             _mm256_loadu_ps(p)
#    define V_STORE(p, v)         _mm256_storeu_ps(p, v)
#    define V_SET1(p)             _mm256_broadcast_ss(p)
#    define V_ADD(a, b)           _mm256_add_ps(a, b)
#    define V_FMA(a, b, c)        _mm256_fmadd_ps(a, b, c)
#    define V_LOAD_PART(p, n)     _mm256_maskload_ps(p, first_lanes(n))
#    define V_STORE_PART(p, v, n) _mm256_maskstore_ps(p, first_lanes(n), v)
#    define TILE_ROWS             6
#    define TILE_TARGET           __attribute__((target("avx2,fma")))
#    define DENSE                 nb_k_dense_f32__avx2
#    define DEPTH                 nb_k_depth_f32__avx2
#    define DEPTH3                nb_k_depth3__avx2
#    define DEPTH3_SPREAD         nb_k_depth3_spread__avx2
#    define DEPTH3_WEIGHTS        nb_k_depth3_weights__avx2

static inline TILE_TARGET __m256i first_lanes(int32_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

#    include "kernels/float/fconv_tile.h"
#    include "kernels/float/fdepth_tile.h"
#else
typedef int nb_not_here; /* ISO C wants a declaration */
#endif
