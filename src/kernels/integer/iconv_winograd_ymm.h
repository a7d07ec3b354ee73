/* iconv_winograd_ymm.h - vectors of 256 bits for iconv_winograd_tile.h: one point of four tiles is 8 of 16 registers.
 * PAIR_STEP is its includer's. No guard, as there. */
#include "kernels/integer/icodes_ymm.h"

#define V                             __m256i
#define V_LANES                       8
#define V_ZERO                        _mm256_setzero_si256()
#define V_SET(v)                      _mm256_set1_epi32(v)
#define V_LOAD(p)                     load256(p)
#define V_STORE(p, v)                 store256(p, v)
#define V_ADD(a, b)                   _mm256_add_epi32(a, b)
#define V_SUB(a, b)                   _mm256_sub_epi32(a, b)
#define V_SHL(a, n)                   _mm256_slli_epi32(a, n)
#define V_SHR(a, n)                   _mm256_srai_epi32(a, n)
#define V_MUL(a, b)                   _mm256_mullo_epi32(a, b)
#define AT_ONCE                       1
#define CHANNELS                      nb_channels8
#define CHANNELS_AT(q, c)             nb_channels8_at(q, c, _mm256_set1_epi32(-1))
#define STORE_CODES(to, stride, v, k) nb_store_codes8(to, stride, v, k)
