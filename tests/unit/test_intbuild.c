/* test_intbuild.c - the builder makes models that run, and names layer and reason for those that could not. */
#include "lower/intbuild.h"
#include "ref/tiny_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = nb_ctx_create();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    nb_ctx_destroy(*state);
    return 0;
}

static void a_model_with_every_kind_of_step_is_built_and_runs(void **state)
{
    nb_ctx *ctx = *state;
    nb_intmodel *m;
    assert_int_equal(ref_tiny_model(ctx, 4, &m), NB_OK);
    assert_int_equal(m->e.n_steps, 9);
    assert_string_equal(m->steps[1].name, "c1");
    assert_int_equal(m->steps[1].macs, 25 * 3 * 9 * 2);
    assert_int_equal(m->e.steps[2].geom.groups, 3);
    void *arena = nb_alloc(ctx, nb_engine_arena_bytes(&m->e));
    uint8_t pixels[50];
    memset(pixels, 200, sizeof pixels);
    assert_non_null(nb_engine_run(&m->e, arena, pixels));
    nb_free(ctx, arena);
    nb_intmodel_free(ctx, m);
}

static void names_and_arrays_are_copied(void **state)
{
    nb_ctx *ctx = *state;
    ref_tiny t;
    ref_tiny_fill(&t, 8);
    nb_intmodel *m;
    assert_int_equal(ref_tiny_build(ctx, &t, &m), NB_OK);
    memset(&t, 0x5A, sizeof t);
    assert_int_equal(m->e.steps[1].weights[0], -127);
    assert_int_equal(m->e.steps[0].table[255], 255);
    assert_string_equal(m->class_names[1], "dog");
    nb_intmodel_free(ctx, m);
}

static void tensors_alive_together_do_not_overlap_and_dead_ones_share(void **state)
{
    nb_ctx *ctx = *state;
    nb_intmodel *m;
    assert_int_equal(ref_tiny_model(ctx, 4, &m), NB_OK);
    uint64_t sum = 0;
    for (int32_t i = 0; i < m->e.n_tensors; i++) {
        assert_int_equal(m->e.tensors[i].offset % 64, 0);
        sum +=
            64 * (((uint64_t)m->e.tensors[i].h * (uint64_t)m->e.tensors[i].w * (uint64_t)m->e.tensors[i].c + 63) / 64);
    }
    assert_true(m->e.tensor_bytes < sum);
    assert_int_equal(nb_engine_check(&m->e), 0);
    nb_intmodel_free(ctx, m);
}

static void the_accumulator_bound_is_the_largest_sum_any_input_can_give(void **state)
{
    nb_ctx *ctx = *state;
    ref_tiny t;
    ref_tiny_fill(&t, 8);
    memset(t.conv1, 0, sizeof t.conv1);
    memset(t.bias, 0, sizeof t.bias);
    t.conv1[0] = 100;
    t.conv1[1] = -3;
    t.bias[0] = -7;
    nb_intmodel *m;
    assert_int_equal(ref_tiny_build(ctx, &t, &m), NB_OK);
    assert_int_equal(m->steps[1].acc_bound, 25500); /* 100 * 255, before the bias is added */
    nb_intmodel_free(ctx, m);
}

static void an_s32_tensor_in_the_middle_is_refused(void **state)
{
    nb_ctx *ctx = *state;
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    t.steps[1].kind = NB_STEP_CONV;
    t.tensors[1].type = NB_EI_S32;
    t.tinfo[1].bits = 32;
    t.tensors[1].zero = 0;
    t.steps[2] = t.steps[1]; /* nobody reads tensor 1 */
    t.sinfo[2] = t.sinfo[1];
    t.sinfo[2].name = "other";
    t.steps[2].out = 2;
    t.tensors[2] = t.tensors[1];
    t.tinfo[2] = t.tinfo[1];
    t.tinfo[2].name = "other";
    t.n_tensors = t.n_steps = 3;
    t.meta.classes = 75;
    t.meta.class_names = NULL;
    nb_intmodel *m = NULL;
    assert_int_equal(ref_tiny_build(ctx, &t, &m), NB_E_SHAPE);
    assert_string_equal(nb_ctx_error(ctx), "tiny: conv step 1 \"c1\": only the last step's output may be s32");
}

static void given_offsets_are_checked(void **state)
{
    nb_ctx *ctx = *state;
    for (int32_t bad = 0; bad < 3; bad++) {
        ref_tiny t;
        ref_tiny_fill(&t, 4);
        nb_intbuilder *b;
        nb_intmodel *m = NULL;
        int32_t index;
        assert_int_equal(nb_intbuilder_create(ctx, "", &b), NB_OK);
        for (int32_t i = 0; i < t.n_tensors; i++) {
            t.tensors[i].offset = (uint64_t)i * 128;
            if (i == 1 && bad == 1)
                t.tensors[i].offset = 0; /* on top of what it reads */
            if (i == 8 && bad == 2)
                t.tensors[i].offset = (uint64_t)1 << 40;
            const nb_status st = nb_intbuilder_tensor(b, &t.tensors[i], &t.tinfo[i], &index);
            assert_int_equal(st, i == 8 && bad == 2 ? NB_E_SHAPE : NB_OK);
        }
        if (bad == 2) {
            assert_string_equal(nb_ctx_error(ctx),
                                "tensor 8 \"logits\": offset 1099511627776: must be at most 1073741824");
            nb_intbuilder_free(b);
            continue;
        }
        for (int32_t i = 0; i < t.n_steps; i++)
            assert_int_equal(nb_intbuilder_step(b, &t.steps[i], &t.sinfo[i]), NB_OK);
        nb_status st = nb_intbuilder_finish(b, NB_INT_PLACED, &t.meta, &m);
        assert_int_equal(st, bad ? NB_E_SHAPE : NB_OK);
        if (bad)
            assert_string_equal(nb_ctx_error(ctx),
                                "conv step 1 \"c1\": tensors 0 \"in.fq\" and 1 \"c1.fq\" overlap in the arena");
        nb_intmodel_free(ctx, m);
        nb_intbuilder_free(b);
    }
}

static void odd_offsets_are_refused(void **state)
{
    nb_ctx *ctx = *state;
    nb_intbuilder *b;
    int32_t index;
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    t.tensors[0].offset = 32;
    assert_int_equal(nb_intbuilder_create(ctx, "", &b), NB_OK);
    assert_int_equal(nb_intbuilder_tensor(b, &t.tensors[0], &t.tinfo[0], &index), NB_E_SHAPE);
    assert_string_equal(nb_ctx_error(ctx), "tensor 0 \"in.fq\": offset 32: must be a multiple of 64");
    nb_intbuilder_free(b);
}

static void a_failing_allocation_anywhere_is_an_error_and_leaks_nothing(void **state)
{
    nb_ctx *ctx = *state;
    nb_status st = NB_E_NOMEM;
    int32_t n = 0;
    while (st != NB_OK) {
        nb_intmodel *m = NULL;
        nb_ctx_fail_alloc_at(ctx, ++n);
        st = ref_tiny_model(ctx, 4, &m);
        nb_ctx_fail_alloc_at(ctx, 0);
        assert_true(st == NB_OK || (st == NB_E_NOMEM && !m));
        nb_intmodel_free(ctx, m);
        assert_true(n < 1000);
    }
    assert_true(n > 10);
}

static void many_tensors_and_steps_make_the_arrays_grow(void **state)
{
    nb_ctx *ctx = *state;
    nb_intbuilder *b;
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    assert_int_equal(nb_intbuilder_create(ctx, "", &b), NB_OK);
    int32_t index;
    assert_int_equal(nb_intbuilder_tensor(b, &t.tensors[5], &t.tinfo[5], &index), NB_OK);
    t.steps[0].table = t.table;
    t.tensors[5].c = 6;
    uint8_t table[6 * 256] = {0};
    t.steps[0].table = table;
    t.steps[0].lo = -128;
    t.steps[0].hi = 127;
    t.steps[0].out = 0;
    assert_int_equal(nb_intbuilder_step(b, &t.steps[0], &t.sinfo[0]), NB_OK);
    char name[32];
    for (int32_t i = 1; i < 100; i++) {
        snprintf(name, sizeof name, "clamp%d", i);
        t.tinfo[6].name = t.sinfo[6].name = name;
        t.steps[6].in[0] = i - 1;
        t.steps[6].out = i;
        assert_int_equal(nb_intbuilder_tensor(b, &t.tensors[6], &t.tinfo[6], &index), NB_OK);
        assert_int_equal(index, i);
        assert_int_equal(nb_intbuilder_step(b, &t.steps[6], &t.sinfo[6]), NB_OK);
    }
    nb_intmodel *m;
    const nb_intmeta meta = {.classes = 24, .accuracy = -5};
    assert_int_equal(nb_intbuilder_finish(b, NB_INT_PLAN, &meta, &m), NB_OK);
    assert_string_equal(m->steps[99].name, "clamp99");
    assert_string_equal(m->config, "");
    assert_true(m->accuracy == -1);
    assert_int_equal(m->e.tensor_bytes, 128); /* two tensors are alive at a time */
    nb_intmodel_free(ctx, m);
    nb_intbuilder_free(b);
}

static void sizes_and_names_can_be_asked_for(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    nb_intmodel *m;
    int32_t h, w, c, classes;
    assert_int_equal(ref_tiny_model(ctx, 4, &m), NB_OK);
    nb_intmodel_sizes(m, &h, &w, &c, &classes);
    assert_true(h == 5 && w == 5 && c == 2 && classes == 4);
    assert_string_equal(nb_intmodel_class_name(m, 1), "dog");
    m->class_names = NULL;
    assert_string_equal(nb_intmodel_class_name(m, 1), "");
    nb_intmodel_free(ctx, m);
    nb_ctx_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_with_every_kind_of_step_is_built_and_runs),
        cmocka_unit_test(names_and_arrays_are_copied),
        cmocka_unit_test(sizes_and_names_can_be_asked_for),
        cmocka_unit_test(tensors_alive_together_do_not_overlap_and_dead_ones_share),
        cmocka_unit_test(the_accumulator_bound_is_the_largest_sum_any_input_can_give),
        cmocka_unit_test(an_s32_tensor_in_the_middle_is_refused),
        cmocka_unit_test(given_offsets_are_checked),
        cmocka_unit_test(odd_offsets_are_refused),
        cmocka_unit_test(a_failing_allocation_anywhere_is_an_error_and_leaks_nothing),
        cmocka_unit_test(many_tensors_and_steps_make_the_arrays_grow),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
