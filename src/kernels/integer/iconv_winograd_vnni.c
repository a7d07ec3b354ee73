/* iconv_winograd_vnni.c - Winograd's tiles with AVX-512 VNNI: vpdpwssd multiplies and adds pairs at once, and takes one
 * of them from memory for all channels. */
#include "kernels/integer/iconv_winograd.h"

#ifdef NB_WITH_VNNI

#    include "kernels/integer/iavx2.h"
#    include "kernels/integer/iconv_winograd_zmm.h"
#    define WINOGRAD    nb_iconv_winograd_vnni
#    define TILE_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
/* Assembly: gcc would load what it broadcasts by an instruction of its own. */
#    define PAIR_STEP(acc, x, w)                                                                                       \
        __asm__("vpdpwssd %2%{1to16%}, %1, %0" : "+v"((acc)[0]) : "v"((w)[0]), "m"(*(const nb_pair *)(x)))
#    include "kernels/integer/iconv_winograd_tile.h"

#endif
