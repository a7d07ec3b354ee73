/* test_fill.c - foreign tensors into leaves: OIHW to OHWI, columns behind a flatten, number formats (fill.c). */
#include "core/oihw.h"
#include "import/fill.h"
#include "ref/foreign.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MODEL                                                                                                          \
    "  - input\n  - conv2d: {name: c, out: 3, kernel: 2}\n  - flatten\n  - batchnorm: {name: b}\n"                     \
    "  - linear: {name: f, out: 2}\n"

static nb_st_tensor tensor(const void *data, nb_st_dtype dtype, int32_t ndim, int64_t d0, int64_t d1, int64_t d2,
                           int64_t d3)
{
    nb_st_tensor t = {.name = "t", .dtype = dtype, .ndim = ndim, .shape = {d0, d1, d2, d3}, .count = 1, .data = data};
    for (int32_t i = 0; i < ndim; i++)
        t.count *= t.shape[i];
    return t;
}

static void convolutions_go_from_oihw_to_ohwi(void **state)
{
    (void)state;
    ref_foreign f;
    ref_foreign_open(&f, MODEL, 3, 4, 2, 2);
    nb_node *c = nb_graph_find(f.g, "c"), *leaf = nb_leaf_of(c, "weight");
    float theirs[3 * 2 * 2 * 2];
    for (int i = 0; i < 24; i++)
        theirs[i] = (float)i;
    nb_st_tensor t = tensor(theirs, NB_ST_F32, 4, 3, 2, 2, 2);
    assert_true(nb_fill_fits(c, leaf, &t, false));
    assert_int_equal(nb_fill_leaf(f.ctx, "x", c, leaf, &t, false), NB_OK);
    const float *w = leaf->out.data;
    for (int o = 0; o < 3; o++)
        for (int i = 0; i < 2; i++)
            for (int y = 0; y < 2; y++)
                for (int x = 0; x < 2; x++)
                    assert_true(w[((o * 2 + y) * 2 + x) * 2 + i] == theirs[((o * 2 + i) * 2 + y) * 2 + x]);
    assert_int_equal(nb_fill_leaf(f.ctx, "x", c, leaf, &t, true), NB_OK);
    assert_memory_equal(leaf->out.data, theirs, sizeof theirs);
    ref_foreign_close(&f);
}

/* The image behind the flatten is 2 x 3 x 3 (HWC): theirs counts c, y, x, ours y, x, c. */
static void columns_behind_a_flatten_are_put_into_our_order(void **state)
{
    (void)state;
    ref_foreign f;
    ref_foreign_open(&f, MODEL, 3, 4, 2, 2);
    nb_node *fc = nb_graph_find(f.g, "f"), *leaf = nb_leaf_of(fc, "weight");
    nb_node *bn = nb_graph_find(f.g, "b"), *mean = nb_leaf_of(bn, "mean");
    float theirs[36];
    for (int i = 0; i < 36; i++)
        theirs[i] = (float)i;
    nb_st_tensor t = tensor(theirs, NB_ST_F32, 2, 2, 18, 0, 0), v = tensor(theirs, NB_ST_F32, 1, 18, 0, 0, 0);
    assert_true(nb_fill_fits(fc, leaf, &t, false));
    assert_true(nb_fill_fits(bn, mean, &v, false));
    assert_int_equal(nb_fill_leaf(f.ctx, "x", fc, leaf, &t, false), NB_OK);
    assert_int_equal(nb_fill_leaf(f.ctx, "x", bn, mean, &v, false), NB_OK);
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < 2; y++)
            for (int x = 0; x < 3; x++) {
                const int ours = (y * 3 + x) * 3 + c, from = (c * 2 + y) * 3 + x;
                assert_true(((float *)leaf->out.data)[ours] == (float)from);
                assert_true(((float *)leaf->out.data)[18 + ours] == (float)(18 + from));
                assert_true(((float *)mean->out.data)[ours] == (float)from);
            }
    ref_foreign_close(&f);
}

static void only_shapes_that_hold_the_same_numbers_fit(void **state)
{
    (void)state;
    ref_foreign f;
    ref_foreign_open(&f, MODEL, 3, 4, 2, 2);
    nb_node *c = nb_graph_find(f.g, "c"), *fc = nb_graph_find(f.g, "f");
    nb_node *w = nb_leaf_of(c, "weight"), *b = nb_leaf_of(c, "bias"), *full = nb_leaf_of(fc, "weight");
    nb_st_tensor t = tensor(NULL, NB_ST_F32, 4, 2, 3, 2, 2);
    assert_false(nb_fill_fits(c, w, &t, false)); /* in and out swapped */
    t = tensor(NULL, NB_ST_F32, 4, 3, 2, 1, 4);
    assert_false(nb_fill_fits(c, w, &t, false));
    t = tensor(NULL, NB_ST_F32, 2, 3, 8, 0, 0);
    assert_false(nb_fill_fits(c, w, &t, false)); /* a window of more than one pixel is no matrix */
    t = tensor(NULL, NB_ST_F32, 4, 3, 2, 2, 2);
    t = tensor(NULL, NB_ST_F32, 4, 2, 3, 2, 3);
    assert_true(nb_fill_fits(fc, full, &t, false)); /* a convolution over the whole image */
    t = tensor(NULL, NB_ST_F32, 2, 18, 2, 0, 0);
    assert_false(nb_fill_fits(fc, full, &t, false));
    t = tensor(NULL, NB_ST_F32, 1, 3, 0, 0, 0);
    assert_true(nb_fill_fits(c, b, &t, false));
    t = tensor(NULL, NB_ST_F32, 2, 3, 1, 0, 0);
    assert_false(nb_fill_fits(c, b, &t, false));
    ref_foreign_close(&f);
}

static void every_float_format_is_widened_and_must_be_finite(void **state)
{
    (void)state;
    ref_foreign f;
    ref_foreign_open(&f, MODEL, 3, 4, 2, 2);
    nb_node *c = nb_graph_find(f.g, "c"), *leaf = nb_leaf_of(c, "bias");
    const float *got = leaf->out.data;
    const uint16_t half[3] = {0x3e00, 0x8001, 0x7bff}, brain[3] = {0x3fc0, 0x8000, 0x7f7f};
    const double wide[3] = {0.1, -2, 1e300};
    nb_st_tensor t = tensor(half, NB_ST_F16, 1, 3, 0, 0, 0);
    assert_int_equal(nb_fill_leaf(f.ctx, "x", c, leaf, &t, false), NB_OK);
    assert_true(got[0] == 1.5f && got[1] == -ldexpf(1, -24) && got[2] == 65504.0f);
    t = tensor(brain, NB_ST_BF16, 1, 3, 0, 0, 0);
    assert_int_equal(nb_fill_leaf(f.ctx, "x", c, leaf, &t, false), NB_OK);
    assert_true(got[0] == 1.5f && got[1] == 0.0f && signbit(got[1]) && got[2] == 0x1.fep127f);
    t = tensor(wide, NB_ST_F64, 1, 3, 0, 0, 0);
    assert_int_equal(nb_fill_leaf(f.ctx, "x", c, leaf, &t, false), NB_E_FORMAT);
    assert_string_equal(nb_ctx_error(f.ctx), "x: tensor t: value 2 is inf: it must be a finite number");
    assert_true(got[0] == 0.1f && got[1] == -2.0f);
    const uint16_t infinite[3] = {0, 0x7c00, 0};
    t = tensor(infinite, NB_ST_F16, 1, 3, 0, 0, 0);
    assert_int_equal(nb_fill_leaf(f.ctx, "x", c, leaf, &t, false), NB_E_FORMAT);
    assert_true(nb_fill_is_float(&t));
    t.dtype = NB_ST_I64;
    assert_false(nb_fill_is_float(&t));
    ref_foreign_close(&f);
}

static void a_variance_cannot_be_negative(void **state)
{
    (void)state;
    ref_foreign f;
    ref_foreign_open(
        &f, "  - input\n  - conv2d: {name: c, out: 3, kernel: 1}\n  - batchnorm: {name: n}\n  - linear: {out: 2}\n", 3,
        4, 2, 2);
    nb_node *n = nb_graph_find(f.g, "n");
    const float v[3] = {0, 1, -0.5f};
    const nb_st_tensor t = tensor(v, NB_ST_F32, 1, 3, 0, 0, 0);
    assert_int_equal(nb_fill_leaf(f.ctx, "x", n, nb_leaf_of(n, "mean"), &t, false), NB_OK);
    assert_int_equal(nb_fill_leaf(f.ctx, "x", n, nb_leaf_of(n, "var"), &t, false), NB_E_FORMAT);
    assert_string_equal(nb_ctx_error(f.ctx), "x: tensor t: value 2 is -0.5: it cannot be negative");
    ref_foreign_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_go_from_oihw_to_ohwi),
        cmocka_unit_test(columns_behind_a_flatten_are_put_into_our_order),
        cmocka_unit_test(only_shapes_that_hold_the_same_numbers_fit),
        cmocka_unit_test(a_variance_cannot_be_negative),
        cmocka_unit_test(every_float_format_is_widened_and_must_be_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
