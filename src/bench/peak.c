/* peak.c - measures the roof: loops that do nothing but multiply and add in registers, and loops that do nothing but
 * read and write. Twelve chains of sums are more than two units with a latency of four cycles need. */
#include "bench/peak.h"

#include <string.h>

#include "base/cpu.h"
#include "base/measure.h"

enum { CHAINS = 12, STEPS = 100000, LARGE = 64 << 20, SMALL = 256 << 10 };

/* STEPS times a step of every chain; returns the products made. `salt` is 0, which the compiler does not know; what was
 * computed goes to *sink, so that nothing can be left out. */
typedef double unit_loop(float *sink, int32_t salt);

#if defined(__x86_64__) && defined(__GNUC__)
#    include <immintrin.h>

/* Instructions, not intrinsics: compilers move the sums of such a loop about, or leave it out. %0 is the sum. */
#    define UNIT_LOOP(name, isa, type, broadcast, lanes, temporary, instructions)                                      \
        __attribute__((target(isa))) static double name(float *sink, int32_t salt)                                     \
        {                                                                                                              \
            type x = broadcast(salt), y = broadcast(salt + 1);                                                         \
            type a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, k = x, l = x, m = x, n = x;                   \
            for (int32_t i = 0; i < STEPS; i++) {                                                                      \
                __asm__ volatile(instructions : "+v"(a) : "v"(x), "v"(y) : temporary);                                 \
                __asm__ volatile(instructions : "+v"(b) : "v"(x), "v"(y) : temporary);                                 \
                __asm__ volatile(instructions : "+v"(c) : "v"(x), "v"(y) : temporary);                                 \
                __asm__ volatile(instructions : "+v"(d) : "v"(x), "v"(y) : temporary);                                 \
                __asm__ volatile(instructions : "+v"(e) : "v"(x), "v"(y) : temporary);                                 \
                __asm__ volatile(instructions : "+v"(f) : "v"(x), "v"(y) : temporary);                                 \
                __asm__ volatile(instructions : "+v"(g) : "v"(x), "v"(y) : temporary);                                 \
                __asm__ volatile(instructions : "+v"(h) : "v"(x), "v"(y) : temporary);                                 \
                __asm__ volatile(instructions : "+v"(k) : "v"(x), "v"(y) : temporary);                                 \
                __asm__ volatile(instructions : "+v"(l) : "v"(x), "v"(y) : temporary);                                 \
                __asm__ volatile(instructions : "+v"(m) : "v"(x), "v"(y) : temporary);                                 \
                __asm__ volatile(instructions : "+v"(n) : "v"(x), "v"(y) : temporary);                                 \
            }                                                                                                          \
            const type sums[CHAINS] = {a, b, c, d, e, f, g, h, k, l, m, n};                                            \
            for (int32_t i = 0; i < CHAINS; i++) {                                                                     \
                float first;                                                                                           \
                memcpy(&first, &sums[i], sizeof first);                                                                \
                *sink += first;                                                                                        \
            }                                                                                                          \
            return (double)STEPS * CHAINS * (lanes);                                                                   \
        }
#    define FLOATS(v)  _mm256_set1_ps((float)(v))
#    define FLOATS2(v) _mm512_set1_ps((float)(v))
UNIT_LOOP(float_avx2, "avx2,fma", __m256, FLOATS, 8, "xmm15", "vfmadd231ps %1, %2, %0")
UNIT_LOOP(pairs_avx2, "avx2", __m256i, _mm256_set1_epi32, 16, "xmm15",
          "vpmaddwd %1, %2, %%ymm15\n\tvpaddd %%ymm15, %0, %0")
UNIT_LOOP(quads_avx2, "avx2", __m256i, _mm256_set1_epi32, 32, "xmm15",
          "vpmaddubsw %1, %2, %%ymm15\n\tvpmaddwd %2, %%ymm15, %%ymm15\n\tvpaddd %%ymm15, %0, %0")
UNIT_LOOP(float_avx512, "avx512f", __m512, FLOATS2, 16, "xmm15", "vfmadd231ps %1, %2, %0")
UNIT_LOOP(pairs_avx512, "avx512f,avx512bw", __m512i, _mm512_set1_epi32, 32, "xmm15",
          "vpmaddwd %1, %2, %%zmm15\n\tvpaddd %%zmm15, %0, %0")
UNIT_LOOP(pairs_vnni, "avx512f,avx512vnni", __m512i, _mm512_set1_epi32, 32, "xmm15", "vpdpwssd %1, %2, %0")
UNIT_LOOP(quads_vnni, "avx512f,avx512vnni", __m512i, _mm512_set1_epi32, 64, "xmm15", "vpdpbusd %1, %2, %0")

/* Reads n bytes, a multiple of 256. */
__attribute__((target("avx2"))) static void read_avx2(const void *x, size_t n)
{
    for (const char *p = x, *end = p + n; p < end; p += 256)
        __asm__ volatile("vmovups (%0), %%ymm0\n\tvmovups 32(%0), %%ymm1\n\tvmovups 64(%0), %%ymm2\n\t"
                         "vmovups 96(%0), %%ymm3\n\tvmovups 128(%0), %%ymm4\n\tvmovups 160(%0), %%ymm5\n\t"
                         "vmovups 192(%0), %%ymm6\n\tvmovups 224(%0), %%ymm7"
                         :
                         : "r"(p)
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "memory");
}

static const struct {
    uint32_t needs;
    nb_peak_unit unit;
    unit_loop *loop;
} loops[] = {
    {NB_CPU_AVX2, NB_PEAK_FLOAT, float_avx2},
    {NB_CPU_AVX2, NB_PEAK_PAIRS, pairs_avx2},
    {NB_CPU_AVX2, NB_PEAK_QUADS, quads_avx2},
    {NB_CPU_AVX512, NB_PEAK_FLOAT, float_avx512},
    {NB_CPU_AVX512, NB_PEAK_PAIRS, pairs_avx512},
    {NB_CPU_AVX512 | NB_CPU_VNNI, NB_PEAK_PAIRS, pairs_vnni},
    {NB_CPU_AVX512 | NB_CPU_VNNI, NB_PEAK_QUADS, quads_vnni},
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
    const double start = nb_thread_seconds();
    for (size_t k = 0; k < LARGE / n; k++) {
#if defined(__x86_64__) && defined(__GNUC__)
        if (nb_cpu_features() & NB_CPU_AVX2) {
            read_avx2(x, n);
            continue;
        }
#endif
        for (size_t i = 0; i < n / sizeof *x; i += LANES)
            for (int32_t j = 0; j < LANES; j++)
                sum[j] += x[i + (size_t)j];
        passed(sum);
    }
    return (double)LARGE / (nb_thread_seconds() - start + 1e-9);
}

static double update_rate(float *x, size_t n)
{
    const double start = nb_thread_seconds();
    for (size_t k = 0; k < LARGE / n; k++) {
        for (size_t i = 0; i < n / sizeof *x; i++)
            x[i] += 1.0f;
        passed(x);
    }
    return 2.0 * LARGE / (nb_thread_seconds() - start + 1e-9);
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
            const double start = nb_thread_seconds(), macs = loops[i].loop(&sink, salt);
            double *m = &best.macs[loops[i].unit];
            *m = larger(*m, macs / (nb_thread_seconds() - start + 1e-9));
            kept = sink;
        }
    }
    (void)kept;
    nb_free(ctx, x);
    *out = best;
    return NB_OK;
}
