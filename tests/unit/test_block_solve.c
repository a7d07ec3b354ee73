/* test_block_solve.c - rounding of a whole block: gradients against finite differences and definitions, and the codes against
 * all that there are, and against those that layers choose for themselves. */
#include "post/block_solve.h"

#include "ref/post_run.h"

#include "post/paired.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 16, N = 48 };

typedef struct {
    ref_street s;
    nb_graph *g, *floats, *copy;
    nb_arena *arena;
    nb_block_data data;
    nb_block_run run;
    nb_block_keys keys;
    nb_block_problem p;
} block_case;

static int32_t seed = 4;

/* The block whose layers are called `name`, on the first N images. */
static void open_case(block_case *c, const char *model, const char *quant, const char *name, bool fisher)
{
    char yaml[1024];
    nb_post_block *block;
    int32_t n, k = 0;
    *c = (block_case){.keys = {.soft = {300, 0.1f, 0.3f, 0.2f}, .batch = BATCH, .scale_lr = 0.001f, .seed = 3}};
    snprintf(yaml, sizeof yaml,
             "seed: %d\ndata: {name: synth, count: 96, height: 6, width: 6, channels: 3, classes: 3}\nmodel: "
             "%s\nquant: %s\n",
             seed, model, quant);
    if (ref_street_open(&c->s, yaml, BATCH, REF_FLOAT) != NB_OK)
        fail_msg("%s", nb_ctx_error(c->s.ctx));
    ref_street_steps(&c->s, 10, 0.1f, false);
    if (strcmp(name, "fc") == 0)
        ((float *)nb_graph_find(c->s.graph, "fc.bias")->out.data)[2] -= 4; /* a class that is hardly ever meant */
    assert_int_equal(ref_quantized(&c->s, BATCH, N, &c->g), NB_OK);
    assert_int_equal(nb_pair_open_twin(c->g, &c->s.exp, false, &c->floats), NB_OK);
    assert_int_equal(nb_graph_freeze(c->floats, NB_PLAN_TRAIN), NB_OK);
    assert_int_equal(nb_block_graph_open(c->g, &c->s.exp, BATCH, &c->copy), NB_OK);
    assert_int_equal(nb_arena_create(c->s.ctx, &c->arena), NB_OK);
    assert_int_equal(nb_blocks_find(c->arena, c->g, NB_BLOCKS, &block, &n), NB_OK);
    while (k < n && strcmp(block[k].name, name) != 0)
        k++;
    assert_true(k < n);
    const nb_block_source from = {
        .copy = c->copy, .floats = c->floats, .data = c->s.train, .n = N, .mix = true, .fisher = fisher};
    assert_int_equal(nb_block_data_read(&from, &block[k], &c->data), NB_OK);
    assert_int_equal(c->data.n, N);
    assert_int_equal(nb_block_run_open(c->arena, c->copy, &block[k], &c->run), NB_OK);
    c->p = (nb_block_problem){
        .ctx = c->s.ctx, .g = c->g, .floats = c->floats, .run = &c->run, .data = &c->data, .keys = &c->keys};
    assert_int_equal(nb_block_problem_open(c->arena, &c->p), NB_OK);
}

static void close_case(block_case *c)
{
    nb_block_data_free(c->s.ctx, &c->data);
    nb_arena_free(c->arena);
    nb_graph_free(c->copy);
    nb_graph_free(c->floats);
    nb_graph_free(c->g);
    ref_street_close(&c->s);
}

static const char residual[] =
    "[input, {conv2d: {name: stem, out: 4, pad: 1, bias: no}}, batchnorm, relu,\n"
    "  {resblock: {name: b, out: 5, stride: 2}}, {avgpool: {global: yes}}, {linear: {name: fc, out: 3}}]";

/* ---- gradients ---- */

static double loss_now(block_case *c, float drop)
{
    nb_block_soften(&c->p);
    return nb_block_loss(&c->p, &(nb_block_pass){.train = true, .drop = drop, .at = 1});
}

/* By v along a random direction of one layer. */
static void check_direction(block_case *c, int32_t layer, float drop)
{
    const float eps = 0.003f;
    const nb_block_codes *k = &c->p.codes[layer];
    const nb_block_layer *l = &c->run.layer[layer];
    double slope = 0, up, down;
    loss_now(c, drop);
    for (int64_t i = 0; i < l->n; i++) {
        float h;
        nb_soft_share(k->soft.v[i], &h);
        slope += (double)(l->grad[i] * k->step[i / k->size] * k->soft.room[i] * h) * (i % 3 - 1);
    }
    for (int64_t i = 0; i < l->n; i++)
        k->soft.v[i] += eps * (float)(i % 3 - 1);
    up = loss_now(c, drop);
    for (int64_t i = 0; i < l->n; i++)
        k->soft.v[i] -= 2 * eps * (float)(i % 3 - 1);
    down = loss_now(c, drop);
    for (int64_t i = 0; i < l->n; i++)
        k->soft.v[i] += eps * (float)(i % 3 - 1);
    const double measured = (up - down) / (2 * (double)eps);
    if (fabs(measured - slope) > 0.02 * fabs(measured) + 1e-5)
        fail_msg("layer %d: gradient %g, measured %g", layer, slope, measured);
}

static void gradients_by_the_rounding_are_those_of_the_loss(void **state)
{
    (void)state;
    static const struct {
        const char *quant;
        float drop; /* where nothing is rounded there is a derivative */
    } cases[] = {{"{weights: {bits: 3}, activations: off}", 0},
                 {"{weights: {bits: 3, granularity: tensor}, activations: off, batchnorm: fold}", 0},
                 {"{weights: {bits: 3}, activations: {bits: 2, range: mse}}", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int32_t fisher = 0; fisher < 2; fisher++) {
            block_case c;
            open_case(&c, residual, cases[i].quant, "b", fisher);
            assert_int_equal(c.run.n_layers, 3);
            /* the float weights would be at the minimum, where there is nothing to see */
            for (int32_t l = 0; l < 3; l++)
                for (int64_t k = 0; k < c.run.layer[l].n; k++)
                    c.p.codes[l].soft.v[k] += 0.4f * (float)((k * 7 + l) % 5 - 2);
            for (int32_t l = 0; l < 3; l++)
                check_direction(&c, l, cases[i].drop);
            close_case(&c);
        }
}

/* d(s * (round(x / s) + z - z)) / ds is round(x / s) - x / s inside the grid, its end outside, and 0 for what is not rounded. */
static void gradients_by_scales_are_those_of_lsq(void **state)
{
    (void)state;
    static const float drops[] = {0, 0.5f};
    for (int32_t i = 0; i < 2; i++) {
        block_case c;
        open_case(&c, residual, "{weights: {bits: 3}, activations: {bits: 3, range: mse}}", "b", false);
        const nb_block_pass pass = {.train = true, .drop = drops[i], .seed = 5, .at = 1};
        nb_block_soften(&c.p);
        nb_block_loss(&c.p, &(nb_block_pass){.train = false});
        nb_block_loss(&c.p, &pass);
        const nb_block_value *v = &c.run.value[c.run.n_values - 1];
        assert_ptr_equal(v->fq, c.run.to);
        const nb_qparams *q = v->fq->out.q;
        double want = 0;
        int64_t dropped = 0, all = BATCH * c.data.out;
        for (int64_t k = 0; k < all; k++) {
            const double u = (double)v->before[k] / (double)q->scale[0], code = nearbyint(u) + q->zero[0];
            const double d = code < q->lo ? q->lo - q->zero[0] : code > q->hi ? q->hi - q->zero[0] : nearbyint(u) - u;
            const bool left = pass.drop > 0 && v->dropped[k];
            want += left ? 0 : d * (double)c.p.dy[k];
            dropped += left;
        }
        assert_true(fabs(v->by_scale - want) < 1e-3 * fabs(want) + 1e-6 && fabs(want) > 1e-3);
        assert_true(fabs((double)dropped / (double)all - (double)pass.drop) < 0.05);
        close_case(&c);
    }
}

/* With everything dropped the block is the float one on float inputs. */
static void what_is_dropped_is_what_the_float_network_has(void **state)
{
    (void)state;
    block_case c;
    open_case(&c, residual, "{weights: {bits: 8}, activations: {bits: 3}}", "b", false);
    for (int32_t l = 0; l < c.run.n_layers; l++) {
        const nb_node *twin = nb_graph_find(c.floats, c.run.layer[l].mac->name);
        memcpy(c.run.layer[l].w, twin->in[1]->out.data, (size_t)c.run.layer[l].n * sizeof(float));
    }
    const double rounded = nb_block_loss(&c.p, &(nb_block_pass){.train = false});
    const double dropped = nb_block_loss(&c.p, &(nb_block_pass){.train = true, .drop = 1, .at = 1});
    assert_true(rounded > 1e-3 && dropped < 1e-6 * rounded);
    close_case(&c);
}

/* Of logits the gradient is p less 1 for the label drawn: its square p (1 - p) on average. */
static void errors_count_by_fishers_information(void **state)
{
    (void)state;
    block_case c;
    open_case(&c, residual, "{weights: {bits: 3}}", "fc", true);
    double want[3] = {0}, all = 0;
    for (int32_t i = 0; i < N; i++) {
        double p[3], sum = 0;
        for (int32_t k = 0; k < 3; k++)
            sum += p[k] = exp((double)c.data.y[i * 3 + k]);
        for (int32_t k = 0; k < 3; k++)
            want[k] += p[k] / sum * (1 - p[k] / sum);
    }
    for (int32_t k = 0; k < 3; k++)
        all += want[k];
    for (int32_t k = 0; k < 3; k++) /* of N labels */
        if (fabs((double)c.data.weight[k] - 3 * want[k] / all) > 0.25)
            fail_msg("%d: %g, expected %g", k, (double)c.data.weight[k], 3 * want[k] / all);
    assert_true(c.data.weight[2] < 0.3f);
    assert_float_equal(c.data.weight[0] + c.data.weight[1] + c.data.weight[2], 3, 1e-4);
    close_case(&c);
}

/* ---- codes ---- */

static const char tiny[] =
    "[input, {conv2d: {name: stem, out: 2, pad: 1}}, {relu: {name: r}},\n"
    "  {conv2d: {name: b.c1, out: 3, kernel: 1}}, relu, {conv2d: {name: b.c2, out: 2, kernel: 1}},\n"
    "  {add: {in: [b.c2, r]}}, relu, {linear: {name: fc, out: 3}}]";
enum { WEIGHTS = 12 }; /* of both layers */

static int32_t *code_at(const block_case *c, int32_t i)
{
    return i < 6 ? &c->p.codes[0].code[i] : &c->p.codes[1].code[i - 6];
}

static double best_of_all(block_case *c)
{
    double best = INFINITY;
    for (uint32_t ups = 0; ups < 1u << WEIGHTS; ups++) {
        for (int32_t i = 0; i < WEIGHTS; i++) {
            const nb_soft *s = &c->p.codes[i / 6].soft;
            *code_at(c, i) = (int32_t)s->base[i % 6] + (s->room[i % 6] > 0 && (ups >> i & 1));
        }
        best = fmin(best, nb_block_error(&c->p, false));
    }
    return best;
}

/* The block's error with the codes that adaround chooses, layer by layer. */
static double layer_by_layer(block_case *c)
{
    ref_heard h;
    nb_graph *g;
    assert_int_equal(ref_quantized(&c->s, BATCH, N, &g), NB_OK);
    assert_int_equal(ref_post_run(&c->s, g, "[adaround: {iterations: 300, rows: 256}]", NULL, N, &h), NB_OK);
    for (int32_t i = 0; i < WEIGHTS; i++) {
        const nb_node *mac = nb_graph_find(g, i < 6 ? "b.c1" : "b.c2");
        const nb_block_codes *k = &c->p.codes[i / 6];
        const float *w = mac->in[1]->in[0]->out.data;
        *code_at(c, i) = (int32_t)nearbyintf(w[i % 6] / k->step[i % 6 / k->size]);
    }
    nb_graph_free(g);
    return nb_block_error(&c->p, false);
}

static void it_comes_close_to_the_best_of_all_codings_and_layers_alone_do_not(void **state)
{
    (void)state;
    static const char *const quants[] = {"{weights: {bits: 3, granularity: tensor, range: minmax}}",
                                         "{weights: {bits: 2, granularity: tensor, range: minmax}}"};
    double nearest = 0, layers = 0, learned = 0, best = 0;
    for (int32_t i = 0; i < 6; i++) {
        block_case c;
        nb_block_gain gain;
        seed = 10 + i;
        open_case(&c, tiny, quants[i % 2], "b", false);
        c.keys.scale_lr = 0;
        assert_int_equal(c.run.n_layers, 2);
        assert_int_equal(c.run.layer[0].n + c.run.layer[1].n, WEIGHTS);
        const double start = nb_block_error(&c.p, true), here = best_of_all(&c), alone = layer_by_layer(&c);
        nb_block_solve(&c.p, NULL, &gain);
        assert_true(fabs(gain.before - start) < 1e-9 * start);
        assert_true(fabs(nb_block_error(&c.p, false) - gain.after) < 1e-9 * start);
        assert_true(gain.after <= start && gain.after >= here * (1 - 1e-9));
        if (getenv("NB_TEST_SHOW"))
            print_message("%s: nearest %g, layers %g, learned %g, best %g\n", quants[i % 2], start, alone, gain.after,
                          here);
        nearest += 1;
        layers += alone / start;
        learned += gain.after / start;
        best += here / start;
        close_case(&c);
    }
    assert_true(best < 0.8 * nearest); /* there is something to learn */
    if (nearest - learned < 0.8 * (nearest - best) || learned > 0.85 * layers)
        fail_msg("nearest %g, layers %g, learned %g, best %g", nearest, layers, learned, best);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_by_the_rounding_are_those_of_the_loss),
        cmocka_unit_test(gradients_by_scales_are_those_of_lsq),
        cmocka_unit_test(what_is_dropped_is_what_the_float_network_has),
        cmocka_unit_test(errors_count_by_fishers_information),
        cmocka_unit_test(it_comes_close_to_the_best_of_all_codings_and_layers_alone_do_not),
    };
    return cmocka_run_group_tests_name("block_solve", tests, NULL, NULL);
}
