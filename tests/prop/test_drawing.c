/* test_drawing.c - a seed is the same random network and the same random model whatever compiler made the test: C leaves open
 * in which order a function's arguments and a list in braces are evaluated, so what is drawn goes into variables first.
 *
 * The numbers are of what is drawn today: who draws otherwise on purpose writes down the new ones, if gcc and clang agree. */
#include "base/rng.h"
#include "ref/random_model.h"
#include "ref/random_network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SEEDS = 100 };

static void a_seed_is_a_network(void **state)
{
    (void)state;
    static char text[REF_NETWORK_BYTES];
    uint64_t h[2] = {0};
    for (int32_t seed = 1; seed <= SEEDS; seed++) {
        ref_network_text(seed, text);
        h[0] = nb_mix(h[0], nb_hash_text(text));
        ref_network_text_residual(seed, text);
        h[1] = nb_mix(h[1], nb_hash_text(text));
    }
    assert_true(h[0] == UINT64_C(0xc5598af5d6ee080c));
    assert_true(h[1] == UINT64_C(0x4b82f58451f3f6f2));
}

static uint64_t add(uint64_t h, const void *bytes, int64_t n)
{
    return n > 0 && bytes ? nb_mix(h, nb_hash_bytes(bytes, (size_t)n)) : h;
}

static uint64_t hash_step(const nb_emodel *m, const nb_estep *s)
{
    const ref_step_bytes b = ref_model_step_bytes(m, s);
    const int32_t fields[] = {s->kind, s->out, s->n_in, s->lo, s->hi, s->one_table};
    uint64_t h = add(0, fields, sizeof fields);
    h = add(h, s->in, s->n_in * (int64_t)sizeof *s->in);
    h = add(h, &s->geom, sizeof s->geom);
    h = add(h, s->table, b.table);
    h = add(h, s->weights, b.weights);
    h = add(h, s->bias, b.bias);
    h = add(h, s->mult, b.mult);
    h = add(h, s->shift, b.shift);
    for (int32_t axis = 0; axis < 3; axis++)
        h = add(h, s->index[axis], b.index[axis]);
    return h;
}

static void a_seed_is_a_model(void **state)
{
    (void)state;
    uint64_t h = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        ref_model *m = ref_model_random(seed);
        for (int32_t i = 0; i < m->e.n_tensors; i++) {
            const nb_etensor *t = &m->tensors[i];
            const int32_t fields[] = {t->h, t->w, t->c, t->type, t->zero};
            h = add(h, fields, sizeof fields);
        }
        for (int32_t i = 0; i < m->e.n_steps; i++)
            h = nb_mix(h, hash_step(&m->e, &m->e.steps[i]));
        ref_model_free(m);
    }
    assert_true(h == UINT64_C(0x33aec92f33ad5720));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_is_a_network),
        cmocka_unit_test(a_seed_is_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
