/* soft_round.h - weights between two neighbouring codes, learned (AdaRound, Nagel et al. 2020, arXiv:2004.10568):
 *
 *   step * clamp(floor(w / step) + h(v), first, last),  h(v) = clamp(sigmoid(v) * (ZETA - GAMMA) + GAMMA, 0, 1)
 *
 * v starts where h is the fraction that rounding takes away. Adam makes an error smaller and, behind a warm-up, also
 *
 *   lambda * sum(1 - |2h - 1|^beta),
 *
 * which drives every h to 0 or 1 as beta falls from 20 to 2. What the error is, and who computes its gradient, is the
 * caller's: one layer's (adaround.c) or a whole block's (block_solve.c). */
#ifndef NB_POST_SOFT_ROUND_H
#define NB_POST_SOFT_ROUND_H

#include "base/arena.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

/* [n] weights. */
typedef struct {
    float *base, *room, *v, *m1,
        *m2; /* base and room in units of the step; room: 1, or 0 where there is one code only */
} nb_soft;
nb_status nb_soft_open(nb_arena *arena, int64_t n, nb_soft *s);

/* Weight i is so many steps, and there are codes first..last. Below the first and above the last there is no choice. Returns the
 * nearest code. */
int32_t nb_soft_begin(const nb_soft *s, int64_t i, int32_t first, int32_t last, double units);
int32_t nb_soft_nearest(int32_t first, int32_t last, double units);
/* Draws v of weight i, where it has a choice, halfway to that code. */
void nb_soft_lean(const nb_soft *s, int64_t i, int32_t code);

#define NB_SOFT_ZETA  1.1
#define NB_SOFT_GAMMA (-0.1)
#define NB_ADAM_1     0.9 /* its moments */
#define NB_ADAM_2     0.999
#define NB_ADAM_TINY  1e-8

/* h, and its derivative by v. */
static inline float nb_soft_share(float v, float *slope)
{
    const float span = (float)(NB_SOFT_ZETA - NB_SOFT_GAMMA);
    const float s = 1.0f / (1.0f + expf(-v)), h = s * span + (float)NB_SOFT_GAMMA;
    *slope = h > 0.0f && h < 1.0f ? span * s * (1.0f - s) : 0.0f;
    return h > 1.0f ? 1.0f : h > 0.0f ? h : 0.0f;
}

/* w[i - from] of weights [from, end), which share a step. */
void nb_soft_weights(const nb_soft *s, int64_t from, int64_t end, float step, float *w);
/* The code that weight i has come to. */
int32_t nb_soft_code(const nb_soft *s, int64_t i);

typedef struct {
    int32_t iterations;
    float lr;     /* of Adam */
    float lambda; /* weight of the regularizer */
    float warmup; /* share of iterations before there is any */
} nb_soft_keys;

/* What one iteration, from 0, takes. */
typedef struct {
    float lr, root, beta, push;
} nb_soft_move;
nb_soft_move nb_soft_move_at(const nb_soft_keys *k, int32_t iteration);
/* Adam: what is to be taken off a number with this gradient; moments begin with 0. */
static inline float nb_soft_adam(float *m1, float *m2, const nb_soft_move *m, float grad)
{
    *m1 += (float)(1 - NB_ADAM_1) * (grad - *m1);
    *m2 += (float)(1 - NB_ADAM_2) * (grad * grad - *m2);
    return m->lr * *m1 / (sqrtf(*m2) * m->root + (float)NB_ADAM_TINY);
}
/* Adam's step of weights [from, end); grad[i - from] * by_h is the error's derivative by h. */
void nb_soft_descend(const nb_soft *s, const nb_soft_move *m, int64_t from, int64_t end, const float *grad, float by_h);

#endif
