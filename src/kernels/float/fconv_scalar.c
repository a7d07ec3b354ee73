/* fconv_scalar.c - rows times taps in plain C11: the reference of the vector variants, and what is left without them.
 */
#include "kernels/float/fconv_isa.h"

#include <string.h>

static void store(const nb_frows *r, int32_t row, const float *acc)
{
    float *out = r->out + r->out_off[row];
    for (int32_t j = 0; j < r->n_cols; j++)
        out[j] = r->add ? out[j] + acc[j] : acc[j];
}

static void start(const nb_frows *r, float *acc)
{
    memset(acc, 0, NB_PANEL * sizeof *acc);
    if (r->bias)
        memcpy(acc, r->bias, (size_t)r->n_cols * sizeof *acc);
}

static void dense(const nb_frows *r)
{
    for (int32_t i = 0; i < r->n_rows; i++) {
        float acc[NB_PANEL];
        const float *in = r->in + r->row_off[i], *b = r->b;
        start(r, acc);
        for (int32_t s = 0; s < r->n_sum; s++, b += r->ldb) {
            float x = in[r->sum_off[s]];
            for (int32_t j = 0; j < NB_PANEL; j++)
                acc[j] += x * b[j];
        }
        store(r, i, acc);
    }
}

static void depth(const nb_frows *r)
{
    for (int32_t i = 0; i < r->n_rows; i++) {
        float acc[NB_PANEL];
        const float *in = r->in + r->row_off[i], *b = r->b;
        start(r, acc);
        for (int32_t s = 0; s < r->n_sum; s++, b += r->ldb) {
            const float *x = in + r->sum_off[s];
            for (int32_t j = 0; j < NB_PANEL; j++)
                acc[j] += x[j] * b[j];
        }
        store(r, i, acc);
    }
}

/* ---- rows of a depthwise 3x3 convolution ---- */

static void depth3(const nb_fdepth_row *r)
{
    const ptrdiff_t c = r->c;
    for (int32_t x = 0; x < r->n_out; x++)
        for (int32_t j = 0; j < r->c; j++) {
            float *out = r->out + (x * c + j), acc = r->bias ? r->bias[j] : 0.0f;
            for (int32_t k = 0; k < r->n_rows; k++)
                for (int32_t t = 0; t < 3; t++) {
                    const int32_t from = x * r->stride + t - 1;
                    if (from >= 0 && from < r->n_in)
                        acc += r->in[k][from * c + j] * r->w[k][t * r->ldw + j];
                }
            *out = r->add ? *out + acc : acc;
        }
}

static void depth3_spread(const nb_fdepth_row *r)
{
    const ptrdiff_t c = r->c;
    for (int32_t x = 0; x < r->n_out; x++)
        for (int32_t j = 0; j < r->c; j++) {
            float *out = r->out + (x * c + j), acc = r->bias ? r->bias[j] : 0.0f;
            for (int32_t k = 0; k < r->n_rows; k++)
                for (int32_t t = 2; t >= 0; t--) {
                    const int32_t twice = x + 1 - t;
                    if (twice >= 0 && twice % 2 == 0 && twice / 2 < r->n_in)
                        acc += r->in[k][twice / 2 * c + j] * r->w[k][t * r->ldw + j];
                }
            *out = r->add ? *out + acc : acc;
        }
}

static void depth3_weights(const nb_fdepth_sums *r)
{
    const ptrdiff_t c = r->c;
    for (int32_t y = 0; y < r->n_rows; y++)
        for (int32_t x = 0; x < r->n_out; x++)
            for (int32_t t = 0; t < 9; t++) {
                const float *in = r->in[y * r->stride + t / 3], *dy = r->dy + ((ptrdiff_t)y * r->n_out + x) * c;
                const int32_t from = x * r->stride + t % 3 - 1;
                for (int32_t j = 0; j < r->c && in && from >= 0 && from < r->n_in; j++)
                    r->out[t * r->ldw + j] += dy[j] * in[from * c + j];
            }
}

const nb_fconv_isa nb_fconv_scalar = {dense, depth, depth3, depth3_spread, depth3_weights, NULL, NULL, NULL, NULL, 4};
