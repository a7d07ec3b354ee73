/* optim_case.h - what the tests of optimizers share: one bound by its keys, and 20 steps beside the oracle. */
#ifndef NB_TESTS_OPTIM_CASE_H
#define NB_TESTS_OPTIM_CASE_H

#include "ref/ref_optim.h"

#include <nibble/extend/op.h>
#include <nibble/extend/optimizer.h>
#include <nibble/train.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

enum { CASE_VALUES = 37, CASE_STEPS = 20, CASE_ATTR_BYTES = 64 };

/* keys: flow YAML, "{momentum: 0.9}"; attr: CASE_ATTR_BYTES, zeroed. */
static inline void case_bind(const nb_optimizer *o, const char *keys, void *attr)
{
    nb_ctx *ctx = nb_ctx_create();
    nb_config *cfg;
    assert_true(o->attr_size <= CASE_ATTR_BYTES);
    assert_int_equal(nb_config_parse(ctx, "keys", keys, strlen(keys), NULL, 0, &cfg), NB_OK);
    nb_binding b = {o->keys, attr};
    assert_int_equal(nb_conf_bind(ctx, nb_config_root(cfg), "optimizer", &b, 1), NB_OK);
    nb_config_free(ctx, cfg);
    nb_ctx_destroy(ctx);
}

/* Runs the optimizer on CASE_VALUES numbers with made-up gradients; every value must follow the oracle. */
static inline void case_follows(const nb_optimizer *o, const char *keys, const ref_optim *ref,
                                void (*step)(const ref_optim *, ref_optim_state *, double))
{
    _Alignas(16) unsigned char attr[CASE_ATTR_BYTES] = {0};
    float w[CASE_VALUES], g[CASE_VALUES], m[NB_MAX_MOMENTS][CASE_VALUES] = {{0}};
    float *moments[NB_MAX_MOMENTS] = {m[0], m[1]};
    ref_optim_state s[CASE_VALUES] = {{0}};
    case_bind(o, keys, attr);
    for (int i = 0; i < CASE_VALUES; i++) {
        w[i] = (float)(i - 18) / 7.0f;
        s[i].w = (double)w[i];
    }
    for (int t = 1; t <= CASE_STEPS; t++) {
        for (int i = 0; i < CASE_VALUES; i++) {
            g[i] = (float)sin(0.7 * i + 1.3 * t);
            step(ref, &s[i], (double)g[i]);
        }
        nb_step_args a = {.lr = (float)ref->lr, .weight_decay = (float)ref->weight_decay, .t = t};
        o->update(attr, &a, w, g, moments, CASE_VALUES);
        for (int i = 0; i < CASE_VALUES; i++)
            assert_true(fabs((double)w[i] - s[i].w) < 2e-6 * (1 + fabs(s[i].w)) * t);
    }
}

#endif
