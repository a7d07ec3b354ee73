/* iconv_dotprod.c - the dense integer convolution with the dot products of Armv8.2: sdot multiplies 4 channels by 4
 * bytes each and adds to 32-bit sums, 16 products an instruction. Both operands are signed, so the image holds codes
 * minus the middle of their range. 6 pixels x 16 channels are 24 of 32 registers. */
#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_isa.h"

#ifdef NB_WITH_DOTPROD

#    include <arm_neon.h>

#    ifdef __clang__ /* its arm_neon.h declares vdotq_s32 only where the whole file is compiled for it */
#        define TILE_TARGET __attribute__((target("dotprod")))
typedef __attribute__((neon_vector_type(16))) int8_t bytes16;
#        define V_DOT(acc, x, w) (int32x4_t) __builtin_neon_vdotq_v((bytes16)(acc), (bytes16)(w), (bytes16)(x), 34)
#    else
#        define TILE_TARGET      __attribute__((target("arch=armv8.2-a+dotprod")))
#        define V_DOT(acc, x, w) vdotq_s32(acc, w, x)
#    endif
#    define V             int32x4_t
#    define V_LANES       4
#    define V_ZERO        vdupq_n_s32(0)
#    define V_LOAD(p)     vld1q_s32(p)
#    define V_STORE(p, v) vst1q_s32(p, v)
#    define V_ADD(a, b)   vaddq_s32(a, b)
#    define W             int8x16_t
#    define W_LOAD(p)     vld1q_s8((const int8_t *)(p))
#    define X             int8x16_t
#    define X_SET(v)      vreinterpretq_s8_s32(vdupq_n_s32(v))
#    define TILE_BYTES    1
#    define TILE_ROWS     6
#    define TILE_PANELS   1
#    include "kernels/integer/iconv_tile.h"

static const nb_iconv_method bytes = {.name = "bytes", .form = NB_ICONV_BYTES, .middle = 128, .dense = dense};
static const nb_iconv_method *const methods[] = {&bytes, NULL};

const nb_iconv_isa nb_iconv_dotprod = {.methods = methods};

#endif
