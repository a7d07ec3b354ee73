/* matrix.h - products of small float matrices inside an optimizer's parallel loop, one thread each. */
#ifndef NB_TRAIN_MATRIX_H
#define NB_TRAIN_MATRIX_H

#include <stdbool.h>
#include <stdint.h>

/* c [m][n] = alpha * a [m][k] b [k][n] + beta * c; b_transposed: b is stored as [n][k]. c is not read when beta is 0. The same for any
 * number of threads. */
void nb_matrix_product(float *c, const float *a, const float *b, int32_t m, int32_t n, int32_t k, float alpha,
                       float beta, bool b_transposed);

#endif
