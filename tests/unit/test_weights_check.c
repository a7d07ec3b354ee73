/* test_weights_check.c - one sentence for each way in which a file and a network do not fit (weights_check.c). */
#include "ref/foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODEL                                                                                                          \
    "  - input\n  - conv2d: {name: c, out: 4, kernel: 3, bias: no}\n  - batchnorm: {name: n}\n"                        \
    "  - linear: {name: f, out: 3}\n"
#define CONV   "a.weight F32 4x2x3x3\n"
#define BN(at) #at ".weight F32 4\n" #at ".bias F32 4\n" #at ".running_mean F32 4\n" #at ".running_var F32 4\n"
#define FC     "z.weight F32 3x4\nz.bias F32 3\n"

static void expect(const char *tensors, const char *map, float eps, nb_status want, const char *sentence)
{
    ref_foreign f;
    nb_import_report r;
    size_t len;
    uint8_t *file = ref_foreign_file(tensors, &len);
    ref_foreign_open(&f, MODEL, 3, 3, 2, 3);
    nb_status st = nb_import_weights_parse(f.g, "x.st", file, len,
                                           &(nb_import_options){.map = "m", .map_text = map, .bn_eps = eps}, &r);
    if (st != want || !strstr(nb_ctx_error(f.ctx), sentence))
        print_error("got %d: %s\nwant: %s\n", (int)st, nb_ctx_error(f.ctx), sentence);
    assert_int_equal(st, want);
    assert_non_null(strstr(nb_ctx_error(f.ctx), sentence));
    nb_import_report_free(&r);
    ref_foreign_close(&f);
    free(file);
}

static void what_nobody_takes_or_gives_is_listed(void **state)
{
    (void)state;
    expect(CONV BN(b) FC, "a\nb\nz", 0, NB_OK, "");
    expect(CONV BN(b) FC "a.bias F32 4\n", "a\nb\nz", 0, NB_E_FORMAT, "x.st, map m: nobody takes a.bias (--list");
    expect(CONV BN(b) "z.weight F32 3x4\n", "a\nb\nz", 0, NB_E_FORMAT, "nobody gives f.bias");
    expect(CONV BN(b) FC "q.0 F32 1\nq.1 F32 1\nq.2 F32 1\nq.3 F32 1\nq.4 F32 1\nq.5 F32 1\nq.6 F32 1\n", "a\nb\nz", 0,
           NB_E_FORMAT, "nobody takes q.0, q.1, q.2, q.3, q.4, q.5 and 1 more");
    expect(CONV BN(b) FC "y.weight F32 2x2\n", "a\nb\nz\ny", 0, NB_E_FORMAT, "nobody takes y.weight");
    expect(CONV FC, "a\nz -> f", 0, NB_E_FORMAT, "nobody gives n.gamma, n.beta, n.mean, n.var");
}

static void the_first_pair_that_is_none_is_named(void **state)
{
    (void)state;
    expect(CONV FC, "a\nz", 0, NB_E_FORMAT, "x.st: z.bias is not of a batch norm, but is to become n, which is one");
    expect(BN(b) CONV FC, "b\na\nz", 0, NB_E_FORMAT, "is of a batch norm, but is to become c, which is none");
    expect("a.weight F32 4x3x3x2\n" BN(b) FC, "a\nb\nz", 0, NB_E_FORMAT,
           "a.weight is 4x3x3x2, which does not become c.weight of 4x3x3x2 (out, rows, columns, in)");
    expect("a.weight I64 4x2x3x3\n" BN(b) FC, "a\nb\nz", 0, NB_E_FORMAT, "a.weight: must hold floats");
    expect(CONV BN(b) FC "y.weight F32 3x4\n", "a\nb\nz -> f\ny -> f", 0, NB_E_FORMAT, "both become f.weight");
}

static void lines_of_a_mapping_file_are_meant(void **state)
{
    (void)state;
    expect(CONV BN(bn1) FC, "a\nbn2\nz", 0, NB_E_FORMAT, "m:2: bn2: x.st has no such module (did you mean \"bn1\"?)");
    expect(CONV BN(b) FC, "a\nb\nz -> g", 0, NB_E_FORMAT, "m:3: z.weight -> g: the network has no such layer");
}

static void eps_must_be_the_one_it_was_trained_with(void **state)
{
    (void)state;
    expect(CONV BN(b) FC, "a\nb\nz", 1e-5f, NB_OK, "");
    expect(CONV BN(b) FC, "a\nb\nz", 1e-3f, NB_E_CONFIG,
           "batchnorm n: eps: 1e-05, but the weights are of a network with 0.001");
}

static void a_report_has_every_tensor_and_every_leaf(void **state)
{
    (void)state;
    ref_foreign f;
    nb_import_report r;
    size_t len;
    uint8_t *file = ref_foreign_file(CONV FC "q.weight F32 2x2\n", &len);
    ref_foreign_open(&f, MODEL, 3, 3, 2, 3);
    assert_int_equal(
        nb_import_weights_parse(f.g, "x.st", file, len, &(nb_import_options){.map_text = "a -> c\nz -> f"}, &r),
        NB_E_FORMAT);
    assert_int_equal(r.n, 4 + 4);
    assert_string_equal(r.map, "map");
    assert_string_equal(r.rows[0].theirs, "a.weight");
    assert_string_equal(r.rows[0].their_shape, "4x2x3x3");
    assert_string_equal(r.rows[0].our_shape, "4x3x3x2");
    assert_string_equal(r.rows[3].note, "nobody takes it");
    assert_null(r.rows[7].theirs);
    assert_string_equal(r.rows[7].ours, "n.var");
    assert_string_equal(r.rows[7].note, "nobody gives it");
    nb_import_report_free(&r);
    ref_foreign_close(&f);
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_takes_or_gives_is_listed),
        cmocka_unit_test(the_first_pair_that_is_none_is_named),
        cmocka_unit_test(lines_of_a_mapping_file_are_meant),
        cmocka_unit_test(eps_must_be_the_one_it_was_trained_with),
        cmocka_unit_test(a_report_has_every_tensor_and_every_leaf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
