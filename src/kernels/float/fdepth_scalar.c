/* fdepth_scalar.c - rows of a depthwise 3x3 convolution in plain C11: the reference of the vector variants, and what is
 * left without them. */
#include "kernels/float/fdispatch.h"

void nb_k_depth3__scalar(const nb_fdepth_row *r)
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

void nb_k_depth3_spread__scalar(const nb_fdepth_row *r)
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

void nb_k_depth3_weights__scalar(const nb_fdepth_sums *r)
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
