/* probe_case.c - see probe_case.h. */
#include "ref/probe_case.h"

#include <nibble/train.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { BATCH = 32, CALIBRATE = 256 };

void probe_case_open(probe_case *c, const char *yaml, int32_t steps, void (*damage)(void *ud, nb_graph *g), void *ud)
{
    *c = (probe_case){0};
    if (ref_street_open(&c->s, yaml, BATCH, REF_FLOAT) != NB_OK)
        fail_msg("%s\n%s", nb_ctx_error(c->s.ctx), yaml);
    ref_street_steps(&c->s, steps, 0.05f, false);
    const nb_graph_spec spec = {.experiment = &c->s.exp,
                                .info = nb_data_info(c->s.train),
                                .max_batch = BATCH,
                                .quant = true,
                                .simulate = true,
                                .plan = NB_PLAN_TRAIN,
                                .reference = true};
    const int32_t count = nb_data_info(c->s.train)->count;
    const nb_params_source from = {.graph = c->s.graph, .mode = NB_PARAMS_START};
    if (nb_graph_open(c->s.ctx, &spec, &from, &c->graph) != NB_OK ||
        nb_calibrate(c->graph, c->s.train, NULL, count < CALIBRATE ? count : CALIBRATE) != NB_OK)
        fail_msg("%s\n%s", nb_ctx_error(c->s.ctx), yaml);
    if (damage)
        damage(ud, c->graph);
    assert_int_equal(nb_probe_open(c->graph, NULL, &c->probe), NB_OK);
}

void probe_case_close(probe_case *c)
{
    nb_probe_close(c->probe);
    nb_graph_free(c->graph);
    ref_street_close(&c->s);
}

nb_images probe_case_images(const probe_case *c, int32_t n)
{
    return (nb_images){.data = c->s.test, .n = n};
}
