/* test_layer_rows.c - a layer as a matrix: rows are windows of the quantized network, and what the float network gives at the
 * same pixels. */
#include "ref/street.h"

#include <nibble/train.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "post/held_codes.h"
#include "post/layer_rows.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char net[] =
    "data: {name: synth, count: 300, height: 10, width: 9, channels: 3, classes: 3}\n"
    "model:\n"
    "  - input\n"
    "  - conv2d: {name: c1, out: 8, kernel: 3, pad: 1}\n"
    "  - relu: {cap: 1}\n"
    "  - dwconv2d: {name: d, kernel: 3, pad: 2, dilation: 2, multiplier: 2, bias: no}\n"
    "  - batchnorm: {name: n1}\n"
    "  - relu: {name: r2}\n"
    "  - conv2d: {name: c2, out: 6, kernel: 3, stride: 2, groups: 2}\n"
    "  - batchnorm: {name: n2}\n"
    "  - conv2d: {name: c3, out: 5, kernel: 2, stride: 2, pad: 1, bias: no}\n"
    "  - relu: {name: r3}\n"
    "  - linear: {name: fc, out: 3}\n"
    "quant: {weights: {bits: 4}, activations: {bits: 4, scheme: asymmetric}, batchnorm: keep, first_last_bits: 0}\n";

enum { BATCH = 16, LAYERS = 5 };

typedef struct {
    ref_street s;
    nb_graph *quantized, *twin;
    nb_arena *arena;
} rows_case;

static void open_case(rows_case *c)
{
    assert_int_equal(ref_street_open(&c->s, net, BATCH, REF_FLOAT), NB_OK);
    ref_street_steps(&c->s, 4, 0.05f, false);
    const nb_graph_spec spec = {.experiment = &c->s.exp,
                                .info = nb_data_info(c->s.train),
                                .max_batch = BATCH,
                                .quant = true,
                                .plan = NB_PLAN_TRAIN,
                                .reference = true};
    const nb_params_source from = {.graph = c->s.graph, .mode = NB_PARAMS_CALIBRATE};
    assert_int_equal(nb_graph_open(c->s.ctx, &spec, &from, &c->quantized), NB_OK);
    assert_int_equal(nb_calibrate(c->quantized, c->s.train, NULL, 64), NB_OK);
    assert_int_equal(nb_pair_open_twin(c->quantized, &c->s.exp, false, &c->twin), NB_OK);
    assert_int_equal(nb_arena_create(c->s.ctx, &c->arena), NB_OK);
}

static void close_case(rows_case *c)
{
    nb_arena_free(c->arena);
    nb_graph_free(c->twin);
    nb_graph_free(c->quantized);
    ref_street_close(&c->s);
}

static nb_pair pair_of(const rows_case *c, bool quantized, int32_t n)
{
    return (nb_pair){
        .quantized = quantized ? c->quantized : NULL, .floats = quantized ? NULL : c->twin, .data = c->s.train, .n = n};
}

/* Whole maps of a layer's end in one of the graphs. */
typedef struct {
    float *map; /* [images][pixels][channels] */
    bool quantized;
} maps;

static void keep_map(void *ud, const nb_pair_view *v)
{
    const maps *m = ud;
    const nb_tensor *t = &(m->quantized ? v->quantized : v->floats)->out;
    const int64_t each = nb_count(t) / t->shape.d[0];
    memcpy(m->map + v->first * each, t->data, (size_t)(v->images * each) * sizeof(float));
}

static float *map_of(const rows_case *c, const nb_layer_rows *l, bool quantized, int32_t n)
{
    const int64_t each = nb_count(&l->end->out) / l->end->out.shape.d[0];
    maps m = {nb_alloc(c->s.ctx, (size_t)(n * each) * sizeof(float)), quantized};
    const nb_pair p = pair_of(c, quantized, n);
    assert_int_equal(nb_pair_run(&p, &l->end->name, 1, keep_map, &m), NB_OK);
    return m.map;
}

static float *floats(const rows_case *c, int64_t n)
{
    float *p = nb_alloc(c->s.ctx, (size_t)n * sizeof *p);
    assert_non_null(p);
    return p;
}

static bool same(const float *a, const float *b, int32_t n)
{
    return memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

/* What filter f gives from the row's inputs with the codes there are. */
static double given(const nb_layer_rows *l, int32_t row, int32_t f)
{
    const nb_adaround_problem *p = &l->of;
    const float *x = p->x + nb_adaround_input(p, row, f / (p->filters / p->groups));
    double sum = 0;
    for (int32_t i = 0; i < p->size; i++) {
        const double units =
            fmin(fmax(nearbyint((double)p->w[f * p->size + i] / (double)p->step[f]), p->first[f]), p->last[f]);
        sum += (double)x[i] * units * (double)p->step[f];
    }
    return fmin(fmax(sum * (double)p->mul[f] + (double)p->add[f], (double)p->low), (double)p->high);
}

/* The pixel of the image whose value in the float network is this row's, in the stretch it must be from. */
static int32_t find_pixel(const nb_layer_rows *l, const float *map, int32_t row)
{
    const int32_t c = l->geom.oc, all = l->geom.oh * l->geom.ow, image = row % l->images, number = row / l->images;
    for (int32_t i = all * number / l->pixels; i < all * (number + 1) / l->pixels; i++)
        if (same(map + ((int64_t)image * all + i) * c, l->of.y + (int64_t)row * c, c))
            return i;
    return -1;
}

static void check_layer(rows_case *c, nb_layer_rows *l, int32_t n)
{
    const nb_pair wanted = pair_of(c, false, n), read = pair_of(c, true, n);
    const int32_t rows = nb_layer_rows_count(l), oc = l->geom.oc;
    float *x = floats(c, (int64_t)rows * l->of.groups * l->of.size), *y = floats(c, (int64_t)rows * oc);
    assert_int_equal(nb_layer_rows_want(&wanted, l, 1, &y), NB_OK);
    assert_int_equal(nb_layer_rows_read(&read, l, x), NB_OK);
    l->of.y = y;
    float *in_floats = map_of(c, l, false, n), *in_codes = map_of(c, l, true, n);
    double size = 0, off = 0;
    for (int32_t r = 0; r < rows; r++) {
        const int32_t pixel = find_pixel(l, in_floats, r);
        if (pixel < 0)
            fail_msg("%s: row %d is of no pixel", l->mac->name, r);
        for (int32_t f = 0; f < oc; f++) {
            const double v = (double)in_codes[((int64_t)(r % l->images) * l->geom.oh * l->geom.ow + pixel) * oc + f];
            /* there biases and batch norms add whole units of the sums */
            const double unit =
                fabs((double)l->of.mul[f]) * (double)l->of.step[f] * (double)l->mac->in[0]->out.q->scale[0];
            size = fmax(size, fabs(v));
            off = fmax(off, fabs(v - given(l, r, f)) / (unit + 1e-4));
        }
    }
    if (!(size > 0.05 && off < 1))
        fail_msg("%s: off by %g units, values up to %g", l->mac->name, off, size);
    nb_free(c->s.ctx, in_codes);
    nb_free(c->s.ctx, in_floats);
    nb_free(c->s.ctx, y);
    nb_free(c->s.ctx, x);
}

static void rows_give_what_the_quantized_network_gives_and_want_what_the_float_one_does(void **state)
{
    (void)state;
    static const char *const mac[LAYERS] = {"c1", "d", "c2", "c3", "fc"}, *const end[LAYERS] = {"relu", "r2", "n2",
                                                                                                "r3", "fc"};
    rows_case c;
    char why[256];
    open_case(&c);
    assert_false(nb_codes_refuse(c.quantized, why, sizeof why));
    for (int32_t k = 0; k < 2; k++)
        for (int32_t i = 0; i < LAYERS; i++) {
            nb_layer_rows l;
            const int32_t n = k ? 300 : 33;
            const nb_node *node = nb_graph_find(c.quantized, mac[i]);
            assert_int_equal(nb_layer_rows_plan(c.arena, c.quantized, node, n, &l), NB_OK);
            if (strncmp(l.end->name, end[i], strlen(end[i])) != 0)
                fail_msg("%s ends in %s", mac[i], l.end->name);
            assert_int_equal(l.images, n);
            const int32_t all = l.geom.oh * l.geom.ow;
            assert_int_equal(l.pixels, all < 16384 / n ? all : 16384 / n);
            check_layer(&c, &l, n);
        }
    close_case(&c);
}

static void several_layers_are_wanted_in_one_pass(void **state)
{
    (void)state;
    rows_case c;
    nb_layer_rows l[2];
    float *one[2], *both[2];
    open_case(&c);
    const nb_pair p = pair_of(&c, false, 33);
    for (int32_t i = 0; i < 2; i++) {
        const nb_node *node = nb_graph_find(c.quantized, i ? "c3" : "d");
        assert_int_equal(nb_layer_rows_plan(c.arena, c.quantized, node, 20, &l[i]), NB_OK); /* fewer than are shown */
        assert_int_equal(l[i].images, 20);
        const int64_t count = (int64_t)nb_layer_rows_count(&l[i]) * l[i].geom.oc;
        one[i] = floats(&c, count);
        both[i] = floats(&c, count);
        assert_int_equal(nb_layer_rows_want(&p, &l[i], 1, &one[i]), NB_OK);
    }
    nb_set_threads(3);
    assert_int_equal(nb_layer_rows_want(&p, l, 2, both), NB_OK);
    nb_set_threads(1);
    for (int32_t i = 0; i < 2; i++) {
        assert_true(same(one[i], both[i], nb_layer_rows_count(&l[i]) * l[i].geom.oc));
        nb_free(c.s.ctx, one[i]);
        nb_free(c.s.ctx, both[i]);
    }
    close_case(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_give_what_the_quantized_network_gives_and_want_what_the_float_one_does),
        cmocka_unit_test(several_layers_are_wanted_in_one_pass),
    };
    nb_set_threads(3);
    return cmocka_run_group_tests_name("layer_rows", tests, NULL, NULL);
}
