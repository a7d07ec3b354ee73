/* batchnorm.h - the parts of a batch norm, for batchnorm.c, which runs them in sweeps of its own, and for fused chains,
 * which sweep differently but must come to the same bits. */
#ifndef NB_LAYERS_BATCHNORM_H
#define NB_LAYERS_BATCHNORM_H

#include <nibble/extend/fusion.h>

/* in[0] is the value; its leaves follow from here. */
enum { NB_BN_GAMMA = 1 };

/* Reductions over rows are cut into the parts of the batch (extend/cut.h), added in order. */
typedef struct {
    nb_node *n;
    int64_t rows, all_rows, per_image; /* that are here, of the whole batch, of an image */
    int64_t grain;                     /* rows per chunk of a sweep that reduces nothing */
    int32_t c, n_parts;
    double *sums;    /* [n_parts][2][c] */
    float *extremes; /* [n_parts][2][c] minimum and maximum of x, where a chain asks for them */
    float *mean, *rstd, *mul, *add, *off;
} nb_bn;

/* A view of n's memory for the current batch. */
nb_bn nb_bn_of(nb_node *n);
/* Part i is rows [nb_bn_part(b, i), nb_bn_part(b, i + 1)) of those that are here. */
int64_t nb_bn_part(const nb_bn *b, int64_t i);
/* Batch statistics are in use: x must be summed before the map is known. */
bool nb_bn_uses_batch(const nb_run *r);
float nb_bn_eps(const nb_node *n);
nb_status nb_bn_prepare(nb_graph *g, nb_node *n);
void nb_bn_moments(const nb_node *n, int32_t c, double *mean, double *deviation);

/* A part's sums (and, if asked, extremes) begin at nothing, then take in its rows from the first to the last. */
void nb_bn_start(const nb_bn *b, int64_t part);
void nb_bn_take(const nb_bn *b, int64_t part, bool extremes, const float *x, int64_t rows);

/* After the parts that are here: all ranks' sums, and, if asked, extremes. */
void nb_bn_gather(const nb_bn *b, bool sums, bool extremes);

/* forward: y = mul * x + add, from the parts' sums or from running statistics; updates these. */
void nb_bn_forward_map(nb_bn *b, const nb_run *r);
/* The batch's mean and 1 / sigma from the parts' sums, to b->mean and b->rstd; the running ones move. */
void nb_bn_batch_statistics(nb_bn *b);
/* The two totals of channel c, parts in order. */
void nb_bn_totals(const nb_bn *b, int32_t c, double *first, double *second);
/* After integers, the frozen shift becomes an int32 bias in accumulator units: what evaluation shows is what that bias
 * gives. add [4 * c]: the shifts, and work space behind them. */
void nb_bn_round_shift(const nb_node *n, const double *mul, double *add, int32_t c);

/* backward, of one part: sums over dy where mask (rows of bits as in kernels/sweeps/fused_sweep.h; NULL: everywhere). Both are of
 * the whole tensor. */
void nb_bn_grad_part(const nb_bn *b, int64_t part, const float *dy, const uint8_t *mask);
/* The same in pieces, from the part's first row to its last: all but the last have a multiple of NB_GRAD_BLOCK rows. */
void nb_bn_grad_start(const nb_bn *b, int64_t part);
void nb_bn_grad_rows(const nb_bn *b, int64_t part, int64_t first, int64_t end, const float *dy, const uint8_t *mask);
/* dx = mul * dy + add * x + off, from the parts' sums; gamma and beta get their gradients. */
void nb_bn_backward_map(nb_bn *b, const nb_run *r);

/* Folds its factor into the weights before it (op->fold): batchnorm_folded.c. */
nb_status nb_bn_fold(nb_graph *g, nb_node *n);

#endif
