/* iconv_winograd_zmm.h - vectors of 512 bits for iconv_winograd_tile.h: six points of four tiles are 24 of 32
 * registers. PAIR_STEP is its includer's. No guard, as there. */
#include "kernels/integer/icodes_zmm.h"

#define V                             __m512i
#define V_LANES                       16
#define V_ZERO                        _mm512_setzero_si512()
#define V_SET(v)                      _mm512_set1_epi32(v)
#define V_LOAD(p)                     _mm512_loadu_si512(p)
#define V_STORE(p, v)                 _mm512_storeu_si512(p, v)
#define V_ADD(a, b)                   _mm512_add_epi32(a, b)
#define V_SUB(a, b)                   _mm512_sub_epi32(a, b)
#define V_SHL(a, n)                   _mm512_slli_epi32(a, n)
#define V_SHR(a, n)                   _mm512_srai_epi32(a, (unsigned)(n))
#define V_MUL(a, b)                   _mm512_mullo_epi32(a, b)
#define AT_ONCE                       6
#define CHANNELS                      nb_codes_zmm
#define CHANNELS_AT(q, c)             nb_codes_zmm_at(q, c)
#define STORE_CODES(to, stride, v, k) nb_codes_zmm_store(to, stride, v, k)
