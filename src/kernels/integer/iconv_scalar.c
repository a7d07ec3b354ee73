/* iconv_scalar.c - the integer convolution kernels in plain C: always there, and what every other variant must equal
 * bit for bit. */
#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_isa.h"
#include "kernels/rescale.h"

static void widen(int16_t *to, const uint8_t *from, int32_t is_signed, int64_t n)
{
    const int16_t flip = is_signed ? 0x80 : 0;
    for (int64_t i = 0; i < n; i++)
        to[i] = (int16_t)((from[i] ^ flip) - flip);
}

static void multiply_add(int32_t *restrict acc, int32_t x0, int32_t x1, const int16_t *restrict w)
{
    for (int32_t i = 0; i < NB_ICONV_LANES; i++)
        acc[i] += x0 * w[2 * i] + x1 * w[2 * i + 1];
}

static void dense_panel(const nb_iconv_job *j, int32_t c0)
{
    const int32_t lanes = j->channels - c0 < NB_ICONV_LANES ? j->channels - c0 : NB_ICONV_LANES;
    const int16_t *panel = (const int16_t *)j->panels + (int64_t)c0 * j->n_runs * j->steps * 2;
    for (int32_t p = 0; p < j->n; p++) {
        int32_t acc[NB_ICONV_LANES] = {0};
        const int16_t *w = panel;
        for (int32_t r = 0; r < j->n_runs; r++) {
            const int16_t *x = (const int16_t *)j->x + j->px[p] + j->runs[r];
            for (int32_t k = 0; k < j->steps; k++, w += 2 * NB_ICONV_LANES)
                multiply_add(acc, x[2 * k], x[2 * k + 1], w);
        }
        memcpy(j->acc + p * j->acc_stride + c0, acc, (size_t)lanes * sizeof *acc);
    }
}

static void dense(const nb_iconv_job *j)
{
    for (int32_t c0 = 0; c0 < j->channels; c0 += NB_ICONV_LANES)
        dense_panel(j, c0);
}

static void depthwise_panel(const nb_iconv_job *j, int32_t c0)
{
    const int32_t lanes = j->channels - c0 < NB_ICONV_LANES ? j->channels - c0 : NB_ICONV_LANES;
    const int16_t *panel = (const int16_t *)j->panels + (int64_t)c0 * j->steps * 2;
    for (int32_t p = 0; p < j->n; p++) {
        int32_t acc[NB_ICONV_LANES] = {0};
        const int16_t *w = panel, *x = (const int16_t *)j->x + j->px[p] + c0;
        for (int32_t k = 0; k < j->steps; k++, w += 2 * NB_ICONV_LANES) {
            const int16_t *a = x + j->runs[2 * k], *b = x + j->runs[2 * k + 1];
            for (int32_t i = 0; i < NB_ICONV_LANES; i++)
                acc[i] += a[i] * w[2 * i] + b[i] * w[2 * i + 1];
        }
        memcpy(j->acc + p * j->acc_stride + c0, acc, (size_t)lanes * sizeof *acc);
    }
}

static void depthwise(const nb_iconv_job *j)
{
    for (int32_t c0 = 0; c0 < j->channels; c0 += NB_ICONV_LANES)
        depthwise_panel(j, c0);
}

static void requantize(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c)
{
    for (int64_t r = 0; r < rows; r++, acc += c, codes += c)
        for (int32_t i = 0; i < c; i++)
            codes[i] = (uint8_t)nb_rescale(acc[i] + q->bias[i], q->mult[i], q->shift[i], q->zero, q->lo, q->hi);
}

/* The products depend on one code each: done once per code instead of once per element. */
static void add(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p)
{
    int64_t part[2][256];
    for (int32_t k = 0; k < 2; k++)
        for (int32_t v = 0; v < 256; v++)
            part[k][v] = (int64_t)(nb_code((uint8_t)v, p->x_signed[k]) - p->zero[k]) * p->mult[k];
    for (int64_t i = 0; i < n; i++)
        y[i] =
            (uint8_t)nb_clamp_code(nb_rescale_wide(part[0][a[i]] + part[1][b[i]], p->shift) + p->y_zero, p->lo, p->hi);
}

static void mul(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p)
{
    for (int64_t i = 0; i < n; i++) {
        const int32_t u = nb_code(a[i], p->x_signed[0]) - p->zero[0], v = nb_code(b[i], p->x_signed[1]) - p->zero[1];
        y[i] = (uint8_t)nb_rescale(u * v, p->mult[0], p->shift, p->y_zero, p->lo, p->hi);
    }
}

static const nb_iconv_method s16 = {.name = "s16", .form = NB_ICONV_S16, .dense = dense};
static const nb_iconv_method *const methods[] = {&s16, NULL};

const nb_iconv_isa nb_iconv_scalar = {
    .methods = methods, .widen = widen, .depthwise = depthwise, .requantize = requantize, .add = add, .mul = mul};
