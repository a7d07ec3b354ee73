/* net_dot.c - exported programs: the inner loop, two output pixels times two output channels, so that every load serves
 * two products.
 *
 * Portable C is the definition; on Arm, SMLAD (Cortex-M4, M7, M33) or Helium (M55, M85) do the same sums: integer
 * addition has one result in any order. Inputs here are u8 with zero point 0; the exporter makes the functions for s8
 * and for other zero points of these (put_dots() in export/cgen_text.c), which is what the parentheses are for. */
#include "net_macros.h"

/* ==== cgen_text_dot2 ==== */
/* Two pixels, dx codes apart, times two channels, dw apart: acc += x0 . w0, x0 . w1, x1 . w0, x1 . w1 */
net_INLINE void net_dot2_u8(int32_t *acc, const uint8_t *x, int32_t dx, const int8_t *w, int32_t dw, int32_t n)
{
    int32_t a = acc[0], b = acc[1], c = acc[2], d = acc[3];
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
    for (; n > 0; n -= 8, x += 8, w += 8) {
        const mve_pred16_t p = vctp16q((uint32_t)n);
        const int16x8_t u = (net_LOAD_U8(x, p)), v = (net_LOAD_U8(x + dx, p));
        const int16x8_t q = vldrbq_z_s16(w, p), r = vldrbq_z_s16(w + dw, p);
        a = vmladavaq_s16(a, u, q);
        b = vmladavaq_s16(b, u, r);
        c = vmladavaq_s16(c, v, q);
        d = vmladavaq_s16(d, v, r);
    }
#else
#    if defined(__ARM_FEATURE_SIMD32) && defined(__GNUC__)
    int32_t i;
    for (i = n >> 2; i > 0; i--, x += 4, w += 4) {
        const uint32_t xa = net_word(x), xb = net_word(x + dx), wa = net_word(w), wb = net_word(w + dw);
        const int16x2_t u = (net_even_u8(xa)), v = (net_even_u8(xb)), q = net_even_s8(wa), r = net_even_s8(wb);
        const int16x2_t e = (net_odd_u8(xa)), f = (net_odd_u8(xb)), g = net_odd_s8(wa), h = net_odd_s8(wb);
        a = __smlad(e, g, __smlad(u, q, a));
        b = __smlad(e, h, __smlad(u, r, b));
        c = __smlad(f, g, __smlad(v, q, c));
        d = __smlad(f, h, __smlad(v, r, d));
    }
    n &= 3;
#    endif
    for (; n > 0; n--, x++, w++) {
        const int32_t u = x[0], v = x[dx];
        a += u * w[0];
        b += u * w[dw];
        c += v * w[0];
        d += v * w[dw];
    }
#endif
    acc[0] = a;
    acc[1] = b;
    acc[2] = c;
    acc[3] = d;
}
/* ==== */

/* ==== cgen_text_dot1 ==== */
/* The same for one pixel: acc += x . w0, x . w1 */
net_HELPER void net_dot1_u8(int32_t *acc, const uint8_t *x, const int8_t *w, int32_t dw, int32_t n)
{
    int32_t a = acc[0], b = acc[1];
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
    for (; n > 0; n -= 8, x += 8, w += 8) {
        const mve_pred16_t p = vctp16q((uint32_t)n);
        const int16x8_t u = (net_LOAD_U8(x, p));
        a = vmladavaq_s16(a, u, vldrbq_z_s16(w, p));
        b = vmladavaq_s16(b, u, vldrbq_z_s16(w + dw, p));
    }
#else
#    if defined(__ARM_FEATURE_SIMD32) && defined(__GNUC__)
    int32_t i;
    for (i = n >> 2; i > 0; i--, x += 4, w += 4) {
        const uint32_t xa = net_word(x), wa = net_word(w), wb = net_word(w + dw);
        const int16x2_t u = (net_even_u8(xa)), v = (net_odd_u8(xa));
        a = __smlad(v, net_odd_s8(wa), __smlad(u, net_even_s8(wa), a));
        b = __smlad(v, net_odd_s8(wb), __smlad(u, net_even_s8(wb), b));
    }
    n &= 3;
#    endif
    for (; n > 0; n--, x++, w++) {
        const int32_t u = x[0];
        a += u * w[0];
        b += u * w[dw];
    }
#endif
    acc[0] = a;
    acc[1] = b;
}
/* ==== */
