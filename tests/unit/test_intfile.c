/* test_intfile.c - integer checkpoints come back byte for byte and run the same. */
#include "base/files.h"
#include "base/safetensors.h"
#include "lower/intfile.h"
#include "ref/random_model.h"
#include "ref/tiny_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
    nb_ctx *ctx;
    char dir[64], path[96], path2[96];
} sandbox;

static int setup(void **state)
{
    sandbox *s = calloc(1, sizeof *s);
    s->ctx = nb_ctx_create();
    strcpy(s->dir, "/tmp/nibble-intfile-XXXXXX");
    *state = s;
    if (!mkdtemp(s->dir))
        return -1;
    snprintf(s->path, sizeof s->path, "%s/a.int.safetensors", s->dir);
    snprintf(s->path2, sizeof s->path2, "%s/b.int.safetensors", s->dir);
    return 0;
}

static int teardown(void **state)
{
    sandbox *s = *state;
    unlink(s->path);
    unlink(s->path2);
    int rc = rmdir(s->dir);
    nb_ctx_destroy(s->ctx);
    free(s);
    return rc;
}

static void read_back(sandbox *s, const char *path, uint8_t **bytes, size_t *len)
{
    assert_int_equal(nb_file_read(s->ctx, path, 1 << 24, bytes, len), NB_OK);
}

static void assert_same_files(sandbox *s)
{
    uint8_t *a, *b;
    size_t la, lb;
    read_back(s, s->path, &a, &la);
    read_back(s, s->path2, &b, &lb);
    assert_int_equal(la, lb);
    assert_memory_equal(a, b, la);
    nb_free(s->ctx, a);
    nb_free(s->ctx, b);
}

static void assert_same_output(sandbox *s, const nb_intmodel *a, const nb_intmodel *b, const uint8_t *pixels)
{
    const nb_etensor *t = &a->e.tensors[nb_intmodel_output(a)];
    void *mem_a = nb_alloc(s->ctx, nb_engine_arena_bytes(&a->e)),
         *mem_b = nb_alloc(s->ctx, nb_engine_arena_bytes(&b->e));
    const void *out_a = nb_engine_run(&a->e, mem_a, pixels), *out_b = nb_engine_run(&b->e, mem_b, pixels);
    assert_memory_equal(out_a, out_b, (size_t)t->h * (size_t)t->w * (size_t)t->c * (t->type == NB_EI_S32 ? 4 : 1));
    nb_free(s->ctx, mem_a);
    nb_free(s->ctx, mem_b);
}

/* ---- round trips ---- */

static void what_is_loaded_and_saved_again_is_byte_equal_and_runs_the_same_for_all_bits(void **state)
{
    sandbox *s = *state;
    uint8_t pixels[50];
    for (int i = 0; i < 50; i++)
        pixels[i] = (uint8_t)(i * 5);
    for (int32_t bits = 2; bits <= 8; bits++) {
        nb_intmodel *a, *b;
        assert_int_equal(ref_tiny_model(s->ctx, bits, &a), NB_OK);
        assert_int_equal(nb_intmodel_save(s->ctx, a, s->path), NB_OK);
        assert_int_equal(nb_intmodel_load(s->ctx, s->path, &b), NB_OK);
        assert_int_equal(nb_intmodel_save(s->ctx, b, s->path2), NB_OK);
        assert_same_files(s);
        assert_same_output(s, a, b, pixels);
        nb_intmodel_free(s->ctx, a);
        nb_intmodel_free(s->ctx, b);
    }
}

static void everything_a_model_says_comes_back(void **state)
{
    sandbox *s = *state;
    nb_intmodel *a, *b;
    assert_int_equal(ref_tiny_model(s->ctx, 3, &a), NB_OK);
    assert_int_equal(nb_intmodel_save(s->ctx, a, s->path), NB_OK);
    assert_int_equal(nb_intmodel_load(s->ctx, s->path, &b), NB_OK);
    assert_int_equal(b->classes, 4);
    for (int32_t i = 0; i < 4; i++)
        assert_string_equal(b->class_names[i], a->class_names[i]);
    assert_string_equal(b->config, a->config);
    assert_true(b->accuracy == a->accuracy);
    assert_int_equal(b->e.tensor_bytes, a->e.tensor_bytes);
    for (int32_t i = 0; i < a->e.n_tensors; i++) {
        assert_memory_equal(&b->e.tensors[i], &a->e.tensors[i], sizeof a->e.tensors[i]);
        assert_string_equal(b->tensors[i].name, a->tensors[i].name);
        assert_true(b->tensors[i].scale == a->tensors[i].scale);
        assert_int_equal(b->tensors[i].bits, a->tensors[i].bits);
    }
    for (int32_t i = 0; i < a->e.n_steps; i++) {
        assert_string_equal(b->steps[i].name, a->steps[i].name);
        assert_int_equal(b->steps[i].macs, a->steps[i].macs);
        assert_int_equal(b->steps[i].acc_bound, a->steps[i].acc_bound);
        assert_int_equal(b->steps[i].n_scale, a->steps[i].n_scale);
        assert_memory_equal(&b->e.steps[i].geom, &a->e.steps[i].geom, sizeof(nb_geom));
    }
    nb_intmodel_free(s->ctx, a);
    nb_intmodel_free(s->ctx, b);
}

static void what_is_unknown_stays_unknown(void **state)
{
    sandbox *s = *state;
    ref_tiny t;
    ref_tiny_fill(&t, 4);
    t.meta.accuracy = -1;
    t.meta.class_names = NULL;
    t.meta.config = "";
    nb_intmodel *a, *b;
    assert_int_equal(ref_tiny_build(s->ctx, &t, &a), NB_OK);
    assert_int_equal(nb_intmodel_save(s->ctx, a, s->path), NB_OK);
    assert_int_equal(nb_intmodel_load(s->ctx, s->path, &b), NB_OK);
    assert_true(b->accuracy < 0);
    assert_null(b->class_names);
    assert_string_equal(b->config, "");
    nb_intmodel_free(s->ctx, a);
    nb_intmodel_free(s->ctx, b);
}

static void four_bit_weights_take_half_a_byte_in_the_file(void **state)
{
    sandbox *s = *state;
    nb_intmodel *m;
    nb_st_file *f;
    assert_int_equal(ref_tiny_model(s->ctx, 4, &m), NB_OK);
    assert_int_equal(nb_intmodel_save(s->ctx, m, s->path), NB_OK);
    nb_intmodel_free(s->ctx, m);
    assert_int_equal(nb_st_open(s->ctx, s->path, &f), NB_OK);
    const nb_st_tensor *w = nb_st_find(f, "c1.weight");
    assert_int_equal(w->dtype, NB_ST_U8);
    assert_int_equal(w->bytes, 27); /* 54 codes */
    assert_int_equal(nb_st_find(f, "dw.weight")->bytes, 1);
    assert_int_equal(nb_st_find(f, "fc.weight")->dtype, NB_ST_I8);
    assert_int_equal(nb_st_find(f, "fc.weight")->ndim, 4);
    assert_null(nb_st_find(f, "fc.mult"));
    nb_st_close(s->ctx, f);
}

/* A model of the engine's own generator, given names. */
static nb_status named(nb_ctx *ctx, const ref_model *r, nb_intmodel **out)
{
    const nb_emodel *e = &r->e;
    const float scale = 0.5f;
    nb_intbuilder *b;
    nb_status st = nb_intbuilder_create(ctx, "random", &b);
    char name[32];
    int32_t index;
    for (int32_t i = 0; st == NB_OK && i < e->n_tensors; i++) {
        const nb_etensor *t = &e->tensors[i];
        snprintf(name, sizeof name, "t%d", i);
        st = nb_intbuilder_tensor(b, t, &(nb_tinfo){name, scale, t->type == NB_EI_S32 ? 32 : 8}, &index);
    }
    for (int32_t i = 0; st == NB_OK && i < e->n_steps; i++) {
        const nb_estep *s = &e->steps[i];
        snprintf(name, sizeof name, "s%d", i);
        const nb_sinfo info = {.name = name, .weight_bits = 8, .weight_scale = &scale, .n_scale = 1};
        for (int64_t k = 0; s->kind == NB_STEP_CONV && k < ref_model_step_bytes(e, s).weights; k++)
            if (s->weights[k] == -128)
                ((int8_t *)(uintptr_t)s->weights)[k] = -127; /* the narrow grid */
        st = nb_intbuilder_step(b, s, &info);
    }
    const nb_etensor *last = &e->tensors[e->steps[e->n_steps - 1].out];
    const nb_intmeta meta = {.classes = last->h * last->w * last->c, .accuracy = -1};
    if (st == NB_OK)
        st = nb_intbuilder_finish(b, NB_INT_PLACED, &meta, out);
    nb_intbuilder_free(b);
    return st;
}

static void random_models_come_back_and_run_the_same(void **state)
{
    sandbox *s = *state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        ref_model *r = ref_model_random(seed);
        nb_intmodel *a = NULL, *b;
        if (named(s->ctx, r, &a) != NB_OK)
            fail_msg("seed %d: %s", (int)seed, nb_ctx_error(s->ctx));
        assert_int_equal(nb_intmodel_save(s->ctx, a, s->path), NB_OK);
        assert_int_equal(nb_intmodel_load(s->ctx, s->path, &b), NB_OK);
        assert_int_equal(nb_intmodel_save(s->ctx, b, s->path2), NB_OK);
        assert_same_files(s);
        assert_same_output(s, a, b, r->pixels);
        nb_intmodel_free(s->ctx, a);
        nb_intmodel_free(s->ctx, b);
        ref_model_free(r);
    }
}

/* ---- the world ---- */

static void a_missing_file_and_a_full_disk_are_errors(void **state)
{
    sandbox *s = *state;
    nb_intmodel *m = NULL;
    assert_int_equal(nb_intmodel_load(s->ctx, "/nowhere/x.int.safetensors", &m), NB_E_IO);
    assert_int_equal(ref_tiny_model(s->ctx, 4, &m), NB_OK);
    assert_int_equal(nb_intmodel_save(s->ctx, m, "/nowhere/x.int.safetensors"), NB_E_IO);
    if (access("/dev/full", W_OK) == 0)
        assert_int_equal(nb_intmodel_save(s->ctx, m, "/dev/full"), NB_E_IO);
    nb_intmodel_free(s->ctx, m);
}

static void a_failing_allocation_anywhere_in_save_is_an_error_and_leaks_nothing(void **state)
{
    sandbox *s = *state;
    nb_intmodel *m;
    assert_int_equal(ref_tiny_model(s->ctx, 4, &m), NB_OK);
    nb_status st = NB_E_NOMEM;
    int32_t n = 0;
    while (st != NB_OK) {
        nb_ctx_fail_alloc_at(s->ctx, ++n);
        st = nb_intmodel_save(s->ctx, m, s->path);
        nb_ctx_fail_alloc_at(s->ctx, 0);
        assert_true(st == NB_OK || st == NB_E_NOMEM);
    }
    assert_true(n > 4);
    nb_intmodel_free(s->ctx, m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_loaded_and_saved_again_is_byte_equal_and_runs_the_same_for_all_bits),
        cmocka_unit_test(everything_a_model_says_comes_back),
        cmocka_unit_test(what_is_unknown_stays_unknown),
        cmocka_unit_test(four_bit_weights_take_half_a_byte_in_the_file),
        cmocka_unit_test(random_models_come_back_and_run_the_same),
        cmocka_unit_test(a_missing_file_and_a_full_disk_are_errors),
        cmocka_unit_test(a_failing_allocation_anywhere_in_save_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
