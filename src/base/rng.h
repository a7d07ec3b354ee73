/* rng.h - counter-based random numbers (Philox 4x32-10, Salmon et al. 2011): a value depends on its key and counter
 * alone, so shuffles, augmentation and dropout are the same for any thread count, after resume, in any order of
 * evaluation. */
#ifndef NB_BASE_RNG_H
#define NB_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t seed, stream; /* key and upper counter */
    uint64_t next;         /* lower counter, in 32-bit words */
    uint32_t block[4];     /* words of counter next / 4, valid when next % 4 != 0 */
} nb_rng;

void nb_philox(uint32_t out[4], uint64_t key, uint64_t counter_lo, uint64_t counter_hi);

nb_rng nb_rng_make(uint64_t seed, uint64_t stream);
uint32_t nb_rng_u32(nb_rng *r);
uint32_t nb_rng_below(nb_rng *r, uint32_t n); /* unbiased, 0..n-1; n >= 1 */
float nb_rng_uniform(nb_rng *r);              /* [0, 1), 24 bits */
float nb_rng_normal(nb_rng *r);               /* Box-Muller, computed in double, one output per two words */

uint64_t nb_mix(uint64_t a, uint64_t b); /* combine keys (splitmix64 finalizer) */
uint64_t nb_hash_text(const char *s);    /* FNV-1a 64 */
uint64_t nb_hash_bytes(const void *bytes, size_t n);

#endif
