/* fconv_generic.c - rows times taps with the compiler's own vectors of 16 bytes: SSE2, NEON, or whatever the target
 * has. */
#include "kernels/float/fdispatch.h"

#if defined(__GNUC__)
typedef float vec4 __attribute__((vector_size(16)));
typedef float vec4_any __attribute__((vector_size(16), aligned(4), may_alias)); /* in any array of floats */

#    define V              vec4
#    define V_WIDTH        4
#    define V_LOAD(p)      ((vec4) * (const vec4_any *)(p))
#    define V_STORE(p, v)  ((void)(*(vec4_any *)(p) = (v)))
#    define V_SET1(p)      ((vec4){*(p), *(p), *(p), *(p)})
#    define V_ADD(a, b)    ((a) + (b))
#    define V_FMA(a, b, c) ((a) * (b) + (c))
#    define TILE_ROWS      2
#    define TILE_TARGET
#    define DENSE          nb_k_dense_f32__generic
#    define DEPTH          nb_k_depth_f32__generic
#    define DEPTH3         nb_k_depth3__generic
#    define DEPTH3_SPREAD  nb_k_depth3_spread__generic
#    define DEPTH3_WEIGHTS nb_k_depth3_weights__generic
#    include "kernels/float/fconv_tile.h"
#    include "kernels/float/fdepth_tile.h"
#else
typedef int nb_not_here; /* ISO C wants a declaration */
#endif
