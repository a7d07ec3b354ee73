/* plan_case.h - a train section from text, bound or with its sentence. */
#ifndef NB_TESTS_PLAN_CASE_H
#define NB_TESTS_PLAN_CASE_H

#include <nibble/extend/optimizer.h>
#include <nibble/extend/schedule.h>
#include <nibble/train.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    nb_ctx *ctx;
    nb_config *cfg;
    nb_train_plan *plan;
} plan_case;

/* text: what stands after "train: ". */
static inline nb_status plan_try(plan_case *p, const char *text)
{
    char whole[1024];
    *p = (plan_case){.ctx = nb_ctx_create()};
    snprintf(whole, sizeof whole, "train: %s\n", text);
    assert_int_equal(nb_config_parse(p->ctx, "x.yaml", whole, strlen(whole), NULL, 0, &p->cfg), NB_OK);
    return nb_train_plan_create(p->ctx, nb_conf_get(nb_config_root(p->cfg), "train"), &p->plan);
}

static inline void plan_close(plan_case *p)
{
    nb_train_plan_free(p->ctx, p->plan);
    nb_config_free(p->ctx, p->cfg);
    nb_ctx_destroy(p->ctx);
}

static inline void plan_refuses(const char *text, const char *sentence)
{
    plan_case p;
    assert_int_equal(plan_try(&p, text), NB_E_CONFIG);
    assert_string_equal(nb_ctx_error(p.ctx), sentence);
    plan_close(&p);
}

/* Learning rate at step t of 10 epochs of 10 steps with lr 1 and the given other keys. */
static inline double plan_lr(const char *keys, int64_t t)
{
    plan_case p;
    char text[512];
    snprintf(text, sizeof text, "{phases: [{epochs: 10, lr: 1, %s}]}", keys);
    assert_int_equal(plan_try(&p, text), NB_OK);
    double lr = nb_phase_lr(&p.plan->phase[0], t, 10);
    plan_close(&p);
    return lr;
}

static inline bool near(double a, double b)
{
    return fabs(a - b) < 1e-7;
}

#endif
