/* iconv_neon.c - the integer convolution kernels with NEON.
 *
 * dense: 4 pixels x 16 channels are 16 registers, the weights of a step (loaded apart by k) 8 halves of registers;
 * smlal multiplies 4 channels by one value of s16. Codes: srshl by a negative number is the rounded shift of rescale.h.
 */
#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_isa.h"

#ifdef NB_WITH_NEON

#    include <arm_neon.h>

#    define V                int32x4_t
#    define V_LANES          4
#    define V_ZERO           vdupq_n_s32(0)
#    define V_LOAD(p)        vld1q_s32(p)
#    define V_STORE(p, v)    vst1q_s32(p, v)
#    define V_ADD(a, b)      vaddq_s32(a, b)
#    define W                int16x4x2_t
#    define W_LOAD(p)        vld2_s16((const int16_t *)(const void *)(p))
#    define X                int16x4_t
#    define X_SET(v)         vreinterpret_s16_s32(vdup_n_s32(v))
#    define V_DOT(acc, x, w) vmlal_lane_s16(vmlal_lane_s16(acc, (w).val[0], x, 0), (w).val[1], x, 1)
#    define TILE_BYTES       0
#    define TILE_ROWS        4
#    define TILE_PANELS      1
#    define TILE_TARGET
#    include "kernels/integer/iconv_tile.h"

static void widen(int16_t *to, const uint8_t *from, int32_t is_signed, int64_t n)
{
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint8x8_t v = vld1_u8(from + i);
        vst1q_s16(to + i, is_signed ? vmovl_s8(vreinterpret_s8_u8(v)) : vreinterpretq_s16_u16(vmovl_u8(v)));
    }
    for (; i < n; i++)
        to[i] = (int16_t)nb_code(from[i], is_signed);
}

/* One pixel, 16 channels from c0 on: two taps at a time, whose weights lie as pairs. */
static void depthwise_pixel(const nb_iconv_job *j, int32_t p, int32_t c0)
{
    const int16_t *x = (const int16_t *)j->x + j->px[p] + c0,
                  *w = (const int16_t *)j->panels + (int64_t)c0 * j->steps * 2;
    int32x4_t acc[VECTORS];
    for (int32_t v = 0; v < VECTORS; v++)
        acc[v] = vdupq_n_s32(0);
    for (int32_t k = 0; k < j->steps; k++, w += 2 * LANES) {
        const int16_t *a = x + j->runs[2 * k], *b = x + j->runs[2 * k + 1];
        for (int32_t v = 0; v < VECTORS; v++) {
            const int16x4x2_t weights = vld2_s16(w + 8 * v);
            acc[v] = vmlal_s16(acc[v], vld1_s16(a + 4 * v), weights.val[0]);
            acc[v] = vmlal_s16(acc[v], vld1_s16(b + 4 * v), weights.val[1]);
        }
    }
    store_sums(j, p, c0, acc, 1);
}

static void depthwise(const nb_iconv_job *j)
{
    for (int32_t c0 = 0; c0 < j->channels; c0 += LANES)
        for (int32_t p = 0; p < j->n; p++)
            depthwise_pixel(j, p, c0);
}

/* Two products of 32 bits, shifted right with rounding (ties up), saturated to 32 bits. */
static inline int32x2_t rescale2(int64x2_t product, int64x2_t minus_shift)
{
    return vqmovn_s64(vrshlq_s64(product, minus_shift));
}

/* Saturates first, far outside of every grid; lo and hi are limits without the zero point. */
static inline int16x4_t clamped(int32x4_t v, int32_t zero, int32_t lo, int32_t hi)
{
    v = vminq_s32(vmaxq_s32(v, vdupq_n_s32(lo)), vdupq_n_s32(hi));
    return vmovn_s32(vaddq_s32(v, vdupq_n_s32(zero)));
}

/* Four channels of all rows. */
static void requantize4(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c)
{
    const int32x4_t bias = vld1q_s32(q->bias), mult = vld1q_s32(q->mult), right = vnegq_s32(vld1q_s32(q->shift));
    const int64x2_t right_lo = vmovl_s32(vget_low_s32(right)), right_hi = vmovl_high_s32(right);
    for (int64_t r = 0; r < rows; r++, acc += c, codes += c) {
        const int32x4_t v = vaddq_s32(vld1q_s32(acc), bias);
        const int32x2_t lo = rescale2(vmull_s32(vget_low_s32(v), vget_low_s32(mult)), right_lo);
        const int32x2_t hi = rescale2(vmull_high_s32(v, mult), right_hi);
        const int16x4_t y = clamped(vcombine_s32(lo, hi), q->zero, q->lo - q->zero, q->hi - q->zero);
        const uint32_t bytes = vget_lane_u32(vreinterpret_u32_s8(vmovn_s16(vcombine_s16(y, y))), 0);
        memcpy(codes, &bytes, sizeof bytes);
    }
}

static void requantize(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c)
{
    nb_irequant part = *q;
    int32_t i = 0;
    for (; i + 4 <= c; i += 4, part.bias += 4, part.mult += 4, part.shift += 4)
        requantize4(codes + i, acc + i, &part, rows, c);
    for (int64_t r = 0; i < c && r < rows; r++)
        nb_iconv_scalar.requantize(codes + r * c + i, acc + r * c + i, &part, 1, c - i);
}

/* Four codes each, widened to 32 bits, to four rounded sums. constant: what the zero points amount to. */
static inline int32x4_t add4(int16x4_t a, int16x4_t b, const nb_ipair *p, int64_t constant)
{
    const int32x4_t wide_a = vmovl_s16(a), wide_b = vmovl_s16(b);
    const int64x2_t k = vdupq_n_s64(constant), right = vdupq_n_s64(-(int64_t)p->shift);
    int64x2_t lo = vmlal_n_s32(k, vget_low_s32(wide_a), p->mult[0]);
    int64x2_t hi = vmlal_n_s32(k, vget_high_s32(wide_a), p->mult[0]);
    lo = vmlal_n_s32(lo, vget_low_s32(wide_b), p->mult[1]);
    hi = vmlal_n_s32(hi, vget_high_s32(wide_b), p->mult[1]);
    return vcombine_s32(rescale2(lo, right), rescale2(hi, right));
}

static inline int16x8_t codes8(const uint8_t *x, int32_t is_signed)
{
    const uint8x8_t v = vld1_u8(x);
    return is_signed ? vmovl_s8(vreinterpret_s8_u8(v)) : vreinterpretq_s16_u16(vmovl_u8(v));
}

static void add(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p)
{
    const int64_t constant = -((int64_t)p->zero[0] * p->mult[0] + (int64_t)p->zero[1] * p->mult[1]);
    const int32_t lo = p->lo - p->y_zero, hi = p->hi - p->y_zero;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const int16x8_t u = codes8(a + i, p->x_signed[0]), v = codes8(b + i, p->x_signed[1]);
        const int32x4_t first = add4(vget_low_s16(u), vget_low_s16(v), p, constant);
        const int32x4_t second = add4(vget_high_s16(u), vget_high_s16(v), p, constant);
        const int16x8_t sum = vcombine_s16(clamped(first, p->y_zero, lo, hi), clamped(second, p->y_zero, lo, hi));
        vst1_u8(y + i, vmovn_u16(vreinterpretq_u16_s16(sum)));
    }
    if (i < n)
        nb_iconv_scalar.add(y + i, a + i, b + i, n - i, p);
}

static inline int32x4_t mul4(int16x4_t a, int16x4_t b, const nb_ipair *p)
{
    const int32x4_t product = vmull_s16(a, b);
    const int64x2_t right = vdupq_n_s64(-(int64_t)p->shift);
    return vcombine_s32(rescale2(vmull_n_s32(vget_low_s32(product), p->mult[0]), right),
                        rescale2(vmull_n_s32(vget_high_s32(product), p->mult[0]), right));
}

static void mul(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p)
{
    const int16x8_t zero_a = vdupq_n_s16((int16_t)p->zero[0]), zero_b = vdupq_n_s16((int16_t)p->zero[1]);
    const int32_t lo = p->lo - p->y_zero, hi = p->hi - p->y_zero;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const int16x8_t u = vsubq_s16(codes8(a + i, p->x_signed[0]), zero_a);
        const int16x8_t v = vsubq_s16(codes8(b + i, p->x_signed[1]), zero_b);
        const int32x4_t first = mul4(vget_low_s16(u), vget_low_s16(v), p);
        const int32x4_t second = mul4(vget_high_s16(u), vget_high_s16(v), p);
        const int16x8_t both = vcombine_s16(clamped(first, p->y_zero, lo, hi), clamped(second, p->y_zero, lo, hi));
        vst1_u8(y + i, vmovn_u16(vreinterpretq_u16_s16(both)));
    }
    if (i < n)
        nb_iconv_scalar.mul(y + i, a + i, b + i, n - i, p);
}

static const nb_iconv_method s16 = {.name = "s16", .form = NB_ICONV_S16, .dense = dense};
static const nb_iconv_method *const methods[] = {&s16, NULL};

const nb_iconv_isa nb_iconv_neon = {
    .methods = methods, .widen = widen, .depthwise = depthwise, .requantize = requantize, .add = add, .mul = mul};

#endif
