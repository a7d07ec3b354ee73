/* cpu.c - features of this processor, asked once, less what nb_cpu_limit takes away.
 *
 * A feature counts only if the operating system also saves its registers. AMX tiles additionally need a permission per
 * process on Linux, so AMX counts only where it was granted. */
#ifdef __linux__
#    define _DEFAULT_SOURCE /* syscall */
#endif
#include "base/cpu.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#    include <cpuid.h>
#    ifdef __linux__
#        include <sys/syscall.h>
#        include <unistd.h>
#    endif

/* XCR0: what the operating system saves. Only valid with OSXSAVE. */
static uint32_t saved_state(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo;
}

/* Linux (5.16 and later) lets a process use the tiles, 8 KB of state per thread, only after it has asked. */
static bool may_use_tiles(void)
{
#    if defined(__linux__) && defined(SYS_arch_prctl)
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#    else
    return false;
#    endif
}

static uint32_t detect(void)
{
    enum { OSXSAVE = 1 << 27, FMA = 1 << 12 };                                         /* leaf 1, ecx */
    enum { AVX2 = 1 << 5, AVX512F = 1 << 16, AVX512DQ = 1 << 17, AVX512BW = 1 << 30 }; /* leaf 7.0, ebx */
    const uint32_t avx512vl = 1u << 31, avx512_all = AVX512F | AVX512DQ | AVX512BW | avx512vl;
    enum { AVX512VNNI = 1 << 11 };    /* leaf 7.0, ecx */
    enum { AMX = 1 << 24 | 1 << 25 }; /* leaf 7.0, edx: tiles, int8 */
    enum { AVXVNNI = 1 << 4 };        /* leaf 7.1, eax */
    enum { SAVES_YMM = 0x6, SAVES_ZMM = 0xe6, SAVES_TILES = 0x60000 };
    uint32_t a, b, c, d, a1, b1, c1, d1;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE) || !(c & FMA))
        return 0;
    uint32_t saved = saved_state();
    if ((saved & SAVES_YMM) != SAVES_YMM || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & AVX2))
        return 0;
    uint32_t f = NB_CPU_AVX2;
    if ((saved & SAVES_ZMM) == SAVES_ZMM && (b & avx512_all) == avx512_all) {
        f |= NB_CPU_AVX512;
        if (c & AVX512VNNI)
            f |= NB_CPU_VNNI;
        if ((d & AMX) == AMX && (saved & SAVES_TILES) == SAVES_TILES && may_use_tiles())
            f |= NB_CPU_AMX;
    }
    if (a >= 1 && __get_cpuid_count(7, 1, &a1, &b1, &c1, &d1) && (a1 & AVXVNNI))
        f |= NB_CPU_AVXVNNI;
    return f;
}

#elif defined(__aarch64__)
#    if defined(__linux__)
#        include <sys/auxv.h>
#    endif

static uint32_t detect(void)
{
    uint32_t f = NB_CPU_NEON;             /* part of the base architecture */
#    if defined(__linux__)
    enum { HWCAP_DOT_PRODUCT = 1 << 20 }; /* HWCAP_ASIMDDP */
    if (getauxval(AT_HWCAP) & HWCAP_DOT_PRODUCT)
        f |= NB_CPU_DOTPROD;
#    elif defined(__ARM_FEATURE_DOTPROD)
    f |= NB_CPU_DOTPROD;
#    endif
    return f;
}

#else

static uint32_t detect(void)
{
    return 0;
}

#endif

static const struct {
    const char *name;
    uint32_t bits;
} levels[] = {
    {"scalar", 0},
    {"avx2", NB_CPU_AVX2},
    {"avx512", NB_CPU_AVX2 | NB_CPU_AVX512},
    {"avxvnni", NB_CPU_AVX2 | NB_CPU_AVXVNNI},
    {"vnni", NB_CPU_AVX2 | NB_CPU_AVX512 | NB_CPU_VNNI | NB_CPU_AVXVNNI},
    {"amx", NB_CPU_AVX2 | NB_CPU_AVX512 | NB_CPU_VNNI | NB_CPU_AVXVNNI | NB_CPU_AMX},
    {"neon", NB_CPU_NEON},
    {"dotprod", NB_CPU_NEON | NB_CPU_DOTPROD},
};
enum { LEVELS = (int)(sizeof levels / sizeof *levels) };

const char *nb_cpu_level_name(int32_t i)
{
    return i < LEVELS ? levels[i].name : NULL;
}

bool nb_cpu_level_counts(int32_t i, uint32_t have)
{
    bool counts = i >= 0 && i < LEVELS;
    for (int32_t k = 0; counts && k < i; k++)
        counts = (levels[k].bits & have) != (levels[i].bits & have);
    return counts;
}

bool nb_cpu_level(const char *level, uint32_t *bits)
{
    for (int32_t i = 0; i < LEVELS; i++)
        if (strcmp(level, levels[i].name) == 0) {
            *bits = levels[i].bits;
            return true;
        }
    return false;
}

/* What is there never changes, so two threads that ask first at the same time store the same word. */
static uint32_t features_here(void)
{
    static _Atomic uint32_t known; /* bit 31 set once asked */
    const uint32_t asked = 1u << 31;
    uint32_t f = atomic_load_explicit(&known, memory_order_relaxed);
    if (!f) {
        f = detect();
        const char *level = getenv("NB_CPU");
        uint32_t keep;
        if (level && nb_cpu_level(level, &keep))
            f &= keep;
        f |= asked;
        atomic_store_explicit(&known, f, memory_order_relaxed);
    }
    return f & ~asked;
}

static _Atomic uint32_t withheld; /* by nb_cpu_limit */

void nb_cpu_limit(uint32_t keep)
{
    atomic_store_explicit(&withheld, ~keep, memory_order_relaxed);
}

uint32_t nb_cpu_features(void)
{
    return features_here() & ~atomic_load_explicit(&withheld, memory_order_relaxed);
}

const char *nb_cpu_name(void)
{
    uint32_t f = nb_cpu_features();
    if (f & NB_CPU_AMX)
        return "avx512+vnni+amx";
    if (f & NB_CPU_VNNI)
        return "avx512+vnni";
    if (f & NB_CPU_AVX512)
        return "avx512";
    if (f & NB_CPU_AVXVNNI)
        return "avx2+vnni";
    if (f & NB_CPU_AVX2)
        return "avx2";
    if (f & NB_CPU_DOTPROD)
        return "neon+dotprod";
    return f & NB_CPU_NEON ? "neon" : "scalar";
}
