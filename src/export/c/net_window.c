/* clang-format off */
/* net_window.c - exported programs: convolutions for Helium (export/cgen_window.c). Laid out by hand for the assembler. */
#include "net_macros.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1) && defined(__GNUC__)

/* ==== cgen_text_window ==== */
/* A window of codes, kw * c after one another for every ky; what lies outside is `zero`. flip: 0x80 for u8. */
static void net_window(int8_t *to, const void *from, int32_t top, int32_t left, int32_t h, int32_t w, int32_t c,
                    int32_t kh, int32_t kw, int32_t dh, int32_t dw, uint8_t zero,
                    uint8_t flip)
{
    const uint8_t *const x = (const uint8_t *)from;
    uint8_t *y = (uint8_t *)to;
    int32_t ky, kx, i;
    for (ky = 0; ky < kh; ky++) {
        const int32_t iy = top + ky * dh, row = iy >= 0 && iy < h;
        const int32_t whole = row && dw == 1 && left >= 0 && left + kw <= w;
        const int32_t n = whole ? kw * c : c;
        for (kx = 0; kx < kw; kx += whole ? kw : 1) {
            const int32_t ix = left + kx * dw, inside = row && ix >= 0 && ix < w;
            const uint8_t *const p = inside ? x + (iy * w + ix) * c : x;
            for (i = 0; i < n; i += 16) {
                const mve_pred16_t some = vctp8q((uint32_t)(n - i));
                const uint8x16_t v = inside ? vldrbq_z_u8(p + i, some) : vdupq_n_u8(zero);
                vstrbq_p_u8(y + i, veorq_u8(v, vdupq_n_u8(flip)), some);
            }
            y += n;
        }
    }
}
/* ==== */

/* vmulh is the product's upper half, vrshl by a negative number the rounding shift: what close_high does. */
/* ==== cgen_text_closew ==== */
/* Four sums of two channels, `next` apart, and two pixels, dy apart, rescaled and stored; two: else the first pixel
 * alone. */
net_INLINE void net_closew(void *y, uint32_t dy, const int32_t *acc, const int32_t *mult, const uint8_t *shift,
                     uint32_t next, int32_t two, int32_t zero, int32_t lo, int32_t hi)
{
    const uint32x4_t at = {0, next, 0, next}, to = {0, next, dy, dy + next};
    const int32x4_t m = vldrwq_gather_shifted_offset_s32(mult, at);
    const int32x4_t s = vreinterpretq_s32_u32(vldrbq_gather_offset_u32(shift, at));
    int32x4_t v = vmulhq_s32(vldrwq_s32(acc), m);
    v = vaddq_n_s32(vrshlq_s32(v, vsubq_s32(vdupq_n_s32(32), s)), zero);
    v = vminq_s32(vmaxq_s32(v, vdupq_n_s32(lo)), vdupq_n_s32(hi));
    vstrbq_scatter_offset_p_u32((uint8_t *)y, to, vreinterpretq_u32_s32(v), two ? 0xffff : 0x00ff);
}
/* ==== */

/* n codes come 16 at a time; what is missing in the last step adds nothing (letp). In assembler because compilers
 * unroll the loop whole, or keep sums in memory. 4 bits: a byte 0xHL is a lane 0x00HL, becomes 0xHLL0, and its two bytes
 * shifted right arithmetically are the codes; 2 bits likewise, four to a lane. Widening loads want low registers ("l"). */
/* ==== cgen_text_dotw2 ==== */
/* Two windows of n codes times two channels, whose biases are given and 2-bit weights dw bytes apart. */
net_INLINE void net_dotw2(int32_t *acc, int32_t first, int32_t second, const int8_t *x, const uint8_t *w, int32_t dw,
                    int32_t n)
{
    int32_t a = first, b = second, c = first, d = second;
    const int8_t *z = x + n;
    const uint8_t *v = w + dw;
    __asm__ volatile("   dlstp.8 lr, %[n]\n"
                     "1: vldrb.8 q0, [%[x]], #16\n"
                     "   vldrb.8 q1, [%[z]], #16\n"
                     "   vldrb.u32 q2, [%[w]], #4\n"
                     "   vshl.i32 q4, q2, #6\n"
                     "   vsli.32 q4, q2, #12\n"
                     "   vsli.32 q4, q2, #18\n"
                     "   vsli.32 q4, q2, #24\n"
                     "   vshr.s8 q2, q4, #6\n"
                     "   vmladava.s8 %[a], q0, q2\n"
                     "   vmladava.s8 %[c], q1, q2\n"
                     "   vldrb.u32 q3, [%[v]], #4\n"
                     "   vshl.i32 q4, q3, #6\n"
                     "   vsli.32 q4, q3, #12\n"
                     "   vsli.32 q4, q3, #18\n"
                     "   vsli.32 q4, q3, #24\n"
                     "   vshr.s8 q3, q4, #6\n"
                     "   vmladava.s8 %[b], q0, q3\n"
                     "   vmladava.s8 %[d], q1, q3\n"
                     "   letp lr, 1b\n"
                     : [a] "+Te"(a), [b] "+Te"(b), [c] "+Te"(c), [d] "+Te"(d), [x] "+r"(x), [z] "+r"(z),
                       [w] "+l"(w), [v] "+l"(v)
                     : [n] "r"(n)
                     : "q0", "q1", "q2", "q3", "q4", "lr", "cc", "memory");
    acc[0] = a;
    acc[1] = b;
    acc[2] = c;
    acc[3] = d;
}
/* ==== */

/* ==== cgen_text_dotw4 ==== */
/* Two windows of n codes times two channels, whose biases are given and 4-bit weights dw bytes apart. */
net_INLINE void net_dotw4(int32_t *acc, int32_t first, int32_t second, const int8_t *x, const uint8_t *w, int32_t dw,
                    int32_t n)
{
    int32_t a = first, b = second, c = first, d = second;
    const int8_t *z = x + n;
    const uint8_t *v = w + dw;
    __asm__ volatile("   dlstp.8 lr, %[n]\n"
                     "1: vldrb.8 q0, [%[x]], #16\n"
                     "   vldrb.8 q1, [%[z]], #16\n"
                     "   vldrb.u16 q2, [%[w]], #8\n"
                     "   vshl.i16 q4, q2, #4\n"
                     "   vsli.16 q4, q2, #8\n"
                     "   vshr.s8 q2, q4, #4\n"
                     "   vmladava.s8 %[a], q0, q2\n"
                     "   vmladava.s8 %[c], q1, q2\n"
                     "   vldrb.u16 q3, [%[v]], #8\n"
                     "   vshl.i16 q4, q3, #4\n"
                     "   vsli.16 q4, q3, #8\n"
                     "   vshr.s8 q3, q4, #4\n"
                     "   vmladava.s8 %[b], q0, q3\n"
                     "   vmladava.s8 %[d], q1, q3\n"
                     "   letp lr, 1b\n"
                     : [a] "+Te"(a), [b] "+Te"(b), [c] "+Te"(c), [d] "+Te"(d), [x] "+r"(x), [z] "+r"(z),
                       [w] "+l"(w), [v] "+l"(v)
                     : [n] "r"(n)
                     : "q0", "q1", "q2", "q3", "q4", "lr", "cc", "memory");
    acc[0] = a;
    acc[1] = b;
    acc[2] = c;
    acc[3] = d;
}
/* ==== */

/* ==== cgen_text_dotw8 ==== */
/* Two windows of n codes times two channels, whose biases are given and 8-bit weights dw bytes apart. */
net_INLINE void net_dotw8(int32_t *acc, int32_t first, int32_t second, const int8_t *x, const int8_t *w, int32_t dw,
                    int32_t n)
{
    int32_t a = first, b = second, c = first, d = second;
    const int8_t *z = x + n;
    const int8_t *v = w + dw;
    __asm__ volatile("   dlstp.8 lr, %[n]\n"
                     "1: vldrb.8 q0, [%[x]], #16\n"
                     "   vldrb.8 q1, [%[z]], #16\n"
                     "   vldrb.8 q2, [%[w]], #16\n"
                     "   vmladava.s8 %[a], q0, q2\n"
                     "   vmladava.s8 %[c], q1, q2\n"
                     "   vldrb.8 q3, [%[v]], #16\n"
                     "   vmladava.s8 %[b], q0, q3\n"
                     "   vmladava.s8 %[d], q1, q3\n"
                     "   letp lr, 1b\n"
                     : [a] "+Te"(a), [b] "+Te"(b), [c] "+Te"(c), [d] "+Te"(d), [x] "+r"(x), [z] "+r"(z),
                       [w] "+r"(w), [v] "+r"(v)
                     : [n] "r"(n)
                     : "q0", "q1", "q2", "q3", "q4", "lr", "cc", "memory");
    acc[0] = a;
    acc[1] = b;
    acc[2] = c;
    acc[3] = d;
}
/* ==== */

#endif
