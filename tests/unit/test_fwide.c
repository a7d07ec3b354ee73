/* test_fwide.c - convolutions as matrix products against seven plain loops in double, and the rule that chooses them.
 * All values are multiples of 1/8 and small, so every sum is exact in float whatever its order: equality is asked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kernels/float/fblas.h"
#include "kernels/float/fwide.h"
#include "ref/guard.h"
#include "ref/random_window.h"
#include "ref/ref_conv.h"
#include <nibble/extend/tensor.h>

static int32_t pick(nb_rng *r, int32_t lo, int32_t hi)
{
    return lo + (int32_t)nb_rng_below(r, (uint32_t)(hi - lo + 1));
}

typedef struct {
    nb_geom g;
    int32_t images;
    size_t x_len, y_len, w_len; /* of one image */
    double *x, *y, *w, *want;   /* x: values, or codes minus their zero point */
    uint8_t *codes;
    float *fx, *fy, *fw, *cols;
} work;

static void *zeros(size_t n, size_t size)
{
    void *p = calloc(n + 1, size);
    assert_non_null(p);
    return p;
}

static void random_eighths(nb_rng *r, double *d, float *f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        d[i] = pick(r, -16, 16) / 8.0;
        f[i] = (float)d[i];
    }
}

static void open_work(work *k, nb_rng *r)
{
    nb_geom *g = &k->g;
    do {
        *g = (nb_geom){.h = pick(r, 1, 9),
                       .w = pick(r, 1, 9),
                       .c = pick(r, 1, 20),
                       .oc = pick(r, 1, 20),
                       .kh = pick(r, 1, 4),
                       .groups = 1};
        g->kw = pick(r, 1, 4);
        ref_random_window(g, r, 3, 3);
        if (pick(r, 0, 3) == 0) { /* the input is the matrix */
            g->kh = g->kw = 1;
            g->stride = nb_hw_of(1);
            g->pad = nb_sides_of(0);
        }
        nb_geom_fit(g);
    } while (g->oh < 1 || g->ow < 1);
    k->images = pick(r, 1, 4);
    k->x_len = (size_t)(g->h * g->w * g->c);
    k->y_len = (size_t)(g->oh * g->ow * g->oc);
    k->w_len = (size_t)(g->oc * g->kh * g->kw * g->c);
    const size_t n = (size_t)k->images, most = k->x_len + k->y_len + k->w_len;
    k->x = zeros(n * k->x_len, sizeof *k->x);
    k->y = zeros(n * k->y_len, sizeof *k->y);
    k->w = zeros(k->w_len, sizeof *k->w);
    k->want = zeros(2 * n * most + 64, sizeof *k->want);
    k->codes = zeros(n * k->x_len, 1);
    k->fx = zeros(n * k->x_len, sizeof *k->fx);
    k->fy = zeros(n * k->y_len, sizeof *k->fy);
    k->fw = zeros(k->w_len, sizeof *k->fw);
    const size_t cols = nb_fwide_cols(g, k->images, true), tap = nb_fwide_tap_cols(g, g->c);
    k->cols = zeros(cols > tap ? cols : tap, sizeof *k->cols);
    random_eighths(r, k->x, k->fx, n * k->x_len);
    random_eighths(r, k->y, k->fy, n * k->y_len);
    random_eighths(r, k->w, k->fw, k->w_len);
}

static void close_work(work *k)
{
    void *all[] = {k->x, k->y, k->w, k->want, k->codes, k->fx, k->fy, k->fw, k->cols};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* Half of the networks have codes, whose zero point is 3. */
static nb_fconv_image input_of(work *k, nb_rng *r, bool codes)
{
    for (size_t i = 0; codes && i < (size_t)k->images * k->x_len; i++) {
        k->codes[i] = (uint8_t)pick(r, 0, 15);
        k->x[i] = k->codes[i] - 3;
    }
    return codes ? (nb_fconv_image){k->codes, NB_U8, 3} : (nb_fconv_image){k->fx, NB_F32, 0};
}

static void assert_values(const float *got, const double *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((double)got[i] != want[i])
            fail_msg("value %zu is %g, not %g", i, (double)got[i], want[i]);
}

static void check_forward(work *k, nb_rng *r, bool codes)
{
    const nb_geom *g = &k->g;
    const nb_fconv_image x = input_of(k, r, codes);
    double *bias = k->want + (size_t)k->images * k->y_len;
    float fbias[20];
    random_eighths(r, bias, fbias, (size_t)g->oc);
    for (int32_t i = 0; i < k->images; i++)
        ref_conv_forward(k->want + (size_t)i * k->y_len, k->x + (size_t)i * k->x_len, k->w, bias, g);
    const int32_t half = pick(r, 0, g->oc); /* in two parts */
    ref_guard guard = ref_guard_alloc((size_t)k->images * k->y_len * sizeof(float), GUARD_END);
    float *y = guard.data;
    memset(y, 0xff, (size_t)k->images * k->y_len * sizeof *y);
    const nb_fwide_part a = {k->images, 0, half, 1.0f}, b = {k->images, half, g->oc - half, 1.0f};
    if (half > 0)
        nb_fwide_forward(g, &a, y, &x, k->fw, fbias, k->cols);
    if (half < g->oc)
        nb_fwide_forward(g, &b, y, &x, k->fw, fbias, k->cols);
    assert_values(y, k->want, (size_t)k->images * k->y_len);
    ref_guard_free(&guard);
}

static void check_input_grad(work *k, nb_rng *r)
{
    const nb_geom *g = &k->g;
    const bool add = pick(r, 0, 1), parts = nb_fwide_is_matrix(g);
    const int32_t half = parts ? pick(r, 0, g->c) : g->c;
    ref_guard guard = ref_guard_alloc((size_t)k->images * k->x_len * sizeof(float), GUARD_END);
    float *dx = guard.data;
    for (size_t i = 0; i < (size_t)k->images * k->x_len; i++)
        dx[i] = 2.0f;
    for (int32_t i = 0; i < k->images; i++)
        ref_conv_input_grad(k->want + (size_t)i * k->x_len, k->y + (size_t)i * k->y_len, k->w, g);
    for (size_t i = 0; add && i < (size_t)k->images * k->x_len; i++)
        k->want[i] += 2.0;
    const nb_fwide_part a = {k->images, 0, half, 1.0f}, b = {k->images, half, g->c - half, 1.0f};
    if (half > 0)
        nb_fwide_input_grad(g, &a, dx, add, k->fy, k->fw, k->cols);
    if (half < g->c)
        nb_fwide_input_grad(g, &b, dx, add, k->fy, k->fw, k->cols);
    assert_values(dx, k->want, (size_t)k->images * k->x_len);
    ref_guard_free(&guard);
}

static void check_weight_grad(work *k, nb_rng *r, bool codes)
{
    const nb_geom *g = &k->g;
    const nb_fconv_image x = input_of(k, r, codes);
    const bool add = pick(r, 0, 1);
    double *sum = k->want, *one = k->want + k->w_len;
    ref_guard guard = ref_guard_alloc(k->w_len * sizeof(float), GUARD_END);
    float *dw = guard.data;
    for (size_t i = 0; i < k->w_len; i++) {
        dw[i] = add ? 1.0f : 1e30f;
        sum[i] = add ? 1.0 : 0.0;
    }
    for (int32_t i = 0; i < k->images; i++) {
        ref_conv_weight_grad(one, k->x + (size_t)i * k->x_len, k->y + (size_t)i * k->y_len, g);
        for (size_t q = 0; q < k->w_len; q++)
            sum[q] += 0.5 * one[q];
    }
    const int32_t half = pick(r, 0, g->c);
    for (int32_t tap = 0; tap < g->kh * g->kw; tap++) {
        const nb_fwide_part a = {k->images, 0, half, 0.5f}, b = {k->images, half, g->c - half, 0.5f};
        if (half > 0)
            nb_fwide_weight_grad(g, &a, tap, dw, add, &x, k->fy, k->cols);
        if (half < g->c)
            nb_fwide_weight_grad(g, &b, tap, dw, add, &x, k->fy, k->cols);
    }
    assert_values(dw, sum, k->w_len);
    ref_guard_free(&guard);
}

static void products_equal_plain_loops_for_any_geometry(void **state)
{
    (void)state;
    if (nb_fblas_width() == 0)
        skip();
    for (int32_t i = 0; i < 300; i++) {
        work k = {0};
        nb_rng r = nb_rng_make(17, (uint64_t)i);
        open_work(&k, &r);
        check_input_grad(&k, &r); /* before codes take the place of x */
        check_forward(&k, &r, i % 2);
        check_weight_grad(&k, &r, i % 2);
        close_work(&k);
    }
}

static nb_geom square(int32_t size, int32_t c, int32_t oc, int32_t k)
{
    return (nb_geom){.h = size,
                     .w = size,
                     .c = c,
                     .oh = size,
                     .ow = size,
                     .oc = oc,
                     .kh = k,
                     .kw = k,
                     .stride = {1, 1},
                     .pad = {k / 2, k / 2, k / 2, k / 2},
                     .dilation = {1, 1},
                     .groups = 1};
}

/* Rows of the table that `nibble bench --kernels` prints. */
static void the_rule_follows_the_measured_table(void **state)
{
    (void)state;
    const struct {
        nb_geom g;
        int64_t batch;
        bool equal, half; /* instructions as wide as ours, half as wide */
    } rows[] = {
        {square(32, 16, 16, 3), 128, false, false},
        {square(32, 64, 64, 3), 4, false, false},
        {square(8, 128, 128, 3), 32, false, false}, /* tiles */
        {square(4, 256, 256, 3), 64, true, false},
        {square(8, 512, 512, 3), 16, true, false},
        {square(4, 1024, 1024, 3), 32, true, true},
        {square(16, 64, 256, 1), 8, true, false},
        {square(8, 512, 512, 1), 32, true, false},
        {square(1, 784, 128, 1), 128, true, false},
        {square(1, 12544, 1024, 1), 64, true, true},
        {square(1, 12544, 10, 1), 64, false, false}, /* too narrow on one side */
        {square(8, 512, 512, 3), 2, false, false},   /* too few pixels */
        {square(512, 128, 128, 3), 1, false, false}, /* windows of an image would not fit 16 MB */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const nb_geom *g = &rows[i].g;
        assert_int_equal(nb_fwide_rule(g, rows[i].batch, 16, 16), rows[i].equal);
        assert_int_equal(nb_fwide_rule(g, rows[i].batch, 8, 16), rows[i].half);
        assert_int_equal(nb_fwide_rule(g, rows[i].batch, 16, 8), rows[i].equal);
        assert_false(nb_fwide_rule(g, rows[i].batch, 4, 16));
        assert_false(nb_fwide_rule(g, rows[i].batch, 0, 4));
    }
    nb_geom grouped = square(8, 512, 512, 3);
    grouped.groups = 2;
    assert_false(nb_fwide_rule(&grouped, 64, 16, 16));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_equal_plain_loops_for_any_geometry),
        cmocka_unit_test(the_rule_follows_the_measured_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
