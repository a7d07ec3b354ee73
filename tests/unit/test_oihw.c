/* test_oihw.c - where other frameworks keep what we have as OHWI and HWC; leaves and keys by name (oihw.c). */
#include "core/oihw.h"
#include "ref/foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MODEL                                                                                                          \
    "  - input\n  - conv2d: {name: c, out: 3, kernel: 2}\n  - flatten\n  - batchnorm: {name: b}\n  - relu\n"           \
    "  - linear: {name: f, out: 2}\n  - linear: {name: g, out: 2}\n"

static void windows_move_the_channels_and_flat_images_the_columns(void **state)
{
    (void)state;
    ref_foreign f;
    ref_foreign_open(&f, MODEL, 3, 4, 2, 2);
    const nb_node *c = nb_graph_find(f.g, "c"), *b = nb_graph_find(f.g, "b"), *fc = nb_graph_find(f.g, "f");
    nb_oihw r = nb_oihw_of(c, nb_leaf_of(c, "weight"));
    assert_false(r.same || r.columns);
    assert_int_equal(nb_oihw_place(&r, 1, 0, 1, 1), ((1 * 2 + 1) * 2 + 0) * 2 + 1);
    r = nb_oihw_of(fc, nb_leaf_of(fc, "weight")); /* the image is 2 x 3 x 3 */
    assert_true(r.columns);
    assert_int_equal(nb_oihw_place(&r, 1, 0, 0, (1 * 3 + 2) * 3 + 1), 18 + (1 * 2 + 1) * 3 + 2);
    r = nb_oihw_of(b, nb_leaf_of(b, "mean"));
    assert_int_equal(nb_oihw_place(&r, 0, 0, 0, 3), 1);
    ref_foreign_close(&f);
}

/* 2 x 3 images of 2 channels, then of 1: each part of the concat has its own order. */
static void rows_that_were_joined_move_part_by_part(void **state)
{
    (void)state;
    ref_foreign f;
    ref_foreign_open(&f,
                     "  - input\n  - conv2d: {name: a, out: 2, kernel: 1}\n  - flatten: {name: ra}\n"
                     "  - conv2d: {name: b, in: input1, out: 1, kernel: 1}\n  - flatten: {name: rb}\n"
                     "  - concat: {name: k, in: [rb, ra]}\n  - batchnorm: {name: n}\n"
                     "  - add: {in: [n, k]}\n  - linear: {name: f, out: 2}\n",
                     2, 3, 2, 2);
    const nb_node *n = nb_graph_find(f.g, "n"), *fc = nb_graph_find(f.g, "f");
    nb_oihw norm = nb_oihw_of(n, nb_leaf_of(n, "gamma")), rows = nb_oihw_of(fc, nb_leaf_of(fc, "weight"));
    assert_true(norm.columns && rows.columns && !norm.same && !rows.same);
    static const int64_t theirs[18] = {0, 1, 2, 3, 4, 5, 6, 12, 7, 13, 8, 14, 9, 15, 10, 16, 11, 17};
    for (int64_t i = 0; i < 18; i++) {
        assert_int_equal(nb_oihw_place(&norm, 0, 0, 0, i), theirs[i]);
        assert_int_equal(nb_oihw_place(&rows, 1, 0, 0, i), 18 + theirs[i]);
    }
    ref_foreign_close(&f);
}

/* 6 channels to 4 in 2 groups: theirs are [6, 2, 3, 1], and the first row is the last. */
static void transposed_convolutions_are_turned(void **state)
{
    (void)state;
    ref_foreign f;
    ref_foreign_open(
        &f,
        "  - input\n  - conv2d: {out: 6, kernel: 1}\n  - convtranspose2d: {name: t, out: 4, kernel: [3, 1], "
        "stride: 2, groups: 2}\n  - linear: {out: 2}\n",
        3, 4, 2, 2);
    const nb_node *t = nb_graph_find(f.g, "t");
    const nb_oihw r = nb_oihw_of(t, nb_leaf_of(t, "weight"));
    int64_t sizes[4];
    nb_oihw_sizes(&r, sizes);
    assert_memory_equal(sizes, ((const int64_t[]){6, 2, 3, 1}), sizeof sizes);
    assert_true(r.turned && !r.same);
    assert_int_equal(nb_oihw_place(&r, 0, 2, 0, 1), (1 * 2 + 0) * 3 + 0);
    assert_int_equal(nb_oihw_place(&r, 3, 0, 0, 2), (5 * 2 + 1) * 3 + 2);
    assert_true(nb_oihw_of(t, nb_leaf_of(t, "bias")).same);
    ref_foreign_close(&f);
}

static void what_has_one_order_keeps_it(void **state)
{
    (void)state;
    ref_foreign f;
    ref_foreign_open(&f, MODEL, 3, 4, 2, 2);
    const nb_node *g = nb_graph_find(f.g, "g"), *fc = nb_graph_find(f.g, "f");
    assert_true(nb_oihw_of(g, nb_leaf_of(g, "weight")).same);
    assert_true(nb_oihw_of(fc, nb_leaf_of(fc, "bias")).same);
    ref_foreign_close(&f);
}

static void leaves_and_keys_are_found_by_name(void **state)
{
    (void)state;
    ref_foreign f;
    ref_foreign_open(&f, MODEL, 3, 4, 2, 2);
    const nb_node *c = nb_graph_find(f.g, "c");
    assert_null(nb_leaf_of(c, "gamma"));
    assert_true(*(const float *)nb_bound_key(nb_graph_find(f.g, "b"), "eps", NB_K_FLOAT) == 1e-5f);
    assert_int_equal(((const nb_hw *)nb_bound_key(c, "kernel", NB_K_HW))->w, 2);
    assert_null(nb_bound_key(c, "kernel", NB_K_FLOAT));
    assert_null(nb_bound_key(c, "eps", NB_K_FLOAT));
    ref_foreign_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_move_the_channels_and_flat_images_the_columns),
        cmocka_unit_test(rows_that_were_joined_move_part_by_part),
        cmocka_unit_test(transposed_convolutions_are_turned),
        cmocka_unit_test(what_has_one_order_keeps_it),
        cmocka_unit_test(leaves_and_keys_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
