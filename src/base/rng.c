/* rng.c - Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3; SC 2011) and what is
 * drawn from it. Constants are the paper's; the test holds the known answers of its reference implementation. */
#include "base/rng.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

enum { ROUNDS = 10 };

static const uint32_t mul0 = 0xD2511F53u, mul1 = 0xCD9E8D57u;   /* multipliers of the rounds */
static const uint32_t weyl0 = 0x9E3779B9u, weyl1 = 0xBB67AE85u; /* key steps: golden ratio, sqrt(3) - 1 */

void nb_philox(uint32_t out[4], uint64_t key, uint64_t counter_lo, uint64_t counter_hi)
{
    uint32_t c0 = (uint32_t)counter_lo, c1 = (uint32_t)(counter_lo >> 32);
    uint32_t c2 = (uint32_t)counter_hi, c3 = (uint32_t)(counter_hi >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t p0 = (uint64_t)mul0 * c0, p1 = (uint64_t)mul1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += weyl0;
        k1 += weyl1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

nb_rng nb_rng_make(uint64_t seed, uint64_t stream)
{
    return (nb_rng){.seed = seed, .stream = stream};
}

uint32_t nb_rng_u32(nb_rng *r)
{
    uint32_t word = (uint32_t)(r->next % 4);
    if (word == 0)
        nb_philox(r->block, r->seed, r->next / 4, r->stream);
    r->next++;
    return r->block[word];
}

/* Lemire 2019: the high half of a product is uniform once the few low halves that would favour some values are drawn
 * again. */
uint32_t nb_rng_below(nb_rng *r, uint32_t n)
{
    NB_ASSERT(n >= 1);
    uint64_t product = (uint64_t)nb_rng_u32(r) * n;
    if ((uint32_t)product < n) {
        uint32_t threshold = (0u - n) % n; /* 2^32 mod n */
        while ((uint32_t)product < threshold)
            product = (uint64_t)nb_rng_u32(r) * n;
    }
    return (uint32_t)(product >> 32);
}

float nb_rng_uniform(nb_rng *r)
{
    return (float)(nb_rng_u32(r) >> 8) * 0x1p-24f;
}

float nb_rng_normal(nb_rng *r)
{
    double u = ((double)nb_rng_u32(r) + 1.0) * 0x1p-32; /* (0, 1]: the logarithm stays finite */
    double v = (double)nb_rng_u32(r) * 0x1p-32;
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

static uint64_t finalize(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/* Two finalizers, so that mix(a, b), mix(b, a) and mix(a + 1, b - 1) have nothing in common. */
uint64_t nb_mix(uint64_t a, uint64_t b)
{
    return finalize(finalize(a + 0x9E3779B97F4A7C15u) + b);
}

uint64_t nb_hash_bytes(const void *bytes, size_t n)
{
    const uint8_t *b = bytes;
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001B3u;
    return h;
}

uint64_t nb_hash_text(const char *s)
{
    return nb_hash_bytes(s, strlen(s));
}
