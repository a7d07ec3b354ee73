/* activation_math.h - the functions that activations are made of, in single precision, without a branch or a call, so that
 * compilers make vectors of them; the same bits for a value wherever it stands. A NaN stays a NaN.
 *
 * Polynomials are minimax fits: exp within 1e-7 of its value, log1p and the normal distribution within 1e-8. */
#ifndef NB_LAYERS_ACTIVATION_MATH_H
#define NB_LAYERS_ACTIVATION_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float act_clip(float x, float low, float high)
{
    const float v = x < low ? low : x;
    return v > high ? high : v;
}

static inline float act_between(float x, float low, float high)
{
    return x > low && x < high ? 1.0f : 0.0f;
}

static inline float act_square(float x)
{
    return x * x;
}

static inline float act_sign(float x)
{
    return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x;
}

/* exp(x) = s + m, where s is a power of two, and m is accurate where x is near 0; |x| is cut at 87. */
static inline float act_exp_parts(float x, float *s)
{
    const float cut = act_clip(x, -87.0f, 87.0f), magic = 12582912.0f; /* 1.5 * 2^23: its last bit is worth 1 */
    const float shifted = cut * 1.44269504f + magic, n = shifted - magic;
    const float r = (cut - n * 0.693145752f) - n * 1.42860677e-6f;
    const float q = (((0.0013941389f * r + 0.008363335f) * r + 0.041666374f) * r + 0.16666576f) * r + 0.5f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23; /* what magic has there goes out at the top */
    memcpy(s, &bits, sizeof bits);
    return *s * (r + r * r * q);
}

static inline float act_exp(float x)
{
    float s;
    const float m = act_exp_parts(x, &s);
    return s + m;
}

static inline float act_expm1(float x)
{
    float s;
    const float m = act_exp_parts(x, &s);
    return (s - 1.0f) + m;
}

static inline float act_sigmoid(float x)
{
    return 1.0f / (1.0f + act_exp(-x));
}

/* The slope of a sigmoid whose value is s. */
static inline float act_bell(float s)
{
    return s * (1.0f - s);
}

static inline float act_tanh(float x)
{
    const float m = act_expm1(2.0f * act_clip(x, -20.0f, 20.0f));
    return m / (m + 2.0f);
}

static inline float act_hardswish_slope(float x)
{
    return x < -3.0f ? 0.0f : x > 3.0f ? 1.0f : x * (1.0f / 3) + 0.5f;
}

static inline float act_silu_slope(float x, float alpha)
{
    const float s = act_sigmoid(alpha * x);
    return s + alpha * x * act_bell(s);
}

/* log(1 + y) for y in 0..1 */
static inline float act_log1p(float y)
{
    float p = -0.003243981f * y + 0.019851264f;
    p = p * y - 0.05695916f;
    p = p * y + 0.10603617f;
    p = p * y - 0.1530557f;
    p = p * y + 0.19675931f;
    p = p * y - 0.24954133f;
    p = p * y + 0.33329964f;
    p = p * y - 0.49999902f;
    return (p * y + 1.0f) * y;
}

/* Of a normal number above 0. */
static inline float act_log(float x)
{
    uint32_t bits, mantissa;
    float m;
    memcpy(&bits, &x, sizeof bits);
    mantissa = (bits & 0x7fffffu) | 0x3f800000u;
    memcpy(&m, &mantissa, sizeof m);
    const float e = (float)((int32_t)(bits >> 23) - 127);
    const float y = e * 0.693145752f + (act_log1p(m - 1.0f) + e * 1.42860677e-6f);
    return x != x ? x : y;
}

/* By logarithms, but for squares; what has no power that is a number is 0. */
static inline float act_pow(float x, float p)
{
    const float whole = (float)(int32_t)p, odd = (float)((int32_t)p & 1);
    const float size = act_exp(p * act_log(act_clip(fabsf(x), 1e-30f, 3e38f)));
    const float below = whole != p ? 0.0f : odd != 0.0f ? -size : size;
    const float cut = act_clip(x, -1e18f, 1e18f);
    return p == 2.0f ? cut * cut : x < 0.0f ? below : size;
}

static inline float act_pow_slope(float x, float p)
{
    return x < 0.0f && (float)(int32_t)p != p ? 0.0f : p * act_pow(x, p - 1.0f);
}

static inline float act_softplus(float x)
{
    return (x > 0.0f ? x : 0.0f) + act_log1p(act_exp(-fabsf(x)));
}

/* The normal distribution's share above |x|, 0..0.5. */
static inline float act_normal_tail(float x)
{
    const float z = act_clip(fabsf(x), 0.0f, 14.0f), t = 1.0f / (1.0f + 0.3f * z);
    float p = -0.020612947f * t + 0.11237643f;
    p = p * t - 0.22806905f;
    p = p * t + 0.19158375f;
    p = p * t - 0.079249054f;
    p = p * t + 0.09605875f;
    p = p * t + 0.07842526f;
    p = p * t + 0.11022739f;
    p = p * t + 0.11957283f;
    p = p * t + 0.11968663f;
    return p * t * act_exp(-0.5f * z * z);
}

static inline float act_erf(float x)
{
    const float outside = 2.0f * act_normal_tail(1.41421356f * x);
    return x > 0.0f ? 1.0f - outside : outside - 1.0f;
}

static inline float act_gelu(float x)
{
    const float part = act_clip(x, -14.0f, 14.0f) * act_normal_tail(x);
    return x > 0.0f ? x - part : part;
}

static inline float act_gelu_slope(float x)
{
    const float tail = act_normal_tail(x), z = act_clip(x, -14.0f, 14.0f);
    return (x > 0.0f ? 1.0f - tail : tail) + z * 0.398942280f * act_exp(-0.5f * z * z);
}

static inline float act_gelu_inner(float x)
{
    return 1.59576912f * (x + 0.044715f * x * x * x); /* sqrt(8 / pi) */
}

static inline float act_gelu_tanh_slope(float x)
{
    const float s = act_sigmoid(act_gelu_inner(x));
    return s + act_clip(x, -14.0f, 14.0f) * act_bell(s) * 1.59576912f * (1.0f + 3.0f * 0.044715f * x * x);
}

/* tanh(log(1 + exp(x))) = (y * y + 2 y) / (y * y + 2 y + 2) with y = exp(x) */
static inline float act_mish_gate(float x)
{
    const float y = act_exp(act_clip(x, -87.0f, 20.0f)), n = y * (y + 2.0f);
    return n / (n + 2.0f);
}

static inline float act_mish_slope(float x)
{
    const float t = act_mish_gate(x);
    return t + x * act_sigmoid(x) * (1.0f - t * t);
}

#endif
