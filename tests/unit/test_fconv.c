/* test_fconv.c - every variant of the float convolution against seven plain loops in double, on memory with guard
 * pages.
 *
 * All values are multiples of 1/8 and small, so every sum is exact in float whatever its order: results are compared
 * for equality. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kernels/float/fconv_plan.h"
#include "kernels/float/fwino.h"
#include "ref/guard.h"
#include "ref/random_window.h"
#include "ref/ref_conv.h"
#include <nibble/extend/tensor.h>

static int32_t pick(nb_rng *r, int32_t lo, int32_t hi)
{
    return lo + (int32_t)nb_rng_below(r, (uint32_t)(hi - lo + 1));
}

static nb_geom geom_of(int32_t size, int32_t c, int32_t oc, int32_t k, int32_t stride, int32_t groups)
{
    nb_geom g = {.h = size,
                 .w = size,
                 .c = c,
                 .oc = oc,
                 .kh = k,
                 .kw = k,
                 .stride = {stride, stride},
                 .pad = {k / 2, k / 2, k / 2, k / 2},
                 .dilation = {1, 1},
                 .groups = groups};
    nb_geom_fit(&g);
    return g;
}

static nb_geom random_geom(nb_rng *r)
{
    for (;;) {
        nb_geom g = {.h = pick(r, 1, 14), .w = pick(r, 1, 14), .kh = pick(r, 1, 5), .kw = pick(r, 1, 5)};
        ref_random_window(&g, r, 4, 4);
        switch (pick(r, 0, 3)) {
        case 0: /* depthwise */
            g.groups = g.c = g.oc = pick(r, 1, 70);
            break;
        case 1: /* groups, also depthwise with a multiplier */
            g.groups = pick(r, 2, 5);
            g.c = g.groups * pick(r, 1, 9);
            g.oc = g.groups * pick(r, 1, 20);
            break;
        default:
            g.groups = 1;
            g.c = pick(r, 1, 70);
            g.oc = pick(r, 1, 70);
        }
        nb_geom_fit(&g);
        if (g.oh >= 1 && g.ow >= 1 && (int64_t)g.oh * g.ow * g.oc * g.kh * g.kw * (g.c / g.groups) < 1000000)
            return g;
    }
}

/* ---- one case: a geometry, its data, and what the oracle says ---- */

typedef struct {
    nb_geom g;
    nb_fconv_image image; /* zero and dtype; data is set per run */
    size_t n_x, n_w, n_y;
    double *x, *w, *bias, *dy;      /* inputs */
    double *y, *y_biased, *dx, *dw; /* results */
} conv_case;

static double *doubles(size_t n)
{
    double *d = calloc(n, sizeof *d);
    assert_non_null(d);
    return d;
}

static double *random_eighths(nb_rng *r, size_t n)
{
    double *d = doubles(n);
    for (size_t i = 0; i < n; i++)
        d[i] = pick(r, -8, 8) / 8.0;
    return d;
}

static conv_case case_of(nb_rng *r, const nb_geom *g, nb_dtype dtype)
{
    conv_case c = {.g = *g, .image = {NULL, dtype, dtype == NB_U8 ? 100 : dtype == NB_S8 ? -7 : 0}};
    c.n_x = (size_t)g->h * (size_t)g->w * (size_t)g->c;
    c.n_w = (size_t)g->oc * (size_t)g->kh * (size_t)g->kw * (size_t)(g->c / g->groups);
    c.n_y = (size_t)g->oh * (size_t)g->ow * (size_t)g->oc;
    c.x = random_eighths(r, c.n_x);
    for (size_t i = 0; dtype != NB_F32 && i < c.n_x; i++)
        c.x[i] *= 8; /* code - zero */
    c.w = random_eighths(r, c.n_w);
    c.bias = random_eighths(r, (size_t)g->oc);
    c.dy = random_eighths(r, c.n_y);
    c.y = doubles(c.n_y);
    c.y_biased = doubles(c.n_y);
    c.dx = doubles(c.n_x);
    c.dw = doubles(c.n_w);
    ref_conv_forward(c.y, c.x, c.w, NULL, g);
    for (size_t i = 0; i < c.n_y; i++)
        c.y_biased[i] = c.y[i] + c.bias[i % (size_t)g->oc];
    ref_conv_input_grad(c.dx, c.dy, c.w, g);
    ref_conv_weight_grad(c.dw, c.x, c.dy, g);
    return c;
}

static void case_free(conv_case *c)
{
    double *all[] = {c->x, c->w, c->bias, c->dy, c->y, c->y_biased, c->dx, c->dw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static ref_guard guarded_floats(const double *from, size_t n, ref_guard_side side)
{
    ref_guard m = ref_guard_alloc(n * sizeof(float), side);
    for (size_t i = 0; i < n && from; i++)
        ((float *)m.data)[i] = (float)from[i];
    return m;
}

static ref_guard guarded_image(conv_case *c, ref_guard_side side)
{
    if (c->image.dtype == NB_F32) {
        ref_guard m = guarded_floats(c->x, c->n_x, side);
        c->image.data = m.data;
        return m;
    }
    ref_guard m = ref_guard_alloc(c->n_x, side);
    for (size_t i = 0; i < c->n_x; i++)
        ((uint8_t *)m.data)[i] = (uint8_t)((int32_t)c->x[i] + c->image.zero);
    c->image.data = m.data;
    return m;
}

/* got == plus + times * want, exactly */
static void assert_same(const char *what, const conv_case *c, const float *got, const double *want, size_t n,
                        double plus, double times)
{
    for (size_t i = 0; i < n; i++)
        if ((double)got[i] != plus + times * want[i]) {
            const nb_geom *g = &c->g;
            fail_msg("%s[%zu] = %g, not %g: %dx%dx%d -> %dx%dx%d, kernel %dx%d stride %dx%d pad %d %d "
                     "%d %d dilation %dx%d groups %d "
                     "dtype %d",
                     what, i, (double)got[i], plus + times * want[i], g->h, g->w, g->c, g->oh, g->ow, g->oc, g->kh,
                     g->kw, g->stride.h, g->stride.w, g->pad.top, g->pad.left, g->pad.bottom, g->pad.right,
                     g->dilation.h, g->dilation.w, g->groups, (int)c->image.dtype);
        }
}

static void check_forward(conv_case *c, const nb_fconv_plan *p, const ref_guard *panels, const ref_guard *scratch,
                          ref_guard_side side)
{
    ref_guard x = guarded_image(c, side), y = guarded_floats(NULL, c->n_y, side);
    ref_guard bias = guarded_floats(c->bias, (size_t)c->g.oc, side);
    nb_fconv_forward(p, y.data, &c->image, panels->data, NULL, scratch->data);
    assert_same("y", c, y.data, c->y, c->n_y, 0, 1);
    nb_fconv_forward(p, y.data, &c->image, panels->data, bias.data, scratch->data);
    assert_same("y with bias", c, y.data, c->y_biased, c->n_y, 0, 1);
    ref_guard_free(&x);
    ref_guard_free(&y);
    ref_guard_free(&bias);
}

static void check_input_grad(conv_case *c, const nb_fconv_plan *p, const ref_guard *panels, const ref_guard *scratch,
                             ref_guard_side side)
{
    ref_guard dx = guarded_floats(NULL, c->n_x, side), dy = guarded_floats(c->dy, c->n_y, side);
    nb_fconv_input_grad(p, dx.data, false, dy.data, panels->data, scratch->data);
    assert_same("dx", c, dx.data, c->dx, c->n_x, 0, 1);
    for (size_t i = 0; i < c->n_x; i++)
        ((float *)dx.data)[i] = 3;
    nb_fconv_input_grad(p, dx.data, true, dy.data, panels->data, scratch->data);
    assert_same("dx added", c, dx.data, c->dx, c->n_x, 3, 1);
    ref_guard_free(&dx);
    ref_guard_free(&dy);
}

static void check_weight_grad(conv_case *c, const nb_fconv_plan *p, const ref_guard *scratch, ref_guard_side side)
{
    ref_guard x = guarded_image(c, side), dy = guarded_floats(c->dy, c->n_y, side),
              dw = guarded_floats(NULL, c->n_w, side);
    ref_guard slot[2];
    void *slots[2];
    for (int i = 0; i < 2; i++) {
        slot[i] = ref_guard_alloc(nb_fconv_slot_bytes(p), side);
        slots[i] = slot[i].data;
        memset(slots[i], 0, nb_fconv_slot_bytes(p));
        for (int twice = 0; twice <= i; twice++) /* the second slot holds two images */
            nb_fconv_weight_grad(p, slots[i], &c->image, dy.data, scratch->data);
    }
    for (size_t i = 0; i < c->n_w; i++)
        ((float *)dw.data)[i] = 1;
    nb_fconv_weight_grad_finish(p, dw.data, &(nb_fconv_slots){slots, 2, 0.5f});
    assert_same("dw", c, dw.data, c->dw, c->n_w, 1, 1.5);
    for (int i = 0; i < 2; i++)
        ref_guard_free(&slot[i]);
    ref_guard_free(&x);
    ref_guard_free(&dy);
    ref_guard_free(&dw);
}

static void check_variant(conv_case *c, const nb_variant *v, nb_fconv_way way, ref_guard_side side)
{
    size_t bytes;
    assert_true(nb_fconv_plan_bytes(&c->g, way, &bytes));
    ref_guard mem = ref_guard_alloc(bytes, side), w = guarded_floats(c->w, c->n_w, side);
    nb_fconv_plan *p = nb_fconv_plan_init(mem.data, &c->g, way);
    p->isa = v->kernels;
    ref_guard panels = ref_guard_alloc(nb_fconv_panel_bytes(p), side);
    ref_guard scratch = ref_guard_alloc(nb_fconv_scratch_bytes(p), side);
    nb_fconv_pack(p, panels.data, w.data);
    check_forward(c, p, &panels, &scratch, side);
    check_input_grad(c, p, &panels, &scratch, side);
    check_weight_grad(c, p, &scratch, side);
    ref_guard_free(&mem);
    ref_guard_free(&w);
    ref_guard_free(&panels);
    ref_guard_free(&scratch);
}

static void check_geom(nb_rng *r, const nb_geom *g, nb_dtype dtype)
{
    conv_case c = case_of(r, g, dtype);
    for (const nb_variant *v = nb_variant_best(nb_fconv_variants); v; v = nb_variant_below(nb_fconv_variants, v)) {
        const nb_fconv_isa *isa = v->kernels;
        check_variant(&c, v, NB_FCONV_PLAIN, pick(r, 0, 1) ? GUARD_BEGIN : GUARD_END);
        if (isa->wino_product)
            check_variant(&c, v, NB_FCONV_FAST, pick(r, 0, 1) ? GUARD_BEGIN : GUARD_END);
    }
    case_free(&c);
}

#ifdef NB_EMULATED /* hundreds of times slower: the first of the cases that are checked elsewhere, and every third     \
                      size */
enum { RANDOM_CASES = 12, SIZE_STEP = 3 };
#else
enum { RANDOM_CASES = 100, SIZE_STEP = 1 };
#endif

static void every_variant_equals_the_plain_loops_on_random_geometries(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(1, 1);
    for (int i = 0; i < RANDOM_CASES; i++) {
        nb_geom g = random_geom(&r);
        const nb_dtype dtype[] = {NB_F32, NB_U8, NB_S8};
        check_geom(&r, &g, dtype[pick(&r, 0, 2)]);
    }
}

static void every_count_of_channels_works(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(2, 1);
    for (int32_t n = 1; n <= 34; n += SIZE_STEP) {
        nb_geom dense = geom_of(4, 35 - n, n, 3, 1, 1), depthwise = geom_of(5, n, n, 3, 2, n);
        check_geom(&r, &dense, NB_F32);
        check_geom(&r, &depthwise, NB_F32);
    }
}

/* Whole tiles and cut ones, bands of several rows and the last of fewer, borders of 0 to 2 pixels on each side. */
static void every_size_of_a_3x3_by_tiles_works(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(9, 1);
    const nb_dtype dtype[] = {NB_F32, NB_U8, NB_S8};
    for (int32_t n = 3; n <= 20; n += SIZE_STEP) {
        nb_geom g = {.h = n, .w = pick(&r, 3, 20), .kh = 3, .kw = 3, .stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
        g.pad = (nb_sides){pick(&r, 0, 2), pick(&r, 0, 2), pick(&r, 0, 2), pick(&r, 0, 2)};
        g.c = pick(&r, 16, 40);
        g.oc = pick(&r, 0, 1) ? 32 : pick(&r, 16, 40);
        if (n % 2)
            g.w = n, g.h = pick(&r, 3, 20);
        nb_geom_fit(&g);
        assert_true(nb_fwino_supports(&g));
        check_geom(&r, &g, dtype[n % 3]);
    }
}

/* Mean square of got - want, in that of want. */
static double error_of(const float *got, const double *want, size_t n)
{
    double off = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        off += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        all += want[i] * want[i];
    }
    return off / all;
}

/* Transforms add and subtract before and after the products: rounding errors stay those of a float sum. */
static void tiles_are_as_exact_as_floats_are(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(10, 1);
    const nb_geom g = geom_of(16, 64, 64, 3, 1, 1);
    conv_case c = case_of(&r, &g, NB_F32);
    double *const values[] = {c.x, c.w, c.dy};
    const size_t count[] = {c.n_x, c.n_w, c.n_y};
    for (int i = 0; i < 3; i++)
        for (size_t k = 0; k < count[i]; k++)
            values[i][k] = (double)nb_rng_normal(&r);
    memset(c.y, 0, c.n_y * sizeof *c.y);
    memset(c.dw, 0, c.n_w * sizeof *c.dw);
    ref_conv_forward(c.y, c.x, c.w, NULL, &g);
    ref_conv_weight_grad(c.dw, c.x, c.dy, &g);
    size_t bytes;
    assert_true(nb_fconv_plan_bytes(&g, NB_FCONV_FAST, &bytes));
    ref_guard mem = ref_guard_alloc(bytes, GUARD_END), w = guarded_floats(c.w, c.n_w, GUARD_END);
    ref_guard x = guarded_image(&c, GUARD_END), dy = guarded_floats(c.dy, c.n_y, GUARD_END);
    ref_guard y = guarded_floats(NULL, c.n_y, GUARD_END), dw = guarded_floats(NULL, c.n_w, GUARD_END);
    const nb_fconv_plan *p = nb_fconv_plan_init(mem.data, &g, NB_FCONV_FAST);
    ref_guard panels = ref_guard_alloc(nb_fconv_panel_bytes(p), GUARD_END);
    ref_guard scratch = ref_guard_alloc(nb_fconv_scratch_bytes(p), GUARD_END);
    ref_guard slot = ref_guard_alloc(nb_fconv_slot_bytes(p), GUARD_END);
    memset(slot.data, 0, nb_fconv_slot_bytes(p));
    memset(dw.data, 0, c.n_w * sizeof(float));
    nb_fconv_pack(p, panels.data, w.data);
    nb_fconv_forward(p, y.data, &c.image, panels.data, NULL, scratch.data);
    nb_fconv_weight_grad(p, slot.data, &c.image, dy.data, scratch.data);
    nb_fconv_weight_grad_finish(p, dw.data, &(nb_fconv_slots){&slot.data, 1, 1});
    assert_true(error_of(y.data, c.y, c.n_y) < 1e-12);
    assert_true(error_of(dw.data, c.dw, c.n_w) < 1e-12);
    ref_guard *const all[] = {&mem, &w, &x, &dy, &y, &dw, &panels, &scratch, &slot};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ref_guard_free(all[i]);
    case_free(&c);
}

static void every_size_of_a_depthwise_3x3_works(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(7, 1);
    const nb_dtype dtype[] = {NB_F32, NB_U8, NB_S8};
    for (int32_t n = 1; n <= 21;
         n += SIZE_STEP) /* whole tiles of 8 and of 4, and what is left; bands of several rows and of one */
        for (int32_t stride = 1; stride <= 2; stride++) {
            nb_geom g = {.h = n,
                         .w = pick(&r, 1, 40),
                         .kh = 3,
                         .kw = 3,
                         .stride = {stride, stride},
                         .pad = {1, 1, 1, 1},
                         .dilation = {1, 1}};
            g.c = g.oc = g.groups = pick(&r, 2, 40);
            if (n % 2)
                g.w = n, g.h = pick(&r, 1, 20);
            nb_geom_fit(&g);
            check_geom(&r, &g, dtype[n % 3]);
        }
}

enum { PATCH = 7, FIELD = 20, DEPTH_C = 24 };

/* Forward (stride 1) or input gradient of a field of zeros with a patch at (y, x); out: what lies in the patch's place.
 */
static void depthwise_patch(float *out, const float *patch, const float *w, int32_t y, int32_t x, int32_t stride,
                            bool grad)
{
    nb_geom g = geom_of(FIELD, DEPTH_C, DEPTH_C, 3, stride, DEPTH_C);
    size_t bytes;
    assert_true(nb_fconv_plan_bytes(&g, NB_FCONV_FAST, &bytes));
    ref_guard mem = ref_guard_alloc(bytes, GUARD_BEGIN);
    nb_fconv_plan *p = nb_fconv_plan_init(mem.data, &g, NB_FCONV_FAST);
    ref_guard panels = ref_guard_alloc(nb_fconv_panel_bytes(p), GUARD_BEGIN);
    ref_guard scratch = ref_guard_alloc(nb_fconv_scratch_bytes(p), GUARD_BEGIN);
    const int32_t in_w = grad ? g.ow : FIELD, out_w = grad ? FIELD : g.ow;
    float *in = calloc((size_t)in_w * (size_t)in_w * DEPTH_C, sizeof *in);
    float *all = calloc((size_t)out_w * (size_t)out_w * DEPTH_C, sizeof *all);
    assert_true(in && all);
    for (int32_t i = 0; i < PATCH; i++)
        memcpy(in + ((y + i) * in_w + x) * DEPTH_C, patch + (ptrdiff_t)i * PATCH * DEPTH_C,
               PATCH * DEPTH_C * sizeof *in);
    nb_fconv_pack(p, panels.data, w);
    if (grad)
        nb_fconv_input_grad(p, all, false, in, panels.data, scratch.data);
    else
        nb_fconv_forward(p, all, &(nb_fconv_image){in, NB_F32, 0}, panels.data, NULL, scratch.data);
    for (int32_t i = 0; i < PATCH; i++)
        memcpy(out + (ptrdiff_t)i * PATCH * DEPTH_C,
               all + ((i + y * out_w / in_w) * out_w + x * out_w / in_w) * DEPTH_C, PATCH * DEPTH_C * sizeof *out);
    free(in);
    free(all);
    ref_guard_free(&mem);
    ref_guard_free(&panels);
    ref_guard_free(&scratch);
}

static void a_depthwise_pixel_is_bit_equal_wherever_it_lies(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(8, 1);
    static float patch[PATCH * PATCH * DEPTH_C], w[9 * DEPTH_C], first[PATCH * PATCH * DEPTH_C],
        other[PATCH * PATCH * DEPTH_C];
    for (size_t i = 0; i < sizeof patch / sizeof *patch; i++)
        patch[i] = nb_rng_normal(&r);
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        w[i] = nb_rng_normal(&r);
    for (int pass = 0; pass < 3; pass++) { /* forward, gradient of stride 1, gradient of stride 2 */
        const int32_t stride = pass == 2 ? 2 : 1, last = FIELD / stride - PATCH;
        depthwise_patch(first, patch, w, 0, 0, stride, pass > 0); /* in a corner: border instead of zeros */
        for (int32_t at = 1; at <= last; at++) {
            depthwise_patch(other, patch, w, last - at, at, stride, pass > 0);
            for (int32_t y = 0; y < PATCH; y++)
                assert_memory_equal(first + y * PATCH * DEPTH_C, other + y * PATCH * DEPTH_C,
                                    PATCH * DEPTH_C * sizeof *first);
        }
    }
}

static void every_count_of_pixels_works(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(3, 1);
    for (int32_t n = 1; n <= 30; n++) { /* also how linear layers look: 1 x rows, kernel 1 */
        nb_geom g = {
            .h = 1, .w = n, .c = 20, .oc = 10, .kh = 1, .kw = 1, .stride = {1, 1}, .dilation = {1, 1}, .groups = 1};
        nb_geom_fit(&g);
        check_geom(&r, &g, NB_F32);
    }
}

static void input_pixels_that_no_window_reads_get_no_gradient(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(4, 1);
    nb_geom g = geom_of(9, 3, 5, 1, 4, 1);
    check_geom(&r, &g, NB_F32);
    nb_geom cut = geom_of(8, 3, 5, 2, 3, 1); /* the last row and column are out of reach */
    cut.pad = nb_sides_of(0);
    nb_geom_fit(&cut);
    check_geom(&r, &cut, NB_U8);
}

static void padding_may_exceed_the_image(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(5, 1);
    nb_geom g = geom_of(2, 4, 6, 3, 2, 1);
    g.pad = nb_sides_of(5);
    nb_geom_fit(&g);
    check_geom(&r, &g, NB_S8);
}

static float *linear(const float *x, const float *w, int32_t rows, bool grad)
{
    const nb_geom g = {.h = 1,
                       .w = rows,
                       .c = 37,
                       .oh = 1,
                       .ow = rows,
                       .oc = 21,
                       .kh = 1,
                       .kw = 1,
                       .stride = {1, 1},
                       .dilation = {1, 1},
                       .groups = 1};
    size_t bytes;
    assert_true(nb_fconv_plan_bytes(&g, NB_FCONV_FAST, &bytes));
    ref_guard mem = ref_guard_alloc(bytes, GUARD_BEGIN);
    nb_fconv_plan *p = nb_fconv_plan_init(mem.data, &g, NB_FCONV_FAST);
    ref_guard panels = ref_guard_alloc(nb_fconv_panel_bytes(p), GUARD_BEGIN);
    ref_guard scratch = ref_guard_alloc(nb_fconv_scratch_bytes(p), GUARD_BEGIN);
    float *out = calloc((size_t)rows * 37, sizeof *out);
    assert_non_null(out);
    nb_fconv_pack(p, panels.data, w);
    if (grad)
        nb_fconv_input_grad(p, out, false, x, panels.data, scratch.data);
    else
        nb_fconv_forward(p, out, &(nb_fconv_image){x, NB_F32, 0}, panels.data, NULL, scratch.data);
    ref_guard_free(&mem);
    ref_guard_free(&panels);
    ref_guard_free(&scratch);
    return out;
}

static void a_row_is_bit_equal_whatever_rows_are_beside_it(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(6, 1);
    float x[40 * 37], w[21 * 37];
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = nb_rng_normal(&r);
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        w[i] = nb_rng_normal(&r);
    for (int grad = 0; grad <= 1; grad++) {
        const size_t in = grad ? 21 : 37, out = grad ? 37 : 21;
        float *all = linear(x, w, 40, grad);
        for (size_t row = 0; row < 40; row++) {
            float *one = linear(x + row * in, w, 1, grad);
            assert_memory_equal(one, all + row * out, out * sizeof *one);
            free(one);
        }
        free(all);
    }
}

static void geometries_that_make_no_sense_or_are_too_large_are_refused(void **state)
{
    (void)state;
    size_t bytes;
    nb_geom ok = geom_of(8, 4, 4, 3, 1, 1), bad[8];
    assert_true(nb_fconv_plan_bytes(&ok, NB_FCONV_FAST, &bytes));
    for (int i = 0; i < 8; i++)
        bad[i] = ok;
    bad[0].oh = 0;
    bad[1].groups = 3;
    bad[2].stride.w = 0;
    bad[3].oh = 9; /* a window outside the padded image */
    bad[4].pad.right = INT32_MAX;
    bad[5].h = bad[5].w = bad[5].oh = bad[5].ow = 40000;
    bad[6].c = INT32_MAX;
    bad[7].dilation.h = INT32_MAX;
    for (int i = 0; i < 8; i++)
        assert_false(nb_fconv_plan_bytes(&bad[i], NB_FCONV_FAST, &bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_equals_the_plain_loops_on_random_geometries),
        cmocka_unit_test(every_count_of_channels_works),
        cmocka_unit_test(every_size_of_a_3x3_by_tiles_works),
        cmocka_unit_test(tiles_are_as_exact_as_floats_are),
        cmocka_unit_test(every_size_of_a_depthwise_3x3_works),
        cmocka_unit_test(a_depthwise_pixel_is_bit_equal_wherever_it_lies),
        cmocka_unit_test(every_count_of_pixels_works),
        cmocka_unit_test(input_pixels_that_no_window_reads_get_no_gradient),
        cmocka_unit_test(padding_may_exceed_the_image),
        cmocka_unit_test(a_row_is_bit_equal_whatever_rows_are_beside_it),
        cmocka_unit_test(geometries_that_make_no_sense_or_are_too_large_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
