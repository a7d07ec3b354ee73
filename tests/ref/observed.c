/* observed.c - values of known distributions. */
#include "ref/observed.h"

#include "base/rng.h"

double observed_uniform(uint64_t seed, uint64_t i)
{
    return ((double)(nb_mix(seed, i) >> 11) + 0.5) * 0x1p-53;
}

static double normal(uint64_t seed, uint64_t i)
{
    return sqrt(-2 * log(observed_uniform(seed, 2 * i))) * cos(6.283185307179586 * observed_uniform(seed, 2 * i + 1));
}

void observed_fill(float *x, int64_t n, int32_t kind, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        const uint64_t at = (uint64_t)i * 4;
        const double u = observed_uniform(seed + 1, at), z = normal(seed, at);
        double chi = 0;
        for (uint64_t k = 1; k < 4; k++)
            chi += pow(normal(seed, at + k), 2);
        const double v[] = {z, u < 0.5 ? log(2 * u) : -log(2 - 2 * u), z / sqrt(chi / 3), z > 0 ? z : 0};
        x[i] = (float)v[kind];
    }
}
