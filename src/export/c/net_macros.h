/* net_macros.h - exported programs: which instructions the compiler may use, and macros over them. */
#ifndef NET_MACROS_H
#define NET_MACROS_H

#include <stdint.h>

/* GCC 12.2 at -O2 can take a step for one without effect once it knows where its tensors lie, and leave the call out: it sees them as
 * one array, writes the place of one as a multiple of the other's, and then finds no array that is written. So it must not
 * know; steps take pointers and are called once each. */
/* ==== cgen_text_step ==== */
#if defined(__GNUC__) && __GNUC__ >= 8 && !defined(__clang__)
#    define net_STEP static __attribute__((noipa)) /* GCC 12 could drop calls of steps whose tensors it could place */
#else
#    define net_STEP static
#endif
/* ==== */

/* Helium leaves some of the others' functions without a caller. */
/* ==== cgen_text_helper ==== */
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#    define net_HELPER static __attribute__((unused))
#else
#    define net_HELPER static
#endif
/* ==== */

/* Inlined where registers are what the loop is short of: the distances are then constants in the addresses. */
/* ==== cgen_text_simd ==== */
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#    include <arm_mve.h>
#    define net_INLINE static inline __attribute__((always_inline))
#elif defined(__ARM_FEATURE_SIMD32) && defined(__GNUC__)
#    include <arm_acle.h>
#    define net_INLINE static inline __attribute__((always_inline))
net_INLINE uint32_t net_word(const void *p) /* may be unaligned */
{
    uint32_t v;
    __builtin_memcpy(&v, p, 4);
    return v;
}
net_INLINE int16x2_t net_odd_s8(uint32_t v) /* bytes 1 and 3 */
{
    int16x2_t r;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(r) : "r"(v));
    return r;
}
net_INLINE int16x2_t net_odd_u8(uint32_t v)
{
    int16x2_t r;
    __asm__("uxtb16 %0, %1, ror #8" : "=r"(r) : "r"(v));
    return r;
}
#    define net_even_s8(v) __sxtb16((int8x4_t)(v)) /* bytes 0 and 2 */
#    define net_even_u8(v) ((int16x2_t)__uxtb16((uint8x4_t)(v)))
#else
#    define net_INLINE static
#endif
/* ==== */

/* ==== cgen_text_load_u8 ==== */
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#    define net_LOAD_U8(p, mask) vreinterpretq_s16_u16(vldrbq_z_u16(p, mask))
#endif
/* ==== */

/* Inactive lanes of a Helium load are 0, become -z, and meet a weight of 0. */
/* ==== cgen_text_less_zero ==== */
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#    define net_LESS_ZERO(v) vsubq_n_s16(v, (int16_t)z)
#elif defined(__ARM_FEATURE_SIMD32)
#    define net_LESS_ZERO(v) __ssub16(v, (int16x2_t)(((uint32_t)z & 0xffffu) * 0x10001u))
#endif
/* ==== */

#endif
