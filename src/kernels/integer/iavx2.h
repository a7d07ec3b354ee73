/* iavx2.h - what kernels of integers in AVX2 share. Only for files that were found to be compiled for it. */
#ifndef NB_KERNELS_IAVX2_H
#define NB_KERNELS_IAVX2_H

#include <immintrin.h>
#include <stdint.h>

#define AVX2        __attribute__((target("avx2")))
#define AVX2_INLINE __attribute__((target("avx2"), always_inline)) static inline

AVX2_INLINE __m256i load256(const void *p)
{
    return _mm256_loadu_si256(p);
}

AVX2_INLINE void store256(void *p, __m256i v)
{
    _mm256_storeu_si256(p, v);
}

typedef int32_t __attribute__((may_alias, aligned(1))) nb_pair;

/* The inner step of products of 16-bit pairs, for Winograd's tiles forward and of gradients: lo, hi [16 channels] += the two values at v times w0, w1 (two consecutive k of each channel). Assembly, because 12
 * sums, 2 weights and 2 temporaries are all registers there are: gcc moves the loads of six tiles to the front and then
 * spills the sums. */
AVX2_INLINE void nb_pair_step(__m256i *lo, __m256i *hi, const int16_t *v, __m256i w0, __m256i w1)
{
    __m256i a, b;
    __asm__("vpbroadcastd %4, %2\n\t"
            "vpmaddwd %5, %2, %3\n\t"
            "vpmaddwd %6, %2, %2\n\t"
            "vpaddd %3, %0, %0\n\t"
            "vpaddd %2, %1, %1"
            : "+x"(*lo), "+x"(*hi), "=&x"(a), "=&x"(b)
            : "m"(*(const nb_pair *)v), "x"(w0), "x"(w1));
}

#endif
