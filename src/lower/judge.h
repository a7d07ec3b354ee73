/* judge.h - can rounding explain a difference between the engine's code and that of the graph it was lowered from? */
#ifndef NB_LOWER_JUDGE_H
#define NB_LOWER_JUDGE_H

#include "lower/lower_value.h"

typedef struct {
    const nb_intmodel *m;
    const nb_lval *val;         /* by node id */
    const nb_node *const *node; /* by tensor: whose value it is */
} nb_judge;

/* Step i reads and writes what the graph's values say; only then may its values be judged. */
bool nb_judge_fits(const nb_judge *j, int32_t i);

/* One output value of a step that both made from the same input codes. */
typedef struct {
    int32_t step;
    const int32_t *in[NB_ENGINE_MAX_IN]; /* codes of its inputs, one image, NHWC */
    int64_t at;                          /* which value */
    int32_t engine, graph;               /* what it became */
} nb_verdict;

/* True when the value before rounding, computed once more in double, is so near to both codes that each rounded it
 * right but for the error of its own arithmetic: single precision there, a multiplier of 31 bits here. */
bool nb_judge_is_rounding(const nb_judge *j, const nb_verdict *v);

#endif
