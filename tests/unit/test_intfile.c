/* test_intfile.c - integer checkpoints come back byte for byte and run the same. */
#include "base/files.h"
#include "base/safetensors.h"
#include "lower/intfile.h"
#include "ref/named_model.h"
#include "ref/ref_engine.h"
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

static void features_and_a_table_of_all_channels_come_back(void **state)
{
    sandbox *s = *state;
    const nb_features map = {"int16", 130, 0.03f, 2, (const float[]){0.1f, -7}, (const float[]){3, 0.01f}};
    uint8_t pixels[50];
    ref_tiny t;
    nb_intmodel *a, *b;
    for (int i = 0; i < 50; i++)
        pixels[i] = (uint8_t)(i * 5);
    ref_tiny_fill(&t, 4);
    t.meta.features = &map;
    t.steps[0].one_table = 1;
    assert_int_equal(ref_tiny_build(s->ctx, &t, &a), NB_OK);
    assert_int_equal(nb_intmodel_save(s->ctx, a, s->path), NB_OK);
    assert_int_equal(nb_intmodel_load(s->ctx, s->path, &b), NB_OK);
    assert_int_equal(nb_intmodel_save(s->ctx, b, s->path2), NB_OK);
    assert_same_files(s);
    assert_true(nb_features_equal(b->features, &map));
    assert_int_equal(b->e.steps[0].one_table, 1);
    assert_same_output(s, a, b, pixels);
    ref_values v = ref_engine_run(&b->e, pixels);
    assert_int_equal(v.value[0][1], t.table[pixels[1]]); /* channel 1 by the first table */
    ref_values_free(&v);
    nb_intmodel_free(s->ctx, a);
    nb_intmodel_free(s->ctx, b);
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

static void random_models_come_back_and_run_the_same(void **state)
{
    sandbox *s = *state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        ref_model *r = ref_model_random(seed);
        nb_intmodel *a = NULL, *b;
        if (ref_named_model(s->ctx, r, &a) != NB_OK)
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

/* The naive reader's weights in the naive interpreter give what the engine gives with those of the loader. */
static int32_t compare_levels(sandbox *s, const ref_model *r, const nb_st_file *f, const nb_intmodel *m,
                              int32_t *version)
{
    int32_t with = 0;
    char name[32];
    for (int32_t i = 0; i < m->e.n_steps; i++) {
        nb_estep *e = &r->e.steps[i];
        const ref_levels *l = &r->levels[i];
        snprintf(name, sizeof name, "s%d.weight", i);
        const nb_st_tensor *w = nb_st_find(f, name);
        if (l->block > 0) {
            ref_read_blocks((int8_t *)(uintptr_t)e->weights, w->data, l->block, l->bits, &e->geom);
            *version = 4;
            continue;
        }
        if (l->n == 0) {
            snprintf(name, sizeof name, "s%d.low", i);
            const nb_st_tensor *low = nb_st_find(f, name);
            if (low)
                ref_read_offsets((int8_t *)(uintptr_t)e->weights, w->data, low->data, low->count > 1,
                                 m->steps[i].weight_bits, &e->geom);
            *version = low && *version < 3 ? 3 : *version;
            continue;
        }
        snprintf(name, sizeof name, "s%d.levels", i);
        const nb_st_tensor *level = nb_st_find(f, name);
        assert_int_equal(w->dtype, NB_ST_U8);
        assert_int_equal(level->count, l->n * l->tables);
        ref_read_levels((int8_t *)(uintptr_t)e->weights, w->data, level->data, l->tables > 1 ? l->n : 0, l->bits,
                        &e->geom);
        const int32_t asks = l->tables > 1 ? 3 : 2;
        *version = *version < asks ? asks : *version;
        with++;
    }
    ref_values want = ref_engine_run(&r->e, r->pixels);
    void *arena = nb_alloc(s->ctx, nb_engine_arena_bytes(&m->e));
    const void *y = nb_engine_run(&m->e, arena, r->pixels);
    assert_true(ref_engine_equal(&m->e, &want, nb_intmodel_output(m), y));
    ref_values_free(&want);
    nb_free(s->ctx, arena);
    return with;
}

/* Rows and columns that differ, and means with padding, as version 5 says them. */
static bool wants_windows(const nb_estep *s)
{
    const nb_geom *g = &s->geom;
    const bool pads = g->pad.top || g->pad.left || g->pad.bottom || g->pad.right;
    if (s->kind == NB_STEP_AVGPOOL_INSIDE || (s->kind == NB_STEP_AVGPOOL && pads))
        return true;
    return g->stride.h != g->stride.w || g->dilation.h != g->dilation.w || g->pad.top != g->pad.bottom ||
           g->pad.left != g->pad.right || g->pad.top != g->pad.left;
}

/* Moves, tables of codes, products, differences and inputs that are repeated, which version 6 has. */
static bool wants_steps(const nb_emodel *e, const nb_estep *s)
{
    const nb_etensor *y = &e->tensors[s->out];
    bool repeats = false;
    for (int32_t k = 0; s->kind == NB_STEP_ADD && k < 2; k++) {
        const nb_etensor *x = &e->tensors[s->in[k]];
        repeats = repeats || x->h * x->w * x->c < y->h * y->w * y->c;
    }
    const bool table = s->kind == NB_STEP_TABLE && (s->n_in > 0 || s->one_table);
    return s->index[0] || table || s->kind == NB_STEP_MUL || repeats || (s->kind == NB_STEP_ADD && s->mult[1] < 0);
}

static void levels_and_blocks_are_stored_as_a_naive_reader_finds_them(void **state)
{
    sandbox *s = *state;
    int32_t layers = 0, version[7] = {0};
    for (uint64_t seed = 0; seed < 100; seed++) {
        ref_model *r = ref_model_random(seed);
        nb_intmodel *a = NULL, *b;
        nb_st_file *f;
        assert_int_equal(ref_named_model(s->ctx, r, &a), NB_OK);
        assert_int_equal(nb_intmodel_save(s->ctx, a, s->path), NB_OK);
        assert_int_equal(nb_intmodel_load(s->ctx, s->path, &b), NB_OK);
        assert_int_equal(nb_st_open(s->ctx, s->path, &f), NB_OK);
        int32_t needed = 1;
        const int32_t with = compare_levels(s, r, f, b, &needed);
        for (int32_t i = 0; i < r->e.n_steps; i++)
            needed = wants_windows(&r->e.steps[i]) && needed < 5 ? 5 : needed;
        for (int32_t i = 0; i < r->e.n_steps; i++)
            needed = wants_steps(&r->e, &r->e.steps[i]) ? 6 : needed;
        assert_int_equal(nb_st_meta(f, "format")[11], '0' + needed);
        version[needed]++;
        layers += with;
        nb_st_close(s->ctx, f);
        nb_intmodel_free(s->ctx, a);
        nb_intmodel_free(s->ctx, b);
        ref_model_free(r);
    }
    assert_true(layers > 100 && version[3] > 0 && version[4] > 1 && version[5] > 2 && version[6] > 20);
}

/* 3-bit indices of two channels of 18: 54 bits each, so 7 bytes. */
static void levels_take_their_width_and_channels_begin_on_bytes(void **state)
{
    sandbox *s = *state;
    ref_tiny t;
    nb_intmodel *m;
    nb_st_file *f;
    ref_tiny_fill(&t, 4);
    ref_tiny_levels(&t, 3, (const int8_t[]){-100, -7, 1, 64, 127}, 5);
    assert_int_equal(ref_tiny_build(s->ctx, &t, &m), NB_OK);
    assert_int_equal(nb_intmodel_save(s->ctx, m, s->path), NB_OK);
    nb_intmodel_free(s->ctx, m);
    assert_int_equal(nb_st_open(s->ctx, s->path, &f), NB_OK);
    assert_int_equal(nb_st_find(f, "c1.weight")->bytes, 3 * 7);
    assert_int_equal(nb_st_find(f, "c1.levels")->bytes, 5);
    assert_int_equal(nb_st_find(f, "dw.weight")->bytes, 1); /* as ever */
    assert_null(nb_st_find(f, "dw.levels"));
    nb_st_close(s->ctx, f);
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

static void a_name_that_json_cannot_hold_is_refused(void **state)
{
    sandbox *s = *state;
    nb_intmodel *m;
    assert_int_equal(ref_tiny_model(s->ctx, 4, &m), NB_OK);
    const char *const names[] = {"a", "caf\xe9", "c", "d"};
    nb_intmodel copy = *m;
    copy.class_names = names;
    assert_int_equal(nb_intmodel_save(s->ctx, &copy, s->path), NB_E_FORMAT);
    assert_string_equal(nb_ctx_error(s->ctx), "the name \"caf\xe9\" is not valid UTF-8 and cannot be stored");
    nb_intmodel_free(s->ctx, m);
}

/* Most of these bits would give another network, as sound as this one. */
static void a_file_with_a_flipped_bit_in_a_tensor_is_refused(void **state)
{
    sandbox *s = *state;
    nb_intmodel *m;
    uint8_t *bytes;
    size_t len;
    assert_int_equal(ref_tiny_model(s->ctx, 4, &m), NB_OK);
    assert_int_equal(nb_intmodel_save(s->ctx, m, s->path), NB_OK);
    nb_intmodel_free(s->ctx, m);
    read_back(s, s->path, &bytes, &len);
    for (size_t at = 8 + bytes[0] + 256u * bytes[1]; at < len; at++) {
        bytes[at] ^= 1;
        assert_int_equal(nb_intmodel_parse(s->ctx, "bent", bytes, len, &m), NB_E_FORMAT);
        assert_non_null(strstr(nb_ctx_error(s->ctx), "bent: damaged: the CRC-32 of its contents is "));
        bytes[at] ^= 1;
    }
    assert_int_equal(nb_intmodel_parse(s->ctx, "whole", bytes, len, &m), NB_OK);
    nb_intmodel_free(s->ctx, m);
    nb_free(s->ctx, bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_loaded_and_saved_again_is_byte_equal_and_runs_the_same_for_all_bits),
        cmocka_unit_test(everything_a_model_says_comes_back),
        cmocka_unit_test(features_and_a_table_of_all_channels_come_back),
        cmocka_unit_test(what_is_unknown_stays_unknown),
        cmocka_unit_test(four_bit_weights_take_half_a_byte_in_the_file),
        cmocka_unit_test(random_models_come_back_and_run_the_same),
        cmocka_unit_test(levels_and_blocks_are_stored_as_a_naive_reader_finds_them),
        cmocka_unit_test(levels_take_their_width_and_channels_begin_on_bytes),
        cmocka_unit_test(a_missing_file_and_a_full_disk_are_errors),
        cmocka_unit_test(a_name_that_json_cannot_hold_is_refused),
        cmocka_unit_test(a_file_with_a_flipped_bit_in_a_tensor_is_refused),
        cmocka_unit_test(a_failing_allocation_anywhere_in_save_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
