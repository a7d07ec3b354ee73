/* optimizer.h - how a gradient changes a parameter: one file per method in src/train/, listed in optimizers.def. Most look at one
 * value at a time; one that looks at the whole weight of a layer has `matrix`. */
#ifndef NIBBLE_EXTEND_OPTIMIZER_H
#define NIBBLE_EXTEND_OPTIMIZER_H

#include <nibble/extend/keys.h>
#include <nibble/train.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    float lr, weight_decay; /* weight_decay is already 0 for parameters it does not apply to */
    int64_t t;              /* 1-based count of updates in this phase, for bias correction */
} nb_step_args;

typedef struct {
    int32_t rows, columns; /* output channels; values of one */
} nb_matrix_size;

struct nb_optimizer {
    NB_ENTRY;          /* keys: beside the common ones, nb_optimizer_keys */
    int32_t n_moments; /* floats of state per parameter value: 0..NB_MAX_MOMENTS */
    uint32_t squares;  /* bit k: moment k averages squares and is never negative */
    /* Pure and elementwise: called on chunks, in parallel. */
    void (*update)(const void *attr, const nb_step_args *a, float *w, const float *g, float *const *moments, int64_t n);
    /* Are the weights of such a layer, a convolution or a linear one, changed as a whole? NULL: none are. */
    bool (*takes)(const void *attr, bool convolution);
    /* Of a weight [rows, columns] that takes() does: what update() does for the others, with work_floats floats of its own. Called
     * in parallel for different weights. */
    void (*matrix)(const void *attr, const nb_step_args *a, float *w, const float *g, float *const *moments,
                   const nb_matrix_size *size, float *work);
    int64_t (*work_floats)(const nb_matrix_size *size);
};
enum { NB_MAX_MOMENTS = 2 };

#ifdef __cplusplus
}
#endif
#endif
