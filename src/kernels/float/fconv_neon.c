/* fconv_neon.c - rows times taps with NEON: 6 rows x 16 columns are 24 of 32 registers. */
#include "kernels/float/fdispatch.h"

#if defined(__aarch64__) && defined(__GNUC__)
#    include <arm_neon.h>

#    define V              float32x4_t
#    define V_WIDTH        4
#    define V_LOAD(p)      vld1q_f32(p)
#    define V_STORE(p, v)  vst1q_f32(p, v)
#    define V_SET1(p)      vld1q_dup_f32(p)
#    define V_ADD(a, b)    vaddq_f32(a, b)
#    define V_FMA(a, b, c) vfmaq_f32(c, a, b)
#    define TILE_ROWS      6
#    define TILE_TARGET
#    define DENSE          nb_k_dense_f32__neon
#    define DEPTH          nb_k_depth_f32__neon
#    define DEPTH3         nb_k_depth3__neon
#    define DEPTH3_SPREAD  nb_k_depth3_spread__neon
#    define DEPTH3_WEIGHTS nb_k_depth3_weights__neon
#    include "kernels/float/fconv_tile.h"
#    include "kernels/float/fdepth_tile.h"
#else
typedef int nb_not_here; /* ISO C wants a declaration */
#endif
