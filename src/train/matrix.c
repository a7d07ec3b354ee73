/* matrix.c - by the BLAS where there is one, else by loops that compilers turn into vectors. */
#include "train/matrix.h"

#include "kernels/float/fblas.h"

static void own_row(float *c, const float *a, const float *b, int32_t n, int32_t k, float alpha, bool b_transposed)
{
    for (int32_t i = 0; i < k; i++) {
        const float f = alpha * a[i];
        if (b_transposed)
            for (int32_t j = 0; j < n; j++)
                c[j] += f * b[(int64_t)j * k + i];
        else
            for (int32_t j = 0; j < n; j++)
                c[j] += f * b[(int64_t)i * n + j];
    }
}

void nb_matrix_product(float *c, const float *a, const float *b, int32_t m, int32_t n, int32_t k, float alpha,
                       float beta, bool b_transposed)
{
    if (nb_fblas_width() > 0) {
        const nb_fblas_matrix left = {a, NB_FBLAS_AS_IS, k},
                              right = {b, b_transposed ? NB_FBLAS_TRANSPOSED : NB_FBLAS_AS_IS, b_transposed ? k : n};
        nb_fblas_product(m, n, k, alpha, left, right, beta, c, n);
        return;
    }
    for (int32_t r = 0; r < m; r++, a += k, c += n) {
        for (int32_t j = 0; j < n; j++)
            c[j] = beta != 0 ? beta * c[j] : 0;
        own_row(c, a, b, n, k, alpha, b_transposed);
    }
}
