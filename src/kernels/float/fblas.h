/* fblas.h - products of wide float matrices by OpenBLAS, one thread each: whether it is there, right and fast here.
 *
 * OpenBLAS is called inside the chunks of parallel_for, so it must not use threads of its own: its threaded product
 * changes with their number. The calls of ours stand between nb_fblas_begin and nb_fblas_end, which set its number of
 * threads to 1 and afterwards back to what the host program had: nobody's setting changes beyond that, but a host that
 * multiplies in another thread meanwhile does so on one thread, too.
 *
 * A BLAS may be older than the processor it runs on, and then be wrong (kernels chosen by a mistaken feature test) or
 * slow (kernels of a processor of 2004). So a known product is computed first, and kernels narrower than our own are
 * used only where those lose anyway. */
#ifndef NB_KERNELS_FBLAS_H
#define NB_KERNELS_FBLAS_H

#include <nibble/geom.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Floats that one instruction of it multiplies; 0 when there is no BLAS, or a wrong one. The first call checks. */
int32_t nb_fblas_width(void);
/* "OpenBLAS 0.3.21 (Haswell)", "OpenBLAS 0.3.21 (Haswell), not used: its products are wrong", "none". */
const char *nb_fblas_name(void);
/* One sentence when the BLAS is not used because it is wrong, else NULL. */
const char *nb_fblas_complaint(void);

/* The core that OPENBLAS_CORETYPE should name when OpenBLAS is loaded, where it runs on a processor newer than itself and
 * so took the kernels that every processor has; NULL: it knows better, or there is none. have: bits of base/cpu.h. */
const char *nb_fblas_core_for(const char *core, uint32_t have);
/* That of the OpenBLAS that is loaded, on this processor. */
const char *nb_fblas_better_core(void);

/* Around a parallel loop whose chunks multiply; in the thread that starts it. */
void nb_fblas_begin(void);
void nb_fblas_end(void);

typedef enum { NB_FBLAS_AS_IS, NB_FBLAS_TRANSPOSED } nb_fblas_form;

typedef struct {
    const float *data;
    nb_fblas_form form;
    ptrdiff_t ld; /* floats from row to row of what is stored */
} nb_fblas_matrix;

/* c [m][n] = alpha * a [m][k] b [k][n] + beta * c, row by row; c is not read when beta is 0. Only when there is a
 * width.
 */
void nb_fblas_product(int32_t m, int32_t n, int32_t k, float alpha, nb_fblas_matrix a, nb_fblas_matrix b, float beta,
                      float *c, ptrdiff_t ldc);

/* For tests: does a function with the interface of cblas_sgemm make the known products? */
typedef void nb_fblas_sgemm(const int order, const int form_a, const int form_b, const int m, const int n, const int k,
                            const float alpha, const float *a, const int lda, const float *b, const int ldb,
                            const float beta, float *c, const int ldc);
bool nb_fblas_is_right(nb_fblas_sgemm *sgemm);

#endif
