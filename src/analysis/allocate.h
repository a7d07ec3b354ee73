/* allocate.h - bits for every quantizer under a budget: of all choices whose costs fit, one with the smallest sum of losses.
 *
 * A multiple-choice knapsack: of each class one option. Solved exactly, so the result is an optimum and not a guess:
 * dynamic programming over the classes keeps every state (cost so far, loss so far) that no other one beats in both, and
 * drops those only whose relaxed bound (fractions of options allowed) proves that they cannot end below a solution that is
 * known. Costs are whole numbers (bytes, bit operations), losses any finite numbers. */
#ifndef NB_ANALYSIS_ALLOCATE_H
#define NB_ANALYSIS_ALLOCATE_H

#include <nibble/context.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int32_t bits;
    int64_t cost;
    double loss;
} nb_alloc_option;

typedef struct {
    const nb_alloc_option *option; /* [n], n >= 1 */
    int32_t n;
    int32_t by; /* the class whose chosen bits multiply this one's costs: its own `by` is -1; -1: none */
} nb_alloc_class;

typedef struct {
    bool fits;     /* false: nothing does, and only `least` is told */
    int64_t least; /* the smallest cost there is */
    int64_t cost;
    double loss;
} nb_allocation;

/* pick: room for n, the index of each class's option. Of equal losses the cheapest. NB_E_NOMEM is the only failure. */
nb_status nb_allocate(nb_ctx *ctx, const nb_alloc_class *c, int32_t n, int64_t budget, nb_allocation *out,
                      int32_t *pick);

/* What was chosen, in the whole network: nats an image. */
typedef struct {
    double predicted; /* the sum of each quantizer's */
    double measured;  /* all together */
    int32_t images;
    bool estimated; /* predicted from traces of Hessians */
} nb_alloc_outcome;
enum { NB_ALLOC_OFF = 256 };
/* Single losses do not add up exactly; where all together lose several times as much, a sentence about it and what to do; else
 * "". Returns buf. */
const char *nb_alloc_off(const nb_alloc_outcome *o, char buf[NB_ALLOC_OFF]);

#endif
