/* test_each.c - what activations share: chains of them are one table, channels have tables of their own where they differ, and
 * slopes are trained from codes as from floats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ref/node_check.h"
#include "ref/one_thread.h"
#include "ref/small_model.h"

#include <math.h>
#include <nibble/extend/quant.h>
#include <nibble/lower.h>

static void open_trained(small_model *m, const char *layers)
{
    char text[512];
    snprintf(text, sizeof text, "model:\n- input\n- conv2d: {name: pre, out: 5}\n%s- linear: {out: 4}\n", layers);
    assert_ok(small_model_build(m, ctx, text, 6));
    assert_ok(nb_model_quantize(m->g, NULL));
    assert_ok(nb_graph_freeze(m->g, NB_PLAN_TRAIN));
    for (int32_t s = 0; s < 3; s++)
        nb_forward(m->g, &m->run);
}

static const nb_estep *step_of(const nb_intmodel *m, const char *name)
{
    for (int32_t i = 0; i < m->e.n_steps; i++)
        if (strcmp(m->steps[i].name, name) == 0)
            return &m->e.steps[i];
    return NULL;
}

static void activations_in_a_row_are_one_table_and_its_clamp_is_what_it_holds(void **state)
{
    (void)state;
    small_model m;
    nb_intmodel *i;
    open_trained(&m, "- silu: {name: a}\n- relu: {cap: 0.5}\n- tanh\n- softplus\n");
    assert_ok(nb_lower(m.g, "", &i));
    assert_int_equal(i->e.n_steps, 4); /* pixels, pre, the four, linear */
    const nb_estep *s = step_of(i, "a");
    const nb_etensor *out = &i->e.tensors[s->out];
    assert_true(s && s->kind == NB_STEP_TABLE && s->one_table);
    int32_t lo = 255, hi = 0;
    for (int32_t b = 0; b < 256; b++) {
        lo = s->table[b] < lo ? s->table[b] : lo;
        hi = s->table[b] > hi ? s->table[b] : hi;
    }
    assert_int_equal(out->type, NB_EI_U8);
    assert_int_equal(s->lo, lo);
    assert_int_equal(s->hi, hi);
    assert_string_equal(i->tensors[s->out].name, "softplus1.fq");
    nb_intmodel_free(ctx, i);
    small_model_free(&m);
}

/* A slope for each channel gives each a table, also behind one that is for all. */
static void channels_with_slopes_of_their_own_have_tables_of_their_own(void **state)
{
    (void)state;
    static const char *const models[] = {"- prelu: {name: a}\n", "- tanh: {name: a}\n- prelu: {name: p}\n- relu\n",
                                         "- flatten\n- prelu: {name: a, channels: no}\n"};
    for (int32_t k = 0; k < 3; k++) {
        small_model m;
        nb_intmodel *i;
        open_trained(&m, models[k]);
        nb_node *p = nb_graph_find(m.g, k == 1 ? "p" : "a");
        for (int32_t c = 0; c < nb_count(&p->in[1]->out); c++)
            ((float *)p->in[1]->out.data)[c] = (float)(c - 2) * 0.25f;
        assert_ok(nb_lower(m.g, "", &i));
        const nb_estep *s = step_of(i, "a");
        assert_true(s && s->kind == NB_STEP_TABLE);
        assert_int_equal(s->one_table, k == 2);
        for (int32_t c = 1; c < 5 && k == 0; c++)
            assert_memory_not_equal(s->table, s->table + (size_t)c * 256, 256);
        nb_intmodel_free(ctx, i);
        small_model_free(&m);
    }
}

/* Sums in double over the real values of codes. */
static void slopes_get_their_gradient_from_codes(void **state)
{
    (void)state;
    static const char *const models[] = {"- prelu: {name: a}\n", "- prelu: {name: a, channels: no}\n"};
    for (int32_t k = 0; k < 2; k++) {
        small_model m;
        open_trained(&m, models[k]);
        nb_node *n = nb_graph_find(m.g, "a");
        for (int32_t i = 0; i <= n->id; i++)
            if (m.g->node[i]->op->forward)
                m.g->node[i]->op->forward(m.g->node[i], &m.run);
        const int64_t count = nb_count(&n->out), slopes = nb_count(&n->in[1]->out);
        double *x = node_values(&n->in[0]->out), right[5] = {0};
        float *dy = calloc((size_t)count, sizeof *dy), *dx = calloc((size_t)count, sizeof *dx), got[5];
        assert_true(x && dy && dx && n->in[0]->out.q && n->in[0]->out.dtype != NB_F32);
        for (int64_t i = 0; i < count; i++) {
            dy[i] = (float)(i * 37 % 101) / 50.0f - 1.0f;
            right[i % slopes] += x[i] < 0 ? x[i] * (double)dy[i] : 0;
        }
        n->out.grad = dy;
        n->in[0]->out.grad = dx;
        n->in[1]->out.grad = got;
        n->fresh = 3;
        n->op->backward(n, &m.run);
        for (int64_t i = 0; i < slopes; i++)
            assert_true(fabs((double)got[i] - right[i]) <= 1e-5 * fmax(1, fabs(right[i])));
        for (int64_t i = 0; i < count; i++)
            assert_true(dx[i] == (x[i] > 0 ? dy[i] : dy[i] * 0.25f));
        n->fresh = 0;
        n->op->backward(n, &m.run);
        for (int64_t i = 0; i < slopes; i++)
            assert_true(fabs((double)got[i] - 2 * right[i]) <= 2e-5 * fmax(1, fabs(right[i])));
        free(x);
        free(dy);
        free(dx);
        small_model_free(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activations_in_a_row_are_one_table_and_its_clamp_is_what_it_holds),
        cmocka_unit_test(channels_with_slopes_of_their_own_have_tables_of_their_own),
        cmocka_unit_test(slopes_get_their_gradient_from_codes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
