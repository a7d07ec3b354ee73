/* test_params.c - values by name from files and graphs; what does not fit is refused with both shapes. */
#include "base/safetensors.h"
#include "ref/data_fixture.h"
#include "ref/train_case.h"
#include "train/checkpoint.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char train_section[] =
    "train: {batch: 8, ema: 0.9, optimizer: sgd, phases: [{epochs: 1, lr: 0.1}, {epochs: 1, lr: 0.1, quant: on}]}\n";

/* Opens the experiment head + extra + train section. */
static void open_case(void **state, train_case *t, const char *extra)
{
    data_fixture *f = *state;
    char text[2048];
    snprintf(text, sizeof text, "%s%s%s", train_case_head, extra, train_section);
    assert_int_equal(train_case_open(t, f->ctx, f->dir, text), NB_OK);
}

static nb_graph *graph_of(train_case *t, bool quant)
{
    nb_graph *g;
    assert_int_equal(train_case_graph(t, quant, &(nb_params_source){0}, &g), NB_OK);
    return g;
}

static float *values(const nb_graph *g, const char *leaf)
{
    const nb_node *n = nb_graph_find(g, leaf);
    assert_non_null(n);
    return n->out.data;
}

/* A checkpoint of g; with the optimizer's averages when o is given. */
static nb_checkpoint *checkpoint_of(data_fixture *f, const nb_graph *g, const nb_optim *o)
{
    const char *path = data_fixture_path(f, "c.safetensors");
    nb_checkpoint_spec s = {.graph = g, .optim = o, .config = "", .metrics = "", .phase_name = "p", .accuracy = -1};
    nb_checkpoint *c;
    s.at.best_accuracy = -1;
    assert_int_equal(nb_checkpoint_save(f->ctx, path, &s), NB_OK);
    assert_int_equal(nb_checkpoint_open(f->ctx, path, &c), NB_OK);
    return c;
}

static void fill(nb_graph *g, float base)
{
    for (int32_t i = 0; i < g->n; i++)
        if (g->node[i]->flags & (NB_NODE_PARAM | NB_NODE_BUFFER))
            for (int64_t k = 0; k < nb_count(&g->node[i]->out); k++)
                ((float *)g->node[i]->out.data)[k] = base + 0.001f * (float)(i * 100 + k);
    for (int32_t i = 0; i < g->n; i++) /* a row of a range state ends with: something has been seen */
        if (strstr(g->node[i]->name, ".state"))
            for (int64_t n = g->node[i]->out.shape.d[1], k = n - 1; k < nb_count(&g->node[i]->out); k += n)
                ((float *)g->node[i]->out.data)[k] = 1;
}

static void all_leaves_come_back_from_a_file(void **state)
{
    train_case t;
    open_case(state, &t, "");
    for (int quant = 0; quant < 2; quant++) {
        nb_graph *a = graph_of(&t, quant), *b;
        fill(a, 1);
        nb_checkpoint *c = checkpoint_of(*state, a, NULL);
        assert_int_equal(c->quantized, quant);
        assert_int_equal(train_case_graph(&t, quant, &(nb_params_source){.file = c, .mode = NB_PARAMS_EXACT}, &b),
                         NB_OK);
        for (int32_t i = 0; i < a->n; i++)
            if (a->node[i]->flags & (NB_NODE_PARAM | NB_NODE_BUFFER))
                assert_memory_equal(a->node[i]->out.data, values(b, a->node[i]->name),
                                    (size_t)nb_count(&a->node[i]->out) * sizeof(float));
        nb_checkpoint_close(t.ctx, c);
        nb_graph_free(a);
        nb_graph_free(b);
    }
    train_case_close(&t);
}

static void a_quantized_graph_takes_float_values_and_has_observed_nothing(void **state)
{
    train_case t;
    nb_graph *q;
    open_case(state, &t, "");
    nb_graph *a = graph_of(&t, false);
    fill(a, 2);
    assert_int_equal(train_case_graph(&t, true, &(nb_params_source){.graph = a, .mode = NB_PARAMS_START}, &q), NB_OK);
    assert_true(q->quantized);
    assert_true(values(q, "c2.weight")[3] == values(a, "c2.weight")[3]);
    assert_true(values(q, "bn1.var")[1] == values(a, "bn1.var")[1]);
    for (int32_t i = 0; i < q->n; i++)
        if (strstr(q->node[i]->name, ".state"))
            for (int64_t k = 0; k < nb_count(&q->node[i]->out); k++)
                assert_true(((float *)q->node[i]->out.data)[k] == 0);
    nb_graph_free(q);
    nb_graph_free(a);
    train_case_close(&t);
}

static void what_is_learned_comes_back_and_begins_anew_where_it_was_not_there(void **state)
{
    static const char *const lsq = "quant: {weights: {learn: lsq}, activations: {learn: lsq}}\n";
    for (int32_t from = 0; from < 2; from++)
        for (int32_t to = 0; to < 2; to++)
            for (int32_t mode = NB_PARAMS_EXACT; mode <= NB_PARAMS_CALIBRATE; mode++) {
                train_case a, b;
                nb_graph *g, *h;
                open_case(state, &a, from ? lsq : "");
                g = graph_of(&a, true);
                fill(g, 3);
                nb_node *learned = from ? nb_graph_find(g, "c2.weight.fq.learned") : NULL;
                nb_checkpoint *c = checkpoint_of(*state, g, NULL);
                open_case(state, &b, to ? lsq : "");
                const nb_params_source source = {.file = c, .mode = (nb_params_mode)mode};
                const bool fits = from || !to || mode >= NB_PARAMS_START;
                assert_int_equal(train_case_graph(&b, true, &source, &h) == NB_OK, fits);
                if (fits && to)
                    assert_true(values(h, "c2.weight.fq.learned")[0] ==
                                (from && mode != NB_PARAMS_CALIBRATE ? ((float *)learned->out.data)[0] : 0.0f));
                if (fits)
                    nb_graph_free(h);
                nb_checkpoint_close(a.ctx, c);
                nb_graph_free(g);
                train_case_close(&b);
                train_case_close(&a);
            }
}

static void what_cannot_have_been_learned_is_refused(void **state)
{
    static const char *const learn[] = {"lsq", "lsqplus", "tqt"};
    static const struct {
        float row[2];
        bool sound[3];
    } cases[] = {{{0.5f, -2}, {true, true, true}},
                 {{-0.5f, 1}, {false, false, true}}, /* logarithms have any sign */
                 {{0, 3}, {true, false, true}},      /* without the second: nothing learned yet */
                 {{0, 0}, {true, true, true}}};
    for (int32_t k = 0; k < 3; k++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            train_case t;
            char text[128];
            nb_graph *h;
            snprintf(text, sizeof text, "quant: {weights: {learn: %s, granularity: tensor}}\n", learn[k]);
            open_case(state, &t, text);
            nb_graph *g = graph_of(&t, true);
            fill(g, 3);
            char name[64], row_0[80];
            snprintf(name, sizeof name, "c2.weight.fq.%s", k ? learn[k] : "learned");
            snprintf(row_0, sizeof row_0, "%s: row 0", name);
            const nb_node *leaf = nb_graph_find(g, name);
            assert_non_null(leaf);
            assert_int_equal(leaf->out.shape.d[1], k == 1 ? 2 : 1);
            memcpy(leaf->out.data, cases[i].row, (size_t)leaf->out.shape.d[1] * sizeof(float));
            nb_checkpoint *c = checkpoint_of(*state, g, NULL);
            const nb_status st = train_case_graph(&t, true, &(nb_params_source){.file = c}, &h);
            assert_int_equal(st, cases[i].sound[k] ? NB_OK : NB_E_FORMAT);
            if (st == NB_OK)
                nb_graph_free(h);
            else
                assert_non_null(strstr(nb_ctx_error(t.ctx), row_0));
            nb_checkpoint_close(t.ctx, c);
            nb_graph_free(g);
            train_case_close(&t);
        }
}

static void what_one_learning_left_is_not_what_another_means(void **state)
{
    train_case a, b;
    nb_graph *h;
    open_case(state, &a, "quant: {weights: {learn: lsq}}\n");
    nb_graph *g = graph_of(&a, true);
    fill(g, 3);
    nb_checkpoint *c = checkpoint_of(*state, g, NULL);
    open_case(state, &b, "quant: {weights: {learn: tqt}}\n"); /* as many numbers, but logarithms */
    assert_int_equal(train_case_graph(&b, true, &(nb_params_source){.file = c, .mode = NB_PARAMS_START}, &h), NB_OK);
    assert_true(values(h, "c2.weight.fq.tqt")[0] == 0);
    assert_true(values(h, "c2.weight.fq.state")[0] == values(g, "c2.weight.fq.state")[0]);
    nb_graph_free(h);
    nb_checkpoint_close(a.ctx, c);
    nb_graph_free(g);
    train_case_close(&b);
    train_case_close(&a);
}

static void a_batch_norm_is_folded_on_the_way_into_a_graph_that_folds(void **state)
{
    train_case t;
    nb_graph *q;
    open_case(state, &t, "quant: {batchnorm: fold}\n");
    nb_graph *a = graph_of(&t, false);
    fill(a, 2);
    nb_checkpoint *c = checkpoint_of(*state, a, NULL);
    assert_int_equal(train_case_graph(&t, true, &(nb_params_source){.file = c, .mode = NB_PARAMS_START}, &q), NB_OK);
    assert_null(nb_graph_find(q, "bn1"));
    double mul[4], add[4];
    const nb_node *bn = nb_graph_find(a, "bn1");
    bn->op->affine(bn, mul, add);
    for (int ch = 0; ch < 4; ch++) {
        for (int k = 0; k < 9; k++)
            assert_true(fabs((double)values(q, "c1.weight")[ch * 9 + k] -
                             mul[ch] * (double)values(a, "c1.weight")[ch * 9 + k]) < 1e-5);
        assert_true(fabs((double)values(q, "c1.bias")[ch] - add[ch]) < 1e-5);
    }
    nb_checkpoint_close(t.ctx, c);
    nb_graph_free(q);
    nb_graph_free(a);
    train_case_close(&t);
}

static void averages_are_taken_for_a_model_and_not_for_resuming(void **state)
{
    train_case t;
    nb_optim *o;
    open_case(state, &t, "");
    nb_graph *a = graph_of(&t, false);
    fill(a, 1);
    assert_int_equal(nb_optim_create(t.ctx, t.plan, a, &o), NB_OK);
    nb_optim_slot(o, 0)->average[0] = 77;
    nb_checkpoint *c = checkpoint_of(*state, a, o);
    for (int mode = NB_PARAMS_EXACT; mode <= NB_PARAMS_START; mode++) {
        nb_graph *b;
        nb_params_source from = {.file = c, .mode = (nb_params_mode)mode};
        assert_int_equal(train_case_graph(&t, false, &from, &b), NB_OK);
        assert_true(values(b, "c1.weight")[0] == (mode == NB_PARAMS_EXACT ? values(a, "c1.weight")[0] : 77.0f));
        nb_graph_free(b);
    }
    nb_checkpoint_close(t.ctx, c);
    nb_optim_free(t.ctx, o);
    nb_graph_free(a);
    train_case_close(&t);
}

/* A checkpoint of the float network of `theirs` into the network of `ours` gives this status and sentence. */
static void refuses(void **state, const char *theirs, const char *ours, nb_status want, const char *sentence)
{
    data_fixture *f = *state;
    char a_text[2048], b_text[2048];
    const char *data = "data: {name: synth, count: 96, height: 8, width: 8, channels: 1, classes: 3}\n";
    snprintf(a_text, sizeof a_text, "%smodel: %s\n%s", data, theirs, train_section);
    snprintf(b_text, sizeof b_text, "%smodel: %s\n%s", data, ours, train_section);
    train_case a, b;
    nb_graph *g = NULL;
    assert_int_equal(train_case_open(&a, f->ctx, f->dir, a_text), NB_OK);
    assert_int_equal(train_case_open(&b, f->ctx, f->dir, b_text), NB_OK);
    nb_graph *from = graph_of(&a, false);
    nb_checkpoint *c = checkpoint_of(f, from, NULL);
    assert_int_equal(train_case_graph(&b, false, &(nb_params_source){.file = c, .mode = NB_PARAMS_START}, &g), want);
    const char *said = strstr(nb_ctx_error(f->ctx), "c.safetensors: ");
    assert_non_null(said);
    assert_string_equal(said, sentence);
    nb_checkpoint_close(f->ctx, c);
    nb_graph_free(from);
    train_case_close(&a);
    train_case_close(&b);
}

static void a_wrong_shape_is_told_with_both(void **state)
{
    refuses(state, "[input, conv2d: {name: c1, out: 4, kernel: 3}, linear: {name: fc, out: 3}]",
            "[input, conv2d: {name: c1, out: 5, kernel: 3}, linear: {name: fc, out: 3}]", NB_E_SHAPE,
            "c.safetensors: tensor c1.weight is 4x3x3x1, the network has 5x3x3x1");
}

static void a_missing_tensor_means_another_network(void **state)
{
    refuses(state, "[input, linear: {name: fc, out: 3}]",
            "[input, conv2d: {name: c1, out: 1, kernel: 1}, linear: {name: fc, out: 3}]", NB_E_FORMAT,
            "c.safetensors: tensor c1.weight is missing: it is a checkpoint of another network");
}

static void a_tensor_too_many_means_another_network(void **state)
{
    refuses(state, "[input, conv2d: {name: c1, out: 1, kernel: 1}, linear: {name: fc, out: 3}]",
            "[input, linear: {name: fc, out: 3}]", NB_E_FORMAT,
            "c.safetensors: has a tensor c1.weight, which the network has not: it is a checkpoint of another network");
}

/* One value of the quantized network's checkpoint that cannot be, and the sentence. */
static void cannot_be(void **state, const char *leaf, int32_t at, float v, const char *sentence)
{
    data_fixture *f = *state;
    train_case t;
    nb_graph *g = NULL;
    open_case(state, &t, "quant: {activations: {range: mse}}\n");
    nb_graph *from = graph_of(&t, true);
    fill(from, 3);
    for (int32_t i = 0; i < from->n; i++)
        if (strstr(from->node[i]->name, ".state") && from->node[i]->out.shape.d[1] == 4)
            ((float *)from->node[i]->out.data)[2] = 20; /* the ratio that mse found, in notches */
    values(from, leaf)[at] = v;
    nb_checkpoint *c = checkpoint_of(f, from, NULL);
    const nb_status st = train_case_graph(&t, true, &(nb_params_source){.file = c, .mode = NB_PARAMS_EXACT}, &g);
    if (st != (sentence ? NB_E_FORMAT : NB_OK))
        fail_msg("%s[%d] = %g: status %d", leaf, at, (double)v, (int)st);
    if (sentence && !strstr(nb_ctx_error(f->ctx), sentence))
        fail_msg("%s\nwant: %s", nb_ctx_error(f->ctx), sentence);
    if (!sentence)
        nb_graph_free(g);
    nb_checkpoint_close(t.ctx, c);
    nb_graph_free(from);
    train_case_close(&t);
}

static void values_that_cannot_be_are_named_with_tensor_and_place(void **state)
{
    cannot_be(state, "c1.weight", 7, 1e30f, NULL);
    cannot_be(state, "c1.weight", 7, NAN,
              "c.safetensors: tensor c1.weight: value 7 is nan: it must be a finite number");
    cannot_be(state, "bn1.mean", 2, -INFINITY, "tensor bn1.mean: value 2 is -inf: it must be a finite number");
    cannot_be(state, "bn1.mean", 2, -3, NULL);
    cannot_be(state, "bn1.var", 1, 0, NULL);
    cannot_be(state, "bn1.var", 1, -0.5f, "tensor bn1.var: value 1 is -0.5: it cannot be negative");
    const char *range = "fq.state: row 0, the range ";
    cannot_be(state, "relu1.fq.state", 0, 1e6f, range); /* lo above hi */
    cannot_be(state, "relu1.fq.state", 2, -1, range);   /* notches are 1..32 */
    cannot_be(state, "relu1.fq.state", 2, 1e30f, range);
    cannot_be(state, "relu1.fq.state", 3, 0.5f, range); /* seen, or not */
    cannot_be(state, "c1.weight.fq.state", 3, 1e6f, "tensor c1.weight.fq.state: row 1, the range ");
}

static void range_states_of_another_granularity_start_anew(void **state)
{
    train_case a, b;
    nb_graph *g = NULL;
    open_case(state, &a, "quant: {weights: {granularity: channel}}\n");
    open_case(state, &b, "quant: {weights: {granularity: tensor}}\n");
    nb_graph *from = graph_of(&a, true);
    fill(from, 3);
    nb_checkpoint *c = checkpoint_of(*state, from, NULL);
    assert_int_equal(train_case_graph(&b, true, &(nb_params_source){.file = c, .mode = NB_PARAMS_START}, &g), NB_OK);
    assert_true(values(g, "c1.weight.fq.state")[0] == 0);
    assert_true(values(g, "bn1.gamma")[0] == values(from, "bn1.gamma")[0]);
    nb_graph_free(g);
    assert_int_equal(train_case_graph(&b, true, &(nb_params_source){.file = c, .mode = NB_PARAMS_MODEL}, &g),
                     NB_E_SHAPE);
    nb_checkpoint_close(a.ctx, c);
    nb_graph_free(from);
    train_case_close(&a);
    train_case_close(&b);
}

static void a_quantized_checkpoint_starts_a_float_network(void **state)
{
    train_case t;
    nb_graph *g;
    open_case(state, &t, "");
    nb_graph *q = graph_of(&t, true);
    fill(q, 1);
    nb_checkpoint *c = checkpoint_of(*state, q, NULL);
    assert_int_equal(train_case_graph(&t, false, &(nb_params_source){.file = c, .mode = NB_PARAMS_START}, &g), NB_OK);
    assert_true(values(g, "fc.weight")[2] == values(q, "fc.weight")[2]);
    nb_graph_free(g);
    nb_checkpoint_close(t.ctx, c);
    nb_graph_free(q);
    train_case_close(&t);
}

static void to_calibrate_every_range_starts_anew(void **state)
{
    train_case t;
    open_case(state, &t, "");
    nb_graph *a = graph_of(&t, true), *g;
    fill(a, 1);
    nb_checkpoint *c = checkpoint_of(*state, a, NULL);
    for (int from_file = 0; from_file < 2; from_file++) {
        nb_params_source from = {.mode = NB_PARAMS_CALIBRATE};
        from.file = from_file ? c : NULL;
        from.graph = from_file ? NULL : a;
        assert_int_equal(train_case_graph(&t, true, &from, &g), NB_OK);
        assert_true(values(g, "c1.weight.fq.state")[0] == 0 && values(g, "relu1.fq.state")[1] == 0);
        assert_true(values(g, "c1.weight")[5] == values(a, "c1.weight")[5]);
        assert_true(values(g, "bn2.var")[1] == values(a, "bn2.var")[1]);
        nb_graph_free(g);
    }
    nb_checkpoint_close(t.ctx, c);
    nb_graph_free(a);
    train_case_close(&t);
}

/* Counts, and doubles a weight of the float graph. */
static nb_status before_quant(void *ud, nb_graph *g)
{
    train_case *t = ud;
    assert_false(g->frozen);
    t->entries[g->quantized]++;
    values(g, "c1.weight")[0] *= 2;
    return t->entries[0] < 99 ? NB_OK : nb_fail(g->ctx, NB_E_DIVERGED, "no more");
}

static void what_is_done_before_quantization_sees_the_values_once(void **state)
{
    static const nb_params_mode mode[] = {NB_PARAMS_START, NB_PARAMS_CALIBRATE, NB_PARAMS_MODEL, NB_PARAMS_EXACT};
    for (int32_t fold = 0; fold < 2; fold++) {
        train_case t;
        nb_graph *b;
        open_case(state, &t, fold ? "quant: {batchnorm: fold}\n" : "");
        nb_graph *from[] = {graph_of(&t, false), graph_of(&t, true)}; /* the second without being asked */
        nb_checkpoint *c[2];
        for (int32_t k = 0; k < 2; k++) {
            fill(from[k], 1);
            c[k] = checkpoint_of(*state, from[k], NULL);
            t.before_quant = before_quant;
            for (int32_t m = 0; m < 4; m++) {
                const bool asked = k == 0 || mode[m] == NB_PARAMS_CALIBRATE;
                nb_params_source s = {.file = c[k], .mode = mode[m]};
                t.entries[0] = t.entries[1] = 0;
                if (k == 0 && mode[m] == NB_PARAMS_EXACT)
                    continue;
                assert_int_equal(train_case_graph(&t, true, &s, &b), NB_OK);
                assert_int_equal(t.entries[0], asked);
                assert_int_equal(t.entries[1], 0);
                const float *mul = fold && k == 0 ? values(from[k], "bn1.gamma") : NULL;
                const double unit = mul ? (double)mul[0] / sqrt((double)values(from[k], "bn1.var")[0] + 1e-5) : 1;
                const double want = (asked ? 2 : 1) * unit * (double)values(from[k], "c1.weight")[0];
                assert_float_equal(values(b, "c1.weight")[0], want, 1e-5);
                assert_float_equal(values(b, "c1.weight")[1], unit * (double)values(from[k], "c1.weight")[1], 1e-5);
                assert_float_equal(values(b, "fc.bias")[2], values(from[k], "fc.bias")[2], 0);
                nb_graph_free(b);
            }
        }
        t.entries[0] = 98;
        assert_int_equal(train_case_graph(&t, true, &(nb_params_source){.graph = from[0], .mode = NB_PARAMS_START}, &b),
                         NB_E_DIVERGED);
        t.entries[0] = 0;
        assert_int_equal(train_case_graph(&t, false, &(nb_params_source){.file = c[0]}, &b), NB_OK);
        assert_int_equal(t.entries[0], 0); /* a float network is not on its way anywhere */
        nb_graph_free(b);
        for (int32_t k = 0; k < 2; k++) {
            nb_checkpoint_close(t.ctx, c[k]);
            nb_graph_free(from[k]);
        }
        train_case_close(&t);
    }
}

static void running_out_of_memory_anywhere_is_an_error(void **state)
{
    train_case t;
    nb_graph *g;
    open_case(state, &t, "quant: {batchnorm: fold}\n");
    nb_graph *from = graph_of(&t, false);
    for (int64_t n = 1;; n++) {
        nb_ctx_fail_alloc_at(t.ctx, n);
        nb_status st = train_case_graph(&t, true, &(nb_params_source){.graph = from, .mode = NB_PARAMS_START}, &g);
        if (st == NB_OK)
            break;
        assert_int_equal(st, NB_E_NOMEM);
    }
    nb_ctx_fail_alloc_at(t.ctx, 0);
    nb_graph_free(g);
    nb_graph_free(from);
    train_case_close(&t);
}

/* Weights alone, and not where folding would move them: then they are copied. */
static void lent_weights_are_the_lenders_own(void **state)
{
    static const char *const quant[] = {"quant: {weights: {bits: 8}, activations: {bits: 8}}\n",
                                        "quant: {weights: {bits: 8}, activations: {bits: 8}, batchnorm: fold}\n"};
    for (int32_t fold = 0; fold < 2; fold++) {
        train_case t;
        open_case(state, &t, quant[fold]);
        nb_graph *a = graph_of(&t, false), *b;
        fill(a, 1);
        const float first = values(a, "c1.weight")[0];
        const nb_params_source from = {.graph = a, .mode = NB_PARAMS_CALIBRATE, .lends = true};
        assert_int_equal(train_case_graph(&t, true, &from, &b), NB_OK);
        assert_true((values(a, "c1.weight") == values(b, "c1.weight")) == !fold);
        assert_true(values(a, "fc.bias") != values(b, "fc.bias"));
        assert_memory_equal(values(a, "fc.bias"), values(b, "fc.bias"), 3 * sizeof(float));
        assert_true(values(a, "c1.weight")[0] == first);
        nb_graph_free(b);
        nb_graph_free(a);
        train_case_close(&t);
    }
}

/* What a step would need is known without it. */
static void a_blank_network_is_planned_and_takes_no_memory_for_a_step(void **state)
{
    train_case t;
    open_case(state, &t, "");
    for (int32_t quant = 0; quant < 2; quant++) {
        nb_graph *whole, *blank;
        nb_graph_spec spec = {
            .experiment = &t.exp, .info = nb_data_info(t.train), .max_batch = 8, .quant = quant, .plan = NB_PLAN_TRAIN};
        assert_int_equal(nb_graph_open(t.ctx, &spec, &(nb_params_source){0}, &whole), NB_OK);
        spec.blank = true;
        assert_int_equal(nb_graph_open(t.ctx, &spec, &(nb_params_source){0}, &blank), NB_OK);
        assert_int_equal(blank->planned_bytes, whole->planned_bytes);
        assert_int_equal(blank->param_bytes, whole->param_bytes);
        assert_true(whole->buffer && !blank->buffer);
        assert_null(nb_graph_logits(blank));
        assert_null(nb_graph_find(blank, "c1.weight")->out.grad);
        nb_graph_free(blank);
        nb_graph_free(whole);
    }
    train_case_close(&t);
}

static void a_checkpoint_without_tensors_keeps_its_texts(void **state)
{
    data_fixture *f = *state;
    train_case t;
    open_case(state, &t, "");
    nb_graph *g = graph_of(&t, false);
    nb_checkpoint *c = checkpoint_of(f, g, NULL);
    nb_checkpoint_drop_tensors(f->ctx, c);
    assert_string_equal(c->phase_name, "p");
    assert_null(nb_st_find(c->file, "c1.weight"));
    nb_checkpoint_close(f->ctx, c);
    nb_graph_free(g);
    train_case_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(x) cmocka_unit_test_setup_teardown(x, data_fixture_setup, data_fixture_teardown)
        TEST(all_leaves_come_back_from_a_file),
        TEST(a_quantized_graph_takes_float_values_and_has_observed_nothing),
        TEST(what_is_learned_comes_back_and_begins_anew_where_it_was_not_there),
        TEST(what_one_learning_left_is_not_what_another_means),
        TEST(what_cannot_have_been_learned_is_refused),
        TEST(a_batch_norm_is_folded_on_the_way_into_a_graph_that_folds),
        TEST(averages_are_taken_for_a_model_and_not_for_resuming),
        TEST(a_wrong_shape_is_told_with_both),
        TEST(a_missing_tensor_means_another_network),
        TEST(a_tensor_too_many_means_another_network),
        TEST(values_that_cannot_be_are_named_with_tensor_and_place),
        TEST(range_states_of_another_granularity_start_anew),
        TEST(to_calibrate_every_range_starts_anew),
        TEST(a_quantized_checkpoint_starts_a_float_network),
        TEST(what_is_done_before_quantization_sees_the_values_once),
        TEST(lent_weights_are_the_lenders_own),
        TEST(a_blank_network_is_planned_and_takes_no_memory_for_a_step),
        TEST(a_checkpoint_without_tensors_keeps_its_texts),
        TEST(running_out_of_memory_anywhere_is_an_error),
    };
    return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
