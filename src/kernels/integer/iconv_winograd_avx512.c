/* iconv_winograd_avx512.c - Winograd's tiles with AVX-512. */
#include "kernels/integer/iconv_winograd.h"

#ifdef NB_WITH_AVX512

#    include "kernels/integer/iavx2.h"
#    include "kernels/integer/iconv_winograd_zmm.h"
#    define WINOGRAD    nb_iconv_winograd_avx512
#    define TILE_TARGET __attribute__((target("avx512f,avx512bw,avx512vl")))
/* Assembly: gcc moves the loads of all tiles to the front and then spills the sums. */
#    define PAIR_STEP(acc, x, w)                                                                                       \
        do {                                                                                                           \
            __m512i product;                                                                                           \
            __asm__("vpbroadcastd %2, %1\n\t"                                                                          \
                    "vpmaddwd %3, %1, %1\n\t"                                                                          \
                    "vpaddd %1, %0, %0"                                                                                \
                    : "+v"((acc)[0]), "=&v"(product)                                                                   \
                    : "m"(*(const nb_pair *)(x)), "v"((w)[0]));                                                        \
        } while (0)
#    include "kernels/integer/iconv_winograd_tile.h"

#endif
