/* test_weights.c - safetensors into a network by name map: in order, by name, our own files (weights.c). */
#include "ref/foreign.h"

#include "base/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODEL                                                                                                          \
    "  - input\n  - conv2d: {name: stem, out: 4, kernel: 3, pad: 1, bias: no}\n  - batchnorm: {name: n}\n  - relu\n"   \
    "  - resblock: {name: b, out: 6, stride: 2}\n  - avgpool: {global: yes}\n  - linear: {name: head, out: 3}\n"
#define BN(name, c)                                                                                                    \
    name ".weight F32 " c "\n" name ".bias F32 " c "\n" name ".running_mean F32 " c "\n" name ".running_var F32 " c    \
         "\n" name ".num_batches_tracked I64\n"
/* Sorted by name, as the reference implementation writes; execution has another order. */
#define RESNET                                                                                                         \
    BN("bn1", "4")                                                                                                     \
    "conv1.weight F32 4x2x3x3\nfc.bias F32 3\nfc.weight F32 3x6\n" BN("layer1.0.bn1", "6")                             \
        BN("layer1.0.bn2", "6") "layer1.0.conv1.weight F32 6x4x3x3\nlayer1.0.conv2.weight F32 6x6x3x3\n"               \
                                "layer1.0.downsample.0.weight F32 6x4x1x1\n" BN("layer1.0.downsample.1", "6")

static nb_status import(ref_foreign *f, const char *tensors, const nb_import_options *o, nb_import_report *r)
{
    size_t len;
    uint8_t *file = ref_foreign_file(tensors, &len);
    nb_status st = nb_import_weights_parse(f->g, "x.st", file, len, o, r);
    free(file);
    return st;
}

static const char *taken_by(const nb_import_report *r, const char *theirs)
{
    for (int32_t i = 0; i < r->n; i++)
        if (r->rows[i].theirs && strcmp(r->rows[i].theirs, theirs) == 0)
            return r->rows[i].ours ? r->rows[i].ours : r->rows[i].note;
    return "not there";
}

static float first(const ref_foreign *f, const char *leaf)
{
    return *(float *)nb_graph_find(f->g, leaf)->out.data;
}

static void a_state_dict_finds_its_map_and_its_order(void **state)
{
    (void)state;
    ref_foreign f;
    nb_import_report r;
    ref_foreign_open(&f, MODEL, 8, 8, 2, 3);
    assert_int_equal(import(&f, RESNET, NULL, &r), NB_OK);
    assert_string_equal(r.map, "resnet");
    assert_string_equal(taken_by(&r, "conv1.weight"), "stem.weight");
    assert_string_equal(taken_by(&r, "bn1.running_var"), "n.var");
    assert_string_equal(taken_by(&r, "layer1.0.conv2.weight"), "b.c2.weight");
    assert_string_equal(taken_by(&r, "layer1.0.bn2.bias"), "b.c2.bn.beta");
    assert_string_equal(taken_by(&r, "layer1.0.downsample.1.weight"), "b.short.bn.gamma");
    assert_string_equal(taken_by(&r, "fc.weight"), "head.weight");
    assert_string_equal(taken_by(&r, "bn1.num_batches_tracked"), "left out");
    assert_true(first(&f, "n.gamma") == 1 && first(&f, "n.beta") == 5 && first(&f, "n.var") == 13);
    assert_true(first(&f, "stem.weight") == 18);
    nb_import_report_free(&r);
    ref_foreign_close(&f);
}

static void the_prefix_of_a_wrapper_is_left_out(void **state)
{
    (void)state;
    static const char *const wrappers[] = {"module.", "_orig_mod.", "model.", "module._orig_mod."};
    for (int32_t i = 0; i < 4; i++) {
        char text[4096];
        size_t at = 0;
        for (const char *line = RESNET; *line;) {
            const size_t n = strcspn(line, "\n");
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s\n", wrappers[i], (int)n, line);
            line += n + (line[n] == '\n');
        }
        ref_foreign f;
        nb_import_report r;
        ref_foreign_open(&f, MODEL, 8, 8, 2, 3);
        if (import(&f, text, NULL, &r) != NB_OK)
            fail_msg("%s: %s", wrappers[i], nb_ctx_error(f.ctx));
        char name[64];
        snprintf(name, sizeof name, "%sbn1.running_var", wrappers[i]);
        assert_string_equal(taken_by(&r, name), "n.var");
        nb_import_report_free(&r);
        const nb_import_options file = {.map = "m",
                                        .map_text =
                                            "conv1\nbn1\nlayer{}.{}.conv1\nlayer{}.{}.bn1\nlayer{}.{}.conv2\n"
                                            "layer{}.{}.bn2\nlayer{}.{}.downsample.0\nlayer{}.{}.downsample.1\nfc\n"};
        assert_int_equal(import(&f, text, &file, &r), NB_OK); /* a map by the names without it */
        nb_import_report_free(&r);
        ref_foreign_close(&f);
    }
}

/* The weight of a PReLU are slopes; in the place of a norm it is none. */
static void slopes_of_a_prelu_are_its_weight(void **state)
{
    (void)state;
    ref_foreign f;
    nb_import_report r;
    ref_foreign_open(&f,
                     "  - input\n  - conv2d: {name: c, out: 4, kernel: 1, bias: no}\n  - prelu: {name: p}\n  - "
                     "linear: {name: head, out: 3}\n",
                     1, 1, 2, 3);
    const nb_import_options order = {.map = "m", .map_text = "c\np\nfc\n"};
    static const char text[] = "c.weight F32 4x2x1x1\nfc.bias F32 3\nfc.weight F32 3x4\n";
    char slopes[160], norm[400];
    snprintf(slopes, sizeof slopes, "%sp.weight F32 4\n", text);
    snprintf(norm, sizeof norm, "%s" BN("p", "4"), text);
    assert_int_equal(import(&f, slopes, &order, &r), NB_OK);
    assert_string_equal(taken_by(&r, "p.weight"), "p.slope");
    nb_import_report_free(&r);
    assert_int_equal(import(&f, norm, &order, &r), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f.ctx), "is of a batch norm, but is to become p"));
    nb_import_report_free(&r);
    ref_foreign_close(&f);
}

static void a_norm_without_statistics_is_told_so(void **state)
{
    (void)state;
    ref_foreign f;
    nb_import_report r;
    ref_foreign_open(&f,
                     "  - input\n  - conv2d: {name: c, out: 4, kernel: 1, bias: no}\n  - batchnorm: {name: n}\n  - "
                     "linear: {name: head, out: 3}\n",
                     1, 1, 2, 3);
    const nb_import_options order = {.map = "m", .map_text = "c\nn\nfc\n"},
                            named = {.map = "m", .map_text = "c -> c\nn -> n\nfc -> head\n"};
    const char *net = "c.weight F32 4x2x1x1\nfc.bias F32 3\nfc.weight F32 3x4\nn.bias F32 4\nn.weight F32 4\n";
    assert_int_equal(import(&f, net, &order, &r), NB_E_FORMAT);
    assert_non_null(
        strstr(nb_ctx_error(f.ctx),
               "x.st: n has no running_mean, which the batch norm n needs (made with track_running_stats=False"));
    nb_import_report_free(&r);
    assert_int_equal(import(&f, net, &named, &r), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f.ctx), "x.st: n has no running_mean, which the batch norm n needs"));
    nb_import_report_free(&r);
    ref_foreign_close(&f);
}

static void numbers_are_numbers_not_text(void **state)
{
    (void)state;
    ref_foreign f;
    nb_import_report r;
    ref_foreign_open(&f, "  - input\n  - linear: {name: a, out: 5}\n  - relu\n  - linear: {name: b, out: 3}\n", 2, 2, 1,
                     3);
    assert_int_equal(import(&f, "10.weight F32 3x5\n10.bias F32 3\n9.weight F32 5x4\n9.bias F32 5\n", NULL, &r), NB_OK);
    assert_string_equal(r.map, "sequential");
    assert_string_equal(taken_by(&r, "9.bias"), "a.bias");
    assert_string_equal(taken_by(&r, "10.bias"), "b.bias");
    nb_import_report_free(&r);
    ref_foreign_close(&f);
}

static void a_mapping_file_goes_by_name_and_by_order(void **state)
{
    (void)state;
    ref_foreign f;
    nb_import_report r;
    ref_foreign_open(
        &f,
        "  - input\n  - linear: {name: a1, out: 5}\n  - linear: {name: a2, out: 5}\n  - linear: {name: z, out: 3}\n", 2,
        2, 1, 3);
    const nb_import_options o = {.map = "m.map",
                                 .map_text = "last -> z\nstep{} -> a{+1}\nextra.* -> -\nodd -> a2.bias\n"};
    assert_int_equal(import(&f,
                            "last.weight F16 3x5\nlast.bias BF16 3\nstep0.weight F64 5x4\nstep0.bias F32 5\n"
                            "step1.weight F32 5x5\nodd F32 5\nextra.head.weight F32 2x2\nextra.n I64 3\n",
                            &o, &r),
                     NB_OK);
    assert_string_equal(taken_by(&r, "step1.weight"), "a2.weight");
    assert_string_equal(taken_by(&r, "odd"), "a2.bias");
    assert_string_equal(taken_by(&r, "extra.head.weight"), "left out");
    assert_true(first(&f, "z.weight") == 1.5f && first(&f, "z.bias") == 1.5f && first(&f, "a1.weight") == 19);
    nb_import_report_free(&r);
    const nb_import_options mixed = {.map = "m.map", .map_text = "step{}\nlast -> z\n"};
    assert_int_equal(import(&f,
                            "last.weight F32 3x5\nlast.bias F32 3\nstep2.weight F32 5x4\nstep2.bias F32 5\n"
                            "step10.weight F32 5x5\nstep10.bias F32 5\n",
                            &mixed, &r),
                     NB_OK);
    assert_string_equal(taken_by(&r, "step10.bias"), "a2.bias");
    nb_import_report_free(&r);
    ref_foreign_close(&f);
}

static void our_own_names_keep_our_layout(void **state)
{
    (void)state;
    ref_foreign f;
    nb_import_report r;
    ref_foreign_open(&f, "  - input\n  - conv2d: {name: c, out: 3, kernel: 2}\n", 2, 2, 2, 3);
    const nb_import_options o = {.map = "nibble"};
    assert_int_equal(import(&f, "c.weight F32 3x2x2x2\nc.bias F32 3\nopt/c.bias/0 F32 3\n", &o, &r), NB_OK);
    for (int i = 0; i < 24; i++)
        assert_true(((float *)nb_graph_find(f.g, "c.weight")->out.data)[i] == (float)(i + 1));
    nb_import_report_free(&r);
    ref_foreign_close(&f);
}

static void maps_that_are_not_there_are_named(void **state)
{
    (void)state;
    ref_foreign f;
    nb_import_report r;
    ref_foreign_open(&f, MODEL, 8, 8, 2, 3);
    assert_int_equal(import(&f, RESNET, &(nb_import_options){.map = "resnet2"}, &r), NB_E_CONFIG);
    assert_non_null(
        strstr(nb_ctx_error(f.ctx), "resnet2: neither a built-in map nor a file (did you mean \"resnet\"?)"));
    nb_import_report_free(&r);
    assert_int_equal(import(&f, RESNET, &(nb_import_options){.map = "nowhere.map"}, &r), NB_E_IO);
    nb_import_report_free(&r);
    assert_int_equal(import(&f, RESNET "strange.weight F32 2\n", NULL, &r), NB_E_CONFIG);
    assert_non_null(strstr(nb_ctx_error(f.ctx), "no built-in map knows all of its names: resnet does not know 1 of "));
    assert_non_null(strstr(nb_ctx_error(f.ctx), "(strange.weight); say --map, with one of nibble, resnet"));
    nb_import_report_free(&r);
    const nb_import_options partial = {.map = "my.map", .map_text = "strange -> -\n"};
    assert_int_equal(import(&f, RESNET "strange.weight F32 2\n", &partial, &r), NB_OK);
    nb_import_report_free(&r);
    const nb_import_options unused = {.map = "my.map", .map_text = "strange -> -\nstranger -> -\n"};
    assert_int_equal(import(&f, RESNET "strange.weight F32 2\n", &unused, &r), NB_E_FORMAT);
    assert_non_null(strstr(nb_ctx_error(f.ctx), "my.map:2: stranger: "));
    nb_import_report_free(&r);
    ref_foreign_close(&f);
}

static void memory_that_ends_leaves_a_sentence(void **state)
{
    (void)state;
    ref_foreign f;
    nb_import_report r;
    ref_foreign_open(&f, MODEL, 8, 8, 2, 3);
    nb_status st = NB_E_NOMEM;
    for (int64_t n = 1; st != NB_OK && n < 10000; n++) {
        nb_ctx_fail_alloc_at(f.ctx, n);
        st = import(&f, RESNET, NULL, &r);
        assert_true(st == NB_OK || st == NB_E_NOMEM);
        nb_import_report_free(&r);
    }
    assert_int_equal(st, NB_OK);
    ref_foreign_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_dict_finds_its_map_and_its_order),
        cmocka_unit_test(the_prefix_of_a_wrapper_is_left_out),
        cmocka_unit_test(slopes_of_a_prelu_are_its_weight),
        cmocka_unit_test(a_norm_without_statistics_is_told_so),
        cmocka_unit_test(numbers_are_numbers_not_text),
        cmocka_unit_test(a_mapping_file_goes_by_name_and_by_order),
        cmocka_unit_test(our_own_names_keep_our_layout),
        cmocka_unit_test(maps_that_are_not_there_are_named),
        cmocka_unit_test(memory_that_ends_leaves_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
