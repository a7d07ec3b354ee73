/* iconv_winograd_avx2.c - Winograd's tiles with AVX2. */
#include "kernels/integer/iconv_winograd.h"

#ifdef NB_WITH_AVX2

#    include "kernels/integer/icodes_ymm.h"
#    include "kernels/integer/iconv_winograd_ymm.h"
#    define WINOGRAD             nb_iconv_winograd_avx2
#    define TILE_TARGET          AVX2
#    define PAIR_STEP(acc, x, w) nb_pair_step(&(acc)[0], &(acc)[1], x, (w)[0], (w)[1])
#    include "kernels/integer/iconv_winograd_tile.h"

#endif
