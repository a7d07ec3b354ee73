/* qgrad_scalar.c - the kernels of 16-bit gradients in plain C: what every other variant must equal bit for bit. */
#include "kernels/grad16/qgrad_isa.h"

#include <nibble/extend/tensor.h>
#include <string.h>

static void store(const nb_qrows *r, int32_t row, const int32_t *acc)
{
    float *out = r->out + r->out_off[row];
    for (int32_t j = 0; j < r->n_cols; j++) {
        float v = (float)acc[j] * r->scale[j];
        out[j] = r->add ? out[j] + v : v;
    }
}

static void rows(const nb_qrows *r)
{
    for (int32_t i = 0; i < r->n_rows; i++) {
        int32_t acc[NB_PANEL] = {0};
        const int16_t *in = r->in + r->row_off[i], *b = r->b;
        for (int32_t s = 0; s < r->n_sum; s++, b += 2 * NB_PANEL) {
            const int32_t x0 = in[r->sum_off[s]], x1 = in[r->sum_off[s] + 1];
            for (int32_t j = 0; j < NB_PANEL; j++)
                acc[j] += x0 * b[2 * j] + x1 * b[2 * j + 1];
        }
        store(r, i, acc);
    }
}

static void max_bits(int32_t *max, const float *x, int64_t n_rows, int32_t c)
{
    for (int64_t i = 0; i < n_rows; i++, x += c)
        for (int32_t j = 0; j < c; j++) {
            int32_t bits;
            memcpy(&bits, &x[j], sizeof bits);
            bits &= INT32_MAX;
            max[j] = bits > max[j] ? bits : max[j];
        }
}

/* Half to even for |v| < 2^22: above 2^23 floats are whole, so the addition rounds. */
static int16_t round_code(float v)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: the sum has this exponent whatever v's sign */
    return (int16_t)(int32_t)(v + shift - shift);
}

static void codes(int16_t *q, const float *x, const float *a, float b, int64_t n_rows, int32_t c)
{
    for (int64_t i = 0; i < n_rows; i++, x += c, q += c)
        for (int32_t j = 0; j < c; j++)
            q[j] = round_code(x[j] * a[j] * b);
}

static void pairs(int16_t *q, const float *x, const float *a, int32_t n, int32_t stride, int32_t cols)
{
    memset(q, 0, (size_t)(n + 1) / 2 * 2 * NB_PANEL * sizeof *q);
    for (int32_t i = 0; i < n; i++, x += stride)
        for (int32_t j = 0; j < cols; j++)
            q[(i / 2 * NB_PANEL + j) * 2 + i % 2] = round_code(x[j] * a[j]);
}

static void beside(int16_t *restrict q, const uint8_t *a, const uint8_t *b, int64_t n, const nb_fconv_image *like)
{
    const int16_t zero = (int16_t)like->zero;
    if (like->dtype == NB_S8)
        for (int64_t i = 0; i < n; i++) {
            q[2 * i] = (int16_t)((int8_t)a[i] - zero);
            q[2 * i + 1] = (int16_t)((int8_t)b[i] - zero);
        }
    else
        for (int64_t i = 0; i < n; i++) {
            q[2 * i] = (int16_t)(a[i] - zero);
            q[2 * i + 1] = (int16_t)(b[i] - zero);
        }
}

const nb_qgrad_isa nb_qgrad_scalar = {.rows = rows, .max = max_bits, .codes = codes, .pairs = pairs, .beside = beside};
