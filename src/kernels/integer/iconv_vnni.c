/* iconv_vnni.c - the dense integer convolution with AVX-512 VNNI: vpdpbusd multiplies 16 channels by 4 bytes each and
 * adds to 32-bit sums without saturating, 64 products an instruction. 12 pixels x 32 channels are 24 of 32 registers.
 */
#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_isa.h"
#include "kernels/integer/iconv_winograd.h"

#ifdef NB_WITH_VNNI

#    include "kernels/integer/iavx2.h"
#    include "kernels/integer/icodes_zmm.h"
#    include "kernels/integer/izmm.h"
#    define V_DOT(acc, x, w) _mm512_dpbusd_epi32(acc, x, w)
#    define TILE_BYTES       1
#    define TILE_TARGET      __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
/* Assembly: gcc moves the loads of all pixels to the front and then spills the sums. vpdpbusd cannot take unsigned bytes
 * from memory itself. */
#    define DOT_ROW(acc, x, w, n)                                                                                      \
        do {                                                                                                           \
            __m512i four;                                                                                              \
            __asm__("vpbroadcastd %2, %1\n\tvpdpbusd %3, %1, %0"                                                       \
                    : "+v"((acc)[0]), "=&v"(four)                                                                      \
                    : "m"(*(const nb_pair *)(x)), "v"((w)[0]));                                                        \
            if ((n) > 1)                                                                                               \
                __asm__("vpdpbusd %2, %1, %0" : "+v"((acc)[1]) : "v"(four), "v"((w)[1]));                              \
        } while (0)
#    include "kernels/integer/iconv_tile.h"

#    define PAIRS(acc, a, b) _mm512_dpwssd_epi32(acc, a, b)
#    define PAIR_TARGET      TILE_TARGET
#    include "kernels/integer/ipair_zmm.h"

static const nb_iconv_method bytes = {
    .name = "bytes", .form = NB_ICONV_BYTES, .dense = dense, .gives_codes = true, .reads_quads = true};
static const nb_iconv_method winograd = {.name = "winograd",
                                         .form = NB_ICONV_WINOGRAD,
                                         .choose = nb_iconv_winograd_choose_dearer,
                                         .winograd = &nb_iconv_winograd_vnni};
static const nb_iconv_method *const methods[] = {&winograd, &bytes, NULL};

const nb_iconv_isa nb_iconv_vnni = {
    .methods = methods, .depthwise3 = nb_iconv_depthwise3_vnni, .depthwise3_gives_codes = true, .add = add, .mul = mul};

#endif
