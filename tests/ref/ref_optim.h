/* ref_optim.h - optimizers for one number, in double, written down from PyTorch's documentation. */
#ifndef NB_TESTS_REF_OPTIM_H
#define NB_TESTS_REF_OPTIM_H

#include <stdbool.h>

typedef struct {
    double lr, weight_decay;
    double momentum, dampening; /* sgd */
    bool nesterov;
    double beta1, beta2, eps; /* adam */
    bool decoupled;           /* adamw */
} ref_optim;

typedef struct {
    double w, m, v;
    int t;
} ref_optim_state;

void ref_optim_sgd(const ref_optim *o, ref_optim_state *s, double g);
void ref_optim_adam(const ref_optim *o, ref_optim_state *s, double g);

#endif
