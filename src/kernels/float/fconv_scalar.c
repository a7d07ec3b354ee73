/* fconv_scalar.c - rows times taps in plain C11: the reference of the vector variants, and what is left without them.
 */
#include "kernels/float/fdispatch.h"

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

void nb_k_dense_f32__scalar(const nb_frows *r)
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

void nb_k_depth_f32__scalar(const nb_frows *r)
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
