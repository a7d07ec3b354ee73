/* test_engine.c - the engine equals a naive interpreter byte for byte, whatever the arena holds, from any number of
 * threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <nibble/engine.h>
#include <pthread.h>

#include "ref/guard.h"
#include "ref/random_model.h"
#include "ref/ref_engine.h"

enum { MODELS = 300 };

static void *prepare(nb_emodel *e)
{
    void *packed = aligned_alloc(64, nb_engine_packed_bytes(e) + 64);
    assert_non_null(packed);
    nb_engine_prepare(e, packed);
    return packed;
}

static void random_models_equal_the_interpreter_step_by_step_inside_guard_pages(void **state)
{
    (void)state;
    int32_t kinds[NB_STEP_KINDS] = {0};
    for (uint64_t seed = 0; seed < MODELS; seed++) {
        ref_model *m = ref_model_random(seed);
        assert_int_equal(nb_engine_check(&m->e), 0);
        void *packed = prepare(&m->e);
        ref_values want = ref_engine_run(&m->e, m->pixels);
        ref_guard arena = ref_guard_alloc(nb_engine_arena_bytes(&m->e), GUARD_END);
        for (int32_t i = 0; i < m->e.n_steps; i++) {
            const void *y = nb_engine_run_step(&m->e, arena.data, i, m->pixels);
            assert_ptr_equal(y, nb_engine_tensor(&m->e, arena.data, m->e.steps[i].out));
            if (!ref_engine_equal(&m->e, &want, m->e.steps[i].out, y))
                fail_msg("model %d, step %d of kind %d differs", (int)seed, (int)i, (int)m->e.steps[i].kind);
            kinds[m->e.steps[i].kind]++;
        }
        memset(arena.data, 0x5A, nb_engine_arena_bytes(&m->e)); /* what was there before must not matter */
        const void *y = nb_engine_run(&m->e, arena.data, m->pixels);
        assert_true(ref_engine_equal(&m->e, &want, m->e.steps[m->e.n_steps - 1].out, y));
        ref_guard_free(&arena);
        ref_values_free(&want);
        free(packed);
        ref_model_free(m);
    }
    for (int32_t i = 0; i < NB_STEP_KINDS; i++)
        assert_true(kinds[i] > 20);
}

/* Parts in any order, as threads might take them. */
static void a_step_in_parts_gives_the_same_bytes(void **state)
{
    (void)state;
    for (uint64_t seed = 2000; seed < 2100; seed++) {
        ref_model *m = ref_model_random(seed);
        void *packed = prepare(&m->e);
        ref_values want = ref_engine_run(&m->e, m->pixels);
        const int32_t parts = 1 + (int32_t)(seed % 5);
        const size_t bytes = nb_engine_parts_bytes(&m->e, parts);
        assert_true(parts > 1 || bytes == nb_engine_arena_bytes(&m->e));
        ref_guard arena = ref_guard_alloc(bytes, GUARD_END);
        for (int32_t i = 0; i < m->e.n_steps; i++) {
            const void *y = NULL;
            for (int32_t p = 0; p < parts; p++)
                y = nb_engine_run_part(&m->e, arena.data, i, (p * 2 + 1) % parts, parts, m->pixels);
            if (parts % 2 == 0) /* 1, 3, ... twice and 0, 2, ... not yet */
                for (int32_t p = 0; p < parts; p += 2)
                    y = nb_engine_run_part(&m->e, arena.data, i, p, parts, m->pixels);
            assert_true(ref_engine_equal(&m->e, &want, m->e.steps[i].out, y));
        }
        ref_guard_free(&arena);
        ref_values_free(&want);
        free(packed);
        ref_model_free(m);
    }
}

typedef struct {
    const nb_emodel *e;
    const uint8_t *pixels;
    void *arena;
    const void *y;
} worker;

static void *run_many(void *arg)
{
    worker *w = arg;
    for (int32_t i = 0; i < 20; i++)
        w->y = nb_engine_run(w->e, w->arena, w->pixels);
    return NULL;
}

static void four_threads_share_one_prepared_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1000; seed < 1020; seed++) {
        ref_model *m = ref_model_random(seed);
        void *packed = prepare(&m->e);
        ref_values want = ref_engine_run(&m->e, m->pixels);
        worker w[4];
        pthread_t t[4];
        for (int32_t i = 0; i < 4; i++) {
            w[i] = (worker){.e = &m->e,
                            .pixels = m->pixels,
                            .arena = aligned_alloc(64, nb_engine_arena_bytes(&m->e) / 64 * 64 + 64)};
            assert_non_null(w[i].arena);
            assert_int_equal(pthread_create(&t[i], NULL, run_many, &w[i]), 0);
        }
        for (int32_t i = 0; i < 4; i++) {
            pthread_join(t[i], NULL);
            assert_true(ref_engine_equal(&m->e, &want, m->e.steps[m->e.n_steps - 1].out, w[i].y));
            free(w[i].arena);
        }
        ref_values_free(&want);
        free(packed);
        ref_model_free(m);
    }
}

/* A pixel, a table, one linear layer: small enough to compute by hand. */
static void a_small_model_gives_what_a_pencil_gives(void **state)
{
    (void)state;
    uint8_t table[2 * 256];
    for (int32_t v = 0; v < 256; v++) {
        table[v] = (uint8_t)(v / 2);
        table[256 + v] = (uint8_t)(255 - v);
    }
    const int8_t weights[] = {1, 2, -3, 1, 100, 100};
    const int32_t bias[] = {10, 0, 0}, mult[] = {1 << 30, 1 << 30, 1 << 30}, shift[] = {31, 31, 31}; /* a half */
    const nb_etensor tensors[] = {{.h = 1, .w = 1, .c = 2, .type = NB_EI_U8},
                                  {.h = 1, .w = 1, .c = 3, .type = NB_EI_S8, .zero = -1, .offset = 64}};
    nb_estep steps[] = {{.kind = NB_STEP_TABLE, .out = 0, .lo = 0, .hi = 255, .table = table},
                        {.kind = NB_STEP_CONV,
                         .n_in = 1,
                         .out = 1,
                         .lo = -128,
                         .hi = 127,
                         .weights = weights,
                         .bias = bias,
                         .mult = mult,
                         .shift = shift,
                         .geom = {.h = 1,
                                  .w = 1,
                                  .c = 2,
                                  .oh = 1,
                                  .ow = 1,
                                  .oc = 3,
                                  .kh = 1,
                                  .kw = 1,
                                  .stride = {1, 1},
                                  .dilation = {1, 1},
                                  .groups = 1}}};
    nb_emodel e = {.n_tensors = 2, .n_steps = 2, .tensors = tensors, .steps = steps, .tensor_bytes = 128};
    assert_int_equal(nb_engine_check(&e), 0);
    void *packed = prepare(&e), *arena = aligned_alloc(64, nb_engine_arena_bytes(&e) / 64 * 64 + 64);
    assert_non_null(arena);
    const uint8_t pixels[] = {41, 250}; /* codes 20 and 5 */
    const int8_t *y = nb_engine_run(&e, arena, pixels);
    assert_int_equal(y[0], (20 + 10 + 10) / 2 - 1);
    assert_int_equal(y[1], -27 - 1); /* -55 / 2 = -27.5, ties go up */
    assert_int_equal(y[2], 127);     /* 2500 / 2 saturates */
    assert_int_equal(nb_engine_argmax(&e, y), 2);
    free(packed);
    free(arena);
}

/* Bytes of s8 codes: 0, 255 (-1), 128 (-128); then a table for each channel, of the same six values in another shape. */
static void codes_are_looked_up_by_their_bytes(void **state)
{
    (void)state;
    uint8_t pixels[6] = {0, 1, 2, 3, 4, 5}, to_codes[2 * 256] = {0}, one[256] = {0}, each[3 * 256];
    const int8_t first[6] = {0, -1, -128, 127, 5, 0};
    for (int32_t i = 0; i < 6; i++)
        to_codes[i % 2 * 256 + i] = (uint8_t)first[i];
    one[0] = 10;
    one[255] = 20;
    one[128] = 30;
    one[127] = 40;
    one[5] = 50;
    for (int32_t i = 0; i < 3 * 256; i++)
        each[i] = (uint8_t)(i % 256 + i / 256);
    const nb_etensor tensors[] = {{.h = 3, .w = 1, .c = 2, .type = NB_EI_S8},
                                  {.h = 3, .w = 1, .c = 2, .type = NB_EI_U8, .offset = 64},
                                  {.h = 1, .w = 2, .c = 3, .type = NB_EI_S8, .offset = 128}};
    nb_estep steps[] = {
        {.kind = NB_STEP_TABLE, .out = 0, .lo = -128, .hi = 127, .table = to_codes},
        {.kind = NB_STEP_TABLE, .n_in = 1, .in = {0}, .out = 1, .lo = 0, .hi = 50, .table = one, .one_table = 1},
        {.kind = NB_STEP_TABLE, .n_in = 1, .in = {1}, .out = 2, .lo = -128, .hi = 127, .table = each}};
    nb_emodel e = {.n_tensors = 3, .n_steps = 3, .tensors = tensors, .steps = steps, .tensor_bytes = 192};
    assert_int_equal(nb_engine_check(&e), 0);
    void *arena = aligned_alloc(64, nb_engine_arena_bytes(&e) / 64 * 64 + 64);
    assert_non_null(arena);
    assert_memory_equal(nb_engine_run(&e, arena, pixels), ((int8_t[]){10, 21, 32, 40, 51, 12}), 6);
    assert_memory_equal(nb_engine_tensor(&e, arena, 1), ((uint8_t[]){10, 20, 30, 40, 50, 10}), 6);
    free(arena);
}

static void argmax_takes_the_first_of_equals_in_each_type(void **state)
{
    (void)state;
    nb_etensor t = {.h = 1, .w = 1, .c = 4};
    nb_estep s = {.out = 0};
    nb_emodel e = {.n_tensors = 1, .n_steps = 1, .tensors = &t, .steps = &s};
    const uint8_t bytes[4] = {3, 200, 127, 200};
    t.type = NB_EI_U8;
    assert_int_equal(nb_engine_argmax(&e, bytes), 1);
    t.type = NB_EI_S8; /* 3, -56, 127, -56 */
    assert_int_equal(nb_engine_argmax(&e, bytes), 2);
    t.type = NB_EI_S32;
    const int32_t words[4] = {-5, 70000, 70000, INT32_MIN};
    assert_int_equal(nb_engine_argmax(&e, words), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_models_equal_the_interpreter_step_by_step_inside_guard_pages),
        cmocka_unit_test(a_step_in_parts_gives_the_same_bytes),
        cmocka_unit_test(four_threads_share_one_prepared_model),
        cmocka_unit_test(a_small_model_gives_what_a_pencil_gives),
        cmocka_unit_test(codes_are_looked_up_by_their_bytes),
        cmocka_unit_test(argmax_takes_the_first_of_equals_in_each_type),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
