/* ipairs_avx2.h - the inner step of products of 16-bit pairs with AVX2, for Winograd's tiles forward and of gradients.
 */
#ifndef NB_KERNELS_IPAIRS_AVX2_H
#define NB_KERNELS_IPAIRS_AVX2_H

#include <immintrin.h>
#include <stdint.h>

typedef int32_t __attribute__((may_alias, aligned(1))) nb_pair;

/* lo, hi [16 channels] += the two values at v times w0, w1 (two consecutive k of each channel). Assembly, because 12
 * sums, 2 weights and 2 temporaries are all registers there are: gcc moves the loads of six tiles to the front and then
 * spills the sums. */
__attribute__((target("avx2"), always_inline)) static inline void nb_pair_step(__m256i *lo, __m256i *hi,
                                                                               const int16_t *v, __m256i w0, __m256i w1)
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
