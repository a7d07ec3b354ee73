/* test_qgrad.c - gradients in 16-bit integers: within their rounding bound of the plain loops in double, exact where
 * nothing is rounded, the same bits from every variant, on memory with guard pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kernels/grad16/qgrad_winograd.h"
#include "ref/guard.h"
#include "ref/random_window.h"
#include "ref/ref_conv.h"
#include <nibble/extend/tensor.h>

#include <math.h>

static int32_t pick(nb_rng *r, int32_t lo, int32_t hi)
{
    return lo + (int32_t)nb_rng_below(r, (uint32_t)(hi - lo + 1));
}

static nb_geom geom_of(int32_t h, int32_t w, int32_t c, int32_t oc, int32_t k, int32_t stride)
{
    nb_geom g = {.h = h,
                 .w = w,
                 .c = c,
                 .oc = oc,
                 .kh = k,
                 .kw = k,
                 .stride = {stride, stride},
                 .dilation = {1, 1},
                 .groups = 1};
    g.pad = nb_sides_of(k / 2);
    nb_geom_fit(&g);
    return g;
}

static nb_geom random_geom(nb_rng *r)
{
    for (;;) {
        nb_geom g = {.h = pick(r, 1, 14), .w = pick(r, 1, 14), .kh = pick(r, 1, 5), .kw = pick(r, 1, 5)};
        ref_random_window(&g, r, 4, 4);
        g.groups = pick(r, 0, 3) ? 1 : pick(r, 2, 5);
        g.c = g.groups * pick(r, 1, 40);
        g.oc = g.groups * (g.c == g.groups ? pick(r, 2, 40) : pick(r, 1, 40));
        nb_geom_fit(&g);
        if (g.oh >= 1 && g.ow >= 1 && (int64_t)g.oh * g.ow * g.oc * g.kh * g.kw * (g.c / g.groups) < 500000)
            return g;
    }
}

/* ---- one case: a geometry, its data, and what one variant makes of it ---- */

typedef struct {
    nb_geom g;
    size_t n_x, n_w, n_y;
    nb_dtype dtype;
    int32_t zero, n_scales;
    uint8_t *x;
    int8_t *w;
    float *scale, *dy;
    float *dx, *dw; /* results of run() */
} grad_case;

static void *filled(size_t n, size_t size)
{
    void *p = calloc(n, size);
    assert_non_null(p);
    return p;
}

static grad_case case_of(nb_rng *r, const nb_geom *g)
{
    grad_case c = {.g = *g, .dtype = pick(r, 0, 1) ? NB_U8 : NB_S8};
    c.n_x = (size_t)g->h * (size_t)g->w * (size_t)g->c;
    c.n_w = (size_t)g->oc * (size_t)g->kh * (size_t)g->kw * (size_t)(g->c / g->groups);
    c.n_y = (size_t)g->oh * (size_t)g->ow * (size_t)g->oc;
    c.zero = c.dtype == NB_U8 ? pick(r, 0, 255) : pick(r, -128, 127);
    c.n_scales = pick(r, 0, 1) ? 1 : g->oc;
    c.x = filled(c.n_x, 1);
    c.w = filled(c.n_w, 1);
    c.scale = filled((size_t)g->oc, sizeof(float));
    c.dy = filled(c.n_y, sizeof(float));
    c.dx = filled(c.n_x, sizeof(float));
    c.dw = filled(c.n_w, sizeof(float));
    for (size_t i = 0; i < c.n_x; i++)
        c.x[i] = (uint8_t)pick(r, 0, 255);
    for (size_t i = 0; i < c.n_w; i++)
        c.w[i] = (int8_t)pick(r, -127, 127);
    for (int32_t i = 0; i < g->oc; i++)
        c.scale[i] = c.n_scales == 1 ? 0.02f : 0.001f * (float)pick(r, 1, 100);
    for (size_t i = 0; i < c.n_y; i++)
        c.dy[i] = pick(r, 0, 3) ? nb_rng_normal(r) : 0.0f;
    return c;
}

static void case_free(grad_case *c)
{
    void *all[] = {c->x, c->w, c->scale, c->dy, c->dx, c->dw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static ref_guard guarded(const void *from, size_t bytes, ref_guard_side side)
{
    ref_guard m = ref_guard_alloc(bytes, side);
    if (from)
        memcpy(m.data, from, bytes);
    return m;
}

/* dw by way of one slot. */
static void run_weights(grad_case *c, const nb_qgrad_plan *p, const ref_guard *dy, const ref_guard *scratch,
                        ref_guard_side side)
{
    ref_guard x = guarded(c->x, c->n_x, side), slot = ref_guard_alloc(nb_fconv_slot_bytes(p->f), side);
    memset(slot.data, 0, nb_fconv_slot_bytes(p->f));
    nb_qgrad_weight(p, slot.data, &(nb_fconv_image){x.data, (int32_t)c->dtype, c->zero}, dy->data, scratch->data);
    memset(c->dw, 0, c->n_w * sizeof *c->dw);
    nb_fconv_weight_grad_finish(p->f, c->dw, &(nb_fconv_slots){&slot.data, 1, 1.0f});
    ref_guard_free(&x);
    ref_guard_free(&slot);
}

/* Both gradients by one variant, into c->dx and c->dw. add: dx goes on top of ones. */
static void run(grad_case *c, const nb_qgrad_isa *isa, bool add, ref_guard_side side)
{
    size_t float_bytes, bytes;
    assert_true(nb_fconv_plan_bytes(&c->g, NB_FCONV_PLAIN, &float_bytes));
    ref_guard float_mem = ref_guard_alloc(float_bytes, side);
    const nb_fconv_plan *f = nb_fconv_plan_init(float_mem.data, &c->g, NB_FCONV_PLAIN);
    assert_true(nb_qgrad_plan_bytes(f, &bytes));
    ref_guard mem = ref_guard_alloc(bytes, side);
    nb_qgrad_plan *p = nb_qgrad_plan_init(mem.data, f);
    p->isa = isa;
    ref_guard w = guarded(c->w, c->n_w, side), scale = guarded(c->scale, (size_t)c->n_scales * sizeof(float), side);
    ref_guard dy = guarded(c->dy, c->n_y * sizeof(float), side), dx = ref_guard_alloc(c->n_x * sizeof(float), side);
    ref_guard panels = ref_guard_alloc(nb_qgrad_panel_bytes(p), side);
    ref_guard scratch = ref_guard_alloc(nb_qgrad_scratch_bytes(p), side);
    nb_qgrad_pack(p, panels.data, w.data, scale.data, c->n_scales);
    for (size_t i = 0; i < c->n_x; i++)
        ((float *)dx.data)[i] = 1;
    nb_qgrad_measure(p, dy.data, scratch.data);
    nb_qgrad_input(p, dx.data, add, dy.data, panels.data, scratch.data);
    memcpy(c->dx, dx.data, c->n_x * sizeof(float));
    run_weights(c, p, &dy, &scratch, side);
    ref_guard *all[] = {&float_mem, &mem, &w, &scale, &dy, &dx, &panels, &scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ref_guard_free(all[i]);
}

/* ---- the oracle: exact gradients, and how far rounding may take us from them ---- */

static double *doubles(size_t n)
{
    return filled(n, sizeof(double));
}

static double folded(const grad_case *c, size_t i) /* dy[i] times its weight's scale */
{
    const size_t oc = i % (size_t)c->g.oc;
    return (double)c->dy[i] * (double)c->scale[c->n_scales == 1 ? 0 : oc];
}

/* What the header says, beside `slack` for the float arithmetic around the sums. */
static void assert_within(const char *what, const grad_case *c, const float *got, const double *want,
                          const double *bound, const double *size, size_t n, double plus)
{
    for (size_t i = 0; i < n; i++) {
        const double slack = 1e-6 * (fabs(size[i]) + plus);
        if (fabs((double)got[i] - want[i] - plus) > bound[i] * 1.00001 + slack)
            fail_msg(
                "%s[%zu] = %g, not %g +- %g: %dx%dx%d -> %dx%dx%d, kernel %dx%d stride %dx%d pad %d %d %d %d groups %d",
                what, i, (double)got[i], want[i] + plus, bound[i], c->g.h, c->g.w, c->g.c, c->g.oh, c->g.ow, c->g.oc,
                c->g.kh, c->g.kw, c->g.stride.h, c->g.stride.w, c->g.pad.top, c->g.pad.left, c->g.pad.bottom,
                c->g.pad.right, c->g.groups);
    }
}

/* Q by the definition: sum |w| over all filters that see an input channel. */
static double largest_code(const grad_case *c)
{
    const int32_t cg = c->g.c / c->g.groups, ocg = c->g.oc / c->g.groups, positions = c->g.kh * c->g.kw;
    int64_t most = 1;
    for (int32_t ch = 0; ch < c->g.c; ch++) {
        int64_t sum = 0;
        for (int32_t o = ch / cg * ocg; o < (ch / cg + 1) * ocg; o++)
            for (int32_t k = 0; k < positions; k++)
                sum += abs(c->w[((int64_t)o * positions + k) * cg + ch % cg]);
        most = sum > most ? sum : most;
    }
    const bool tiles = nb_qgrad_winograd_fits(&c->g);
    const int64_t q = INT32_MAX / (tiles ? 4 : 1) / most, limit = tiles ? 8191 : 32767;
    return q < limit ? (double)q : (double)limit;
}

static void check_input(const grad_case *c, double plus)
{
    double *w = doubles(c->n_w), *dy = doubles(c->n_y), *want = doubles(c->n_x), *bound = doubles(c->n_x),
           *size = doubles(c->n_x), most = 0x1p-100;
    for (size_t i = 0; i < c->n_w; i++)
        w[i] = c->w[i];
    for (size_t i = 0; i < c->n_y; i++) {
        dy[i] = folded(c, i);
        most = fmax(most, fabs(dy[i]));
    }
    ref_conv_input_grad(want, dy, w, &c->g);
    for (size_t i = 0; i < c->n_w; i++)
        w[i] = fabs(w[i]);
    for (size_t i = 0; i < c->n_y; i++)
        dy[i] = fabs(dy[i]);
    ref_conv_input_grad(size, dy, w, &c->g);
    const double step = most / largest_code(c);
    for (size_t i = 0; i < c->n_y; i++)
        dy[i] = step / 2;
    ref_conv_input_grad(bound, dy, w, &c->g);
    assert_within("dx", c, c->dx, want, bound, size, c->n_x, plus);
    double *all[] = {w, dy, want, bound, size};
    for (size_t i = 0; i < 5; i++)
        free(all[i]);
}

static void check_weights(const grad_case *c)
{
    double *x = doubles(c->n_x), *dy = doubles(c->n_y), *want = doubles(c->n_w), *bound = doubles(c->n_w),
           *size = doubles(c->n_w);
    const size_t oc = (size_t)c->g.oc;
    const double limit = nb_qgrad_winograd_fits(&c->g) ? 8191 : 32767;
    for (size_t i = 0; i < c->n_x; i++)
        x[i] = (c->dtype == NB_U8 ? c->x[i] : (int8_t)c->x[i]) - c->zero;
    for (size_t i = 0; i < c->n_y; i++)
        dy[i] = (double)c->dy[i];
    ref_conv_weight_grad(want, x, dy, &c->g);
    for (size_t i = 0; i < c->n_x; i++)
        x[i] = fabs(x[i]);
    for (size_t i = 0; i < c->n_y; i++)
        dy[i] = fabs(dy[i]);
    ref_conv_weight_grad(size, x, dy, &c->g);
    for (size_t o = 0; o < oc; o++) {
        double most = 0x1p-100;
        for (size_t i = o; i < c->n_y; i += oc)
            most = fmax(most, dy[i]);
        for (size_t i = o; i < c->n_y; i += oc)
            dy[i] = most / limit / 2;
    }
    ref_conv_weight_grad(bound, x, dy, &c->g);
    assert_within("dw", c, c->dw, want, bound, size, c->n_w, 0);
    double *all[] = {x, dy, want, bound, size};
    for (size_t i = 0; i < 5; i++)
        free(all[i]);
}

/* The scalar variant against the oracle, all others against it. */
static void check_case(nb_rng *r, grad_case *c)
{
    const bool add = pick(r, 0, 1);
    const size_t dx_bytes = c->n_x * sizeof(float), dw_bytes = c->n_w * sizeof(float);
    run(c, &nb_qgrad_scalar, add, GUARD_END);
    check_input(c, add ? 1 : 0);
    check_weights(c);
    float *dx = filled(dx_bytes, 1), *dw = filled(dw_bytes, 1);
    memcpy(dx, c->dx, dx_bytes);
    memcpy(dw, c->dw, dw_bytes);
    for (const nb_variant *v = nb_variant_best(nb_qgrad_variants); v; v = nb_variant_below(nb_qgrad_variants, v)) {
        run(c, v->kernels, add, pick(r, 0, 1) ? GUARD_BEGIN : GUARD_END);
        assert_memory_equal(c->dx, dx, dx_bytes);
        assert_memory_equal(c->dw, dw, dw_bytes);
    }
    free(dx);
    free(dw);
}

static void check_geom(nb_rng *r, const nb_geom *g)
{
    grad_case c = case_of(r, g);
    check_case(r, &c);
    case_free(&c);
}

#ifdef NB_EMULATED /* hundreds of times slower: the first of the cases that are checked elsewhere, and every third     \
                      size */
enum { RANDOM_CASES = 12, SIZE_STEP = 3 };
#else
enum { RANDOM_CASES = 150, SIZE_STEP = 1 };
#endif

static void every_variant_is_within_the_rounding_bound_and_bit_equal(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(1, 1);
    for (int i = 0; i < RANDOM_CASES; i++) {
        const nb_geom g = random_geom(&r);
        check_geom(&r, &g);
    }
}

static void every_count_of_channels_and_pixels_works(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(2, 1);
    for (int32_t n = 1; n <= 35; n += SIZE_STEP) {
        const nb_geom channels = geom_of(4, 5, n, 36 - n, 3, 1), rows = geom_of(1, n, 20, 10, 1, 1); /* linear */
        check_geom(&r, &channels);
        check_geom(&r, &rows);
    }
}

static void sums_at_their_limit_do_not_leave_32_bits(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(3, 1);
    /* 700 pixels of 255 and 1152 weights of 127: Q is 14678, and both sums come as close to 2^31 as they can. */
    const nb_geom wide = geom_of(28, 25, 3, 128, 3, 1);
    for (int sign = -1; sign <= 1; sign += 2) {
        grad_case c = case_of(&r, &wide);
        c.dtype = NB_U8;
        c.zero = sign < 0 ? 255 : 0;
        c.n_scales = 1;
        memset(c.x, sign < 0 ? 0 : 255, c.n_x);
        memset(c.w, sign * 127, c.n_w);
        for (size_t i = 0; i < c.n_y; i++)
            c.dy[i] = 3.0f;
        assert_true(largest_code(&c) == 14678);
        check_case(&r, &c);
        case_free(&c);
    }
}

/* 3x3 with channels in sixteens: codes are smaller, and variants may compute by tiles. */
static void geometries_for_tiles_are_bit_equal_whatever_their_size(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(8, 1);
    for (int i = 0; i < 24; i++) {
        const int32_t width = i % 8 ? pick(&r, 4, 12) : pick(&r, 120, 131);
        nb_geom g = geom_of(pick(&r, 4, i % 8 ? 19 : 7), width, 16 * pick(&r, 1, 2), 16 * pick(&r, 1, 3), 3, 1);
        g.pad = (nb_sides){pick(&r, 0, 2), pick(&r, 0, 2), pick(&r, 0, 2), pick(&r, 0, 2)};
        nb_geom_fit(&g);
        if (g.oh >= 1 && g.ow >= 1)
            check_geom(&r, &g);
    }
}

static void sums_at_their_limit_by_tiles_do_not_leave_32_bits(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(9, 1);
    /* 256 pixels of 255 in a block, and 9 * 512 weights of 127: Q is 917. Signs in stripes make points largest. */
    for (int k = 0; k < 8; k++) {
        const nb_geom g = k < 4 ? geom_of(16, 16, 16, 16, 3, 1) : geom_of(6, 6, 16, 512, 3, 1);
        grad_case c = case_of(&r, &g);
        c.dtype = NB_U8;
        c.zero = k % 2 ? 255 : 0;
        c.n_scales = 1;
        memset(c.x, k % 2 ? 0 : 255, c.n_x);
        memset(c.w, k % 2 ? 127 : -127, c.n_w);
        for (size_t i = 0; i < c.n_y; i++)
            c.dy[i] = k & 2 && i / (size_t)g.oc % 2 ? -3.0f : 3.0f;
        assert_true(largest_code(&c) == (k < 4 ? 8191 : 917));
        check_case(&r, &c);
        case_free(&c);
    }
}

static void codes_that_need_no_rounding_give_exact_gradients(void **state)
{
    (void)state;
    /* One row of three pixels, one channel each way, weight codes -2 3, scale 1: the largest dy is 32767, so s = 1. */
    nb_geom g = geom_of(1, 3, 1, 1, 1, 1);
    g.kw = 2;
    g.ow = 2;
    uint8_t x[] = {7, 5, 9};
    int8_t w[] = {-2, 3};
    float scale = 1, dy[] = {32767, -5}, dx[3], dw[2];
    grad_case c = {.g = g, .n_x = 3, .n_w = 2, .n_y = 2, .dtype = NB_U8, .zero = 4, .n_scales = 1};
    c.x = x;
    c.w = w;
    c.scale = &scale;
    c.dy = dy;
    c.dx = dx;
    c.dw = dw;
    for (const nb_variant *v = nb_variant_best(nb_qgrad_variants); v; v = nb_variant_below(nb_qgrad_variants, v)) {
        run(&c, v->kernels, false, GUARD_END);
        assert_true(dx[0] == -2 * 32767 && dx[1] == 3 * 32767 + 10 && dx[2] == -15);
        assert_true(dw[0] == 3 * 32767 - 5 && dw[1] == 32767 - 25);
    }
}

static void a_channel_with_a_tiny_scale_keeps_its_weight_gradient(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(4, 1);
    const nb_geom g = geom_of(4, 4, 4, 2, 3, 1);
    grad_case c = case_of(&r, &g);
    c.n_scales = 2;
    c.scale[0] = 1.0f;
    c.scale[1] = 1e-30f;
    for (size_t i = 0; i < c.n_y; i++)
        c.dy[i] = i % 2 ? 1e-6f : 1e6f;
    check_case(&r, &c); /* the bound of dw knows nothing of weight scales and other channels */
    assert_true(c.dw[c.n_w - 1] != 0);
    case_free(&c);
}

static void a_gradient_of_zeros_or_next_to_nothing_gives_zeros(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(5, 1);
    const nb_geom g = geom_of(5, 5, 3, 4, 3, 2);
    grad_case c = case_of(&r, &g);
    const float values[] = {0.0f, -0.0f, 1e-45f, 1e-38f};
    for (int k = 0; k < 4; k++) {
        for (size_t i = 0; i < c.n_y; i++)
            c.dy[i] = values[k];
        check_case(&r, &c);
        run(&c, &nb_qgrad_scalar, false, GUARD_END);
        for (size_t i = 0; i < c.n_x; i++)
            assert_true(c.dx[i] == 0);
        for (size_t i = 0; i < c.n_w; i++)
            assert_true(c.dw[i] == 0);
    }
    case_free(&c);
}

static void a_gradient_that_is_not_finite_makes_everything_nan(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(6, 1);
    const nb_geom g = geom_of(5, 5, 3, 20, 3, 1);
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (int k = 0; k < 4; k++)
        for (const nb_variant *v = nb_variant_best(nb_qgrad_variants); v; v = nb_variant_below(nb_qgrad_variants, v)) {
            grad_case c = case_of(&r, &g);
            c.dy[nb_rng_below(&r, (uint32_t)c.n_y)] = bad[k];
            run(&c, v->kernels, k % 2, GUARD_BEGIN);
            for (size_t j = 0; j < c.n_x; j++)
                assert_true(isnan(c.dx[j]));
            for (size_t j = 0; j < c.n_w; j++)
                assert_true(isnan(c.dw[j]));
            case_free(&c);
        }
}

static void a_gradient_whose_product_with_the_scale_overflows_makes_the_input_gradient_nan(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(7, 1);
    const nb_geom g = geom_of(3, 3, 2, 2, 3, 1);
    grad_case c = case_of(&r, &g);
    c.n_scales = 1;
    c.scale[0] = 1e20f;
    for (size_t i = 0; i < c.n_y; i++)
        c.dy[i] = 1e20f;
    run(&c, &nb_qgrad_scalar, false, GUARD_END);
    assert_true(isnan(c.dx[0]));
    check_weights(&c);
    case_free(&c);
}

static void depthwise_convolutions_are_left_to_floats(void **state)
{
    (void)state;
    nb_geom g = geom_of(6, 6, 8, 8, 3, 1);
    size_t bytes;
    g.groups = 8;
    assert_true(nb_fconv_plan_bytes(&g, NB_FCONV_PLAIN, &bytes));
    void *mem = filled(bytes, 1);
    assert_false(nb_qgrad_plan_bytes(nb_fconv_plan_init(mem, &g, NB_FCONV_PLAIN), &bytes));
    free(mem);
}

static void the_best_variant_that_runs_here_is_chosen(void **state)
{
    (void)state;
    const nb_geom g = geom_of(4, 4, 2, 2, 3, 1);
    size_t bytes;
    const nb_qgrad_isa *best = nb_variant_best(nb_qgrad_variants)->kernels;
    assert_true(nb_fconv_plan_bytes(&g, NB_FCONV_PLAIN, &bytes));
    void *float_mem = filled(bytes, 1);
    const nb_fconv_plan *f = nb_fconv_plan_init(float_mem, &g, NB_FCONV_PLAIN);
    assert_true(nb_qgrad_plan_bytes(f, &bytes));
    void *mem = filled(bytes, 1);
    assert_ptr_equal(nb_qgrad_plan_init(mem, f)->isa, best);
    assert_int_equal(nb_qgrad_is_fast(), best != &nb_qgrad_scalar);
    free(mem);
    free(float_mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_is_within_the_rounding_bound_and_bit_equal),
        cmocka_unit_test(every_count_of_channels_and_pixels_works),
        cmocka_unit_test(sums_at_their_limit_do_not_leave_32_bits),
        cmocka_unit_test(geometries_for_tiles_are_bit_equal_whatever_their_size),
        cmocka_unit_test(sums_at_their_limit_by_tiles_do_not_leave_32_bits),
        cmocka_unit_test(codes_that_need_no_rounding_give_exact_gradients),
        cmocka_unit_test(a_channel_with_a_tiny_scale_keeps_its_weight_gradient),
        cmocka_unit_test(a_gradient_of_zeros_or_next_to_nothing_gives_zeros),
        cmocka_unit_test(a_gradient_that_is_not_finite_makes_everything_nan),
        cmocka_unit_test(a_gradient_whose_product_with_the_scale_overflows_makes_the_input_gradient_nan),
        cmocka_unit_test(depthwise_convolutions_are_left_to_floats),
        cmocka_unit_test(the_best_variant_that_runs_here_is_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
