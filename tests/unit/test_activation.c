/* test_activation.c - the lines of activations.def against double: on a fine grid, at every one of 256 codes in the engine's
 * table, and alike wherever a value stands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ref/one_thread.h"
#include "ref/ref_activation.h"
#include "ref/ref_layers.h"
#include "ref/small_model.h"

#include <math.h>
#include <nibble/lower.h>

enum { GRID = 24001 };

typedef void (*example_fn)(const nb_op *op, const char *example);

static void for_every_activation(example_fn fn)
{
    int32_t n = 0;
    for (int32_t i = 0; nb_layers[i]; i++)
        for (int32_t k = 0; nb_layers[i]->role == NB_ROLE_TABLE && nb_layers[i]->examples[k]; k++, n++)
            fn(nb_layers[i], nb_layers[i]->examples[k]);
    assert_true(n >= 20);
}

static nb_node *build(small_model *m, const nb_op *op, const char *example)
{
    char text[1024];
    small_model_around(text, sizeof text, op, example);
    assert_ok(small_model_build(m, ctx, text, 4));
    return nb_graph_find(m->g, "x");
}

static double want(const nb_node *n, double x)
{
    double key[2] = {0}, y = NAN;
    int32_t count = 0;
    for (const nb_key *k = n->op->keys; k->name; k++)
        if (k->kind == NB_K_FLOAT)
            key[count++] = ref_attr(n, k->name, 0);
    assert_true(ref_activation(n->op->name, x, key[0], key[1], &y));
    return y;
}

/* One value per row, or channels that all have the slope they began with. */
static void apply(const nb_node *n, float *y, const float *x, int64_t rows)
{
    const int32_t maps = n->n_in > 1 ? n->in[1]->out.shape.d[0] : 1;
    float *in = malloc((size_t)(rows * maps) * sizeof *in), *out = malloc((size_t)(rows * maps) * sizeof *out);
    assert_true(in && out);
    for (int64_t i = 0; i < rows * maps; i++)
        in[i] = x[i / maps];
    n->op->each(n, out, in, rows);
    for (int64_t i = 0; i < rows; i++) {
        for (int32_t k = 1; k < maps; k++)
            assert_memory_equal(&out[i * maps], &out[i * maps + k], sizeof *out);
        y[i] = out[i * maps];
    }
    free(in);
    free(out);
}

static void check_grid(const nb_op *op, const char *example)
{
    small_model m;
    const nb_node *n = build(&m, op, example);
    float *x = malloc(GRID * sizeof *x), *y = malloc(GRID * sizeof *y);
    assert_true(x && y);
    for (int32_t i = 0; i < GRID; i++)
        x[i] = (float)(i - GRID / 2) / 1000.0f;
    apply(n, y, x, GRID);
    const double small =
        strncmp(op->name, "hard", 4) == 0 || strcmp(op->name, "erf") == 0 || strcmp(op->name, "log") == 0
            ? 1
            : 1e-3; /* these are differences near 0 */
    for (int32_t i = 0; i < GRID; i++) {
        const double right = want(n, (double)x[i]), error = fabs((double)y[i] - right);
        if (!(error <= 1e-6 * fmax(fabs(right), small)))
            fail_msg("%s: f(%.9g) is %.9g, not %.9g", example, (double)x[i], (double)y[i], right);
        if (n->flags & NB_NODE_NONNEGATIVE)
            assert_true(y[i] >= 0.0f);
    }
    free(x);
    free(y);
    small_model_free(&m);
}

static void every_activation_is_that_of_double_arithmetic(void **state)
{
    (void)state;
    for_every_activation(check_grid);
}

static void check_ends(const nb_op *op, const char *example)
{
    small_model m;
    const nb_node *n = build(&m, op, example);
    const float x[] = {NAN, 1e4f, -1e4f, 1e30f, 0.0f};
    float y[5];
    apply(n, y, x, 5);
    assert_true(isnan(y[0])); /* the trainer must see divergence */
    for (int32_t i = 1; i < 4; i++) {
        const double right = want(n, (double)x[i]);
        const double most = strcmp(op->name, "pow") == 0 || strcmp(op->name, "exp") == 0 ? 1e-5 * right : 0;
        assert_true(isfinite(y[i]) && fabs((double)y[i] - right) <= fmax(1e-6 * fabs((double)x[i]), fabs(most)));
    }
    assert_true(fabs((double)y[4] - want(n, 0)) < 1e-7);
    small_model_free(&m);
}

static void huge_values_stay_numbers_and_a_nan_stays_none(void **state)
{
    (void)state;
    for_every_activation(check_ends);
}

/* Vectors have 4, 8 or 16 lanes, and an end that is done one by one. */
static void check_places(const nb_op *op, const char *example)
{
    enum { N = 41 };
    small_model m;
    const nb_node *n = build(&m, op, example);
    float x[N], all[N], alone[N];
    for (int32_t i = 0; i < N; i++)
        x[i] = (float)(i * 7919 % 997) / 50.0f - 10.0f;
    apply(n, all, x, N);
    for (int32_t size = 1; size < 6; size++)
        for (int32_t at = 0; at + size <= N; at++) {
            apply(n, alone, x + at, size);
            assert_memory_equal(alone, all + at, (size_t)size * sizeof *alone);
        }
    small_model_free(&m);
}

static void a_value_gives_the_same_bits_wherever_it_stands(void **state)
{
    (void)state;
    for_every_activation(check_places);
}

static int32_t code_of(const nb_etensor *t, int32_t byte)
{
    return t->type == NB_EI_S8 && byte > 127 ? byte - 256 : byte;
}

static void check_table(const nb_op *op, const char *example)
{
    small_model m;
    nb_intmodel *lowered;
    const nb_node *n = build(&m, op, example);
    assert_ok(nb_model_quantize(m.g, NULL));
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
    for (int32_t s = 0; s < 3; s++)
        nb_forward(m.g, &m.run);
    assert_ok(nb_lower(m.g, "", &lowered));
    int32_t i = 1;
    while (i < lowered->e.n_steps && strcmp(lowered->steps[i].name, "x") != 0)
        i++;
    assert_true(i < lowered->e.n_steps && lowered->e.steps[i].kind == NB_STEP_TABLE);
    const nb_estep *s = &lowered->e.steps[i];
    const nb_etensor *in = &lowered->e.tensors[s->in[0]], *out = &lowered->e.tensors[s->out];
    const double from = (double)lowered->tensors[s->in[0]].scale, to = (double)lowered->tensors[s->out].scale;
    assert_int_equal(lowered->tensors[s->in[0]].bits, 8);
    for (int32_t byte = 0; byte < 256; byte++) {
        const double y = want(n, from * (code_of(in, byte) - in->zero)) / to + out->zero;
        const double code = fmin(fmax(y, out->type == NB_EI_S8 ? -128 : 0), out->type == NB_EI_S8 ? 127 : 255);
        if (!(fabs(code_of(out, s->table[byte]) - code) <= 0.5001))
            fail_msg("%s: byte %d: %d, not %g", example, byte, code_of(out, s->table[byte]), code);
        assert_true(code_of(out, s->table[byte]) >= s->lo && code_of(out, s->table[byte]) <= s->hi);
    }
    nb_intmodel_free(ctx, lowered);
    small_model_free(&m);
}

static void the_engines_table_has_the_nearest_code_for_every_code(void **state)
{
    (void)state;
    for_every_activation(check_table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_activation_is_that_of_double_arithmetic),
        cmocka_unit_test(huge_values_stay_numbers_and_a_nan_stays_none),
        cmocka_unit_test(a_value_gives_the_same_bits_wherever_it_stands),
        cmocka_unit_test(the_engines_table_has_the_nearest_code_for_every_code),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
