/* izmm.h - vectors of 512 bits for iconv_tile.h: 12 pixels x 32 channels are 24 of 32 registers. No guard, as there. */
#include "kernels/integer/icodes_zmm.h"

#define V                             __m512i
#define V_LANES                       16
#define V_ZERO                        _mm512_setzero_si512()
#define V_LOAD(p)                     _mm512_loadu_si512(p)
#define V_STORE(p, v)                 _mm512_storeu_si512(p, v)
#define V_ADD(a, b)                   _mm512_add_epi32(a, b)
#define W                             __m512i
#define W_LOAD(p)                     _mm512_loadu_si512(p)
#define X                             __m512i
#define X_SET(v)                      _mm512_set1_epi32(v)
#define TILE_ROWS                     12
#define TILE_PANELS                   2
#define CHANNELS                      nb_codes_zmm
#define CHANNELS_AT(q, c)             nb_codes_zmm_at(q, c)
#define STORE_CODES(to, stride, v, k) nb_codes_zmm_store(to, stride, v, k)
