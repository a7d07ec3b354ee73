/* fconv_neon.c - rows times taps with NEON: 6 rows x 16 columns are 24 of 32 registers. */
#include "kernels/float/fconv_isa.h"

#ifdef NB_WITH_NEON
#    include <arm_neon.h>

#    define V              float32x4_t
#    define V_WIDTH        4
#    define V_LOAD(p)      vld1q_f32(p)
#    define V_STORE(p, v)  vst1q_f32(p, v)
#    define V_SET1(p)      vld1q_dup_f32(p)
#    define V_ADD(a, b)    vaddq_f32(a, b)
#    define V_SUB(a, b)    vsubq_f32(a, b)
#    define V_FMA(a, b, c) vfmaq_f32(c, a, b)
#    define TILE_ROWS      6
#    define TILE_TARGET
#    include "kernels/float/fconv_tile.h"
#    include "kernels/float/fdepth_tile.h"
#    include "kernels/float/fwino_tile.h"

const nb_fconv_isa nb_fconv_neon = {dense,      depth,         depth3,      depth3_spread, depth3_weights,
                                    wino_image, wino_gradient, wino_result, wino_product,  V_WIDTH};
#endif
