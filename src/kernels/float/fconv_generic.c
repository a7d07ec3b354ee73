/* fconv_generic.c - rows times taps with the compiler's own vectors of 16 bytes: SSE2, NEON, or whatever the target
 * has. */
#include "kernels/float/fconv_isa.h"

#if defined(__GNUC__)
typedef float vec4 __attribute__((vector_size(16)));
typedef float vec4_any __attribute__((vector_size(16), aligned(4), may_alias)); /* in any array of floats */

#    define V              vec4
#    define V_WIDTH        4
#    define V_LOAD(p)      ((vec4) * (const vec4_any *)(p))
#    define V_STORE(p, v)  ((void)(*(vec4_any *)(p) = (v)))
#    define V_SET1(p)      ((vec4){*(p), *(p), *(p), *(p)})
#    define V_ADD(a, b)    ((a) + (b))
#    define V_SUB(a, b)    ((a) - (b))
#    define V_FMA(a, b, c) ((a) * (b) + (c))
#    define TILE_ROWS      2
#    define TILE_TARGET
#    include "kernels/float/fconv_tile.h"
#    include "kernels/float/fdepth_tile.h"
#    include "kernels/float/fwino_tile.h"

const nb_fconv_isa nb_fconv_generic = {dense,      depth,         depth3,      depth3_spread, depth3_weights,
                                       wino_image, wino_gradient, wino_result, wino_product,  V_WIDTH};
#endif
