/* peak.c - measures the roof: loops that do nothing but multiply and add in registers, and loops that do nothing but
 * read and write. Eight chains of sums hide the latency of a
 * unit that begins two steps in a cycle and ends them after four. */
#include "peak.h"

#include <base/cpu.h>
#include <string.h>
#include <time.h>

enum { CHAINS = 8, STEPS = 100000, LARGE = 64 << 20, SMALL = 256 << 10 };

/* STEPS times a step of every chain; returns the products made. `salt` is 0, which the compiler does not know; what was
 * computed goes to *sink, so that nothing can be left out. */
typedef double unit_loop(float *sink, int32_t salt);

#if defined(__x86_64__) && defined(__GNUC__)
#    include <immintrin.h>

/* The empty asm tells the compiler that the operand has changed, so that every step is made. */
#    define ONE(acc, step)                                                                                             \
        acc = step(acc, x, y);                                                                                         \
        __asm__ volatile("" : "+v"(x));
#    define UNIT_LOOP(name, isa, type, broadcast, step, lanes)                                                         \
        __attribute__((target(isa))) static double name(float *sink, int32_t salt)                                     \
        {                                                                                                              \
            type x = broadcast(salt), y = broadcast(salt + 1), a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x; \
            for (int32_t i = 0; i < STEPS; i++) {                                                                      \
                ONE(a, step)                                                                                           \
                ONE(b, step) ONE(c, step) ONE(d, step) ONE(e, step) ONE(f, step) ONE(g, step) ONE(h, step)             \
            }                                                                                                          \
            type sums[CHAINS] = {a, b, c, d, e, f, g, h};                                                              \
            for (int32_t k = 0; k < CHAINS; k++) {                                                                     \
                float first;                                                                                           \
                memcpy(&first, &sums[k], sizeof first);                                                                \
                *sink += first;                                                                                        \
            }                                                                                                          \
            return (double)STEPS * CHAINS * (lanes);                                                                   \
        }
#    define F256(v)             _mm256_set1_ps((float)(v))
#    define F512(v)             _mm512_set1_ps((float)(v))
#    define FMA256(acc, x, y)   _mm256_fmadd_ps(x, y, acc)
#    define FMA512(acc, x, y)   _mm512_fmadd_ps(x, y, acc)
#    define PAIRS256(acc, x, y) _mm256_add_epi32(acc, _mm256_madd_epi16(x, y))
#    define PAIRS512(acc, x, y) _mm512_add_epi32(acc, _mm512_madd_epi16(x, y))
#    define QUADS256(acc, x, y) _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), y))
UNIT_LOOP(float_avx2, "avx2,fma", __m256, F256, FMA256, 8)
UNIT_LOOP(pairs_avx2, "avx2", __m256i, _mm256_set1_epi32, PAIRS256, 16)
UNIT_LOOP(quads_avx2, "avx2", __m256i, _mm256_set1_epi32, QUADS256, 32)
UNIT_LOOP(float_avx512, "avx512f", __m512, F512, FMA512, 16)
UNIT_LOOP(pairs_avx512, "avx512f,avx512bw", __m512i, _mm512_set1_epi32, PAIRS512, 32)
UNIT_LOOP(quads_vnni, "avx512f,avx512vnni", __m512i, _mm512_set1_epi32, _mm512_dpbusd_epi32, 64)

static const struct {
    uint32_t needs;
    nb_peak_unit unit;
    unit_loop *loop;
} loops[] = {
    {NB_CPU_AVX2,                 NB_PEAK_FLOAT, float_avx2  },
    {NB_CPU_AVX2,                 NB_PEAK_PAIRS, pairs_avx2  },
    {NB_CPU_AVX2,                 NB_PEAK_QUADS, quads_avx2  },
    {NB_CPU_AVX512,               NB_PEAK_FLOAT, float_avx512},
    {NB_CPU_AVX512,               NB_PEAK_PAIRS, pairs_avx512},
    {NB_CPU_AVX512 | NB_CPU_VNNI, NB_PEAK_QUADS, quads_vnni  },
};
enum { LOOPS = (int)(sizeof loops / sizeof *loops) };
#else
static const struct {
    uint32_t needs;
    nb_peak_unit unit;
    unit_loop *loop;
} loops[1]; /* none are known: the peaks stay 0 */
enum { LOOPS = 0 };
#endif

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The compiler may not skip a pass, nor tell what it read. */
static void passed(const void *p)
{
#if defined(__GNUC__)
    __asm__ volatile("" : : "r"(p) : "memory");
#else
    (void)p;
#endif
}

/* Bytes per second over n bytes, as often as makes LARGE bytes: reading them, and x = x + 1, which reads and writes. */
static double read_rate(const float *x, size_t n)
{
    enum { LANES = 32 };
    float sum[LANES] = {0};
    const double start = seconds();
    for (size_t k = 0; k < LARGE / n; k++) {
        for (size_t i = 0; i < n / sizeof *x; i += LANES)
            for (int32_t j = 0; j < LANES; j++)
                sum[j] += x[i + (size_t)j];
        passed(sum);
    }
    return (double)LARGE / (seconds() - start + 1e-9);
}

static double update_rate(float *x, size_t n)
{
    const double start = seconds();
    for (size_t k = 0; k < LARGE / n; k++) {
        for (size_t i = 0; i < n / sizeof *x; i++)
            x[i] += 1.0f;
        passed(x);
    }
    return 2.0 * LARGE / (seconds() - start + 1e-9);
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

nb_status nb_peaks_measure(nb_ctx *ctx, int32_t rounds, nb_peaks *out)
{
    float *x = nb_alloc(ctx, LARGE);
    if (!x)
        return NB_E_NOMEM;
    const uint32_t here = nb_cpu_features();
    volatile int32_t salt = 0;
    volatile float kept = 0;
    nb_peaks best = {0};
    for (size_t i = 0; i < LARGE / sizeof *x; i++)
        x[i] = 0; /* pages are there before the clock runs */
    for (int32_t r = 0; r < rounds; r++) {
        best.memory = larger(best.memory, larger(read_rate(x, LARGE), update_rate(x, LARGE)));
        best.cache = larger(best.cache, larger(read_rate(x, SMALL), update_rate(x, SMALL)));
        for (int32_t i = 0; i < LOOPS; i++) {
            if (loops[i].needs & ~here)
                continue;
            float sink = 0;
            const double start = seconds(), macs = loops[i].loop(&sink, salt);
            double *m = &best.macs[loops[i].unit];
            *m = larger(*m, macs / (seconds() - start + 1e-9));
            kept = sink;
        }
    }
    (void)kept;
    nb_free(ctx, x);
    *out = best;
    return NB_OK;
}
