/* test_fusion.c - fused steps give the same bits as node by node: random networks, float and quantized, in every mode a
 * training can be in. Compared after every step: loss, logits, every parameter, gradient, statistic and range. */
#include "ref/random_network.h"
#include "ref/street.h"

#include <nibble/extend/fusion.h>

#include "base/parallel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NETWORKS = 80, BATCH = 7, THREADS = 3 };

typedef struct {
    ref_street street[2]; /* fused, node by node */
    uint8_t *pixels;
    int32_t labels[BATCH];
    char text[REF_NETWORK_BYTES];
    int32_t chains; /* fused ones seen, by length */
} pair;

static void assert_same(const pair *p, const char *what, const char *name, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (memcmp(&a[i], &b[i], sizeof *a) == 0 || (isnan(a[i]) && isnan(b[i])))
            continue;
        print_error("%s\n%s of %s: value %lld is %.9g fused and %.9g node by node\n", p->text, what, name, (long long)i,
                    (double)a[i], (double)b[i]);
        fail();
    }
}

static void assert_equal_leaves(const pair *p)
{
    const nb_graph *a = p->street[0].graph, *b = p->street[1].graph;
    assert_int_equal(a->n, b->n);
    for (int32_t i = 0; i < a->n; i++) {
        const nb_node *x = a->node[i], *y = b->node[i];
        if (!(x->flags & NB_NODE_LEAF))
            continue;
        assert_same(p, "value", x->name, x->out.data, y->out.data, nb_count(&x->out));
        if (x->out.grad)
            assert_same(p, "gradient", x->name, x->out.grad, y->out.grad, nb_count(&x->out));
    }
}

static void step(nb_graph *g, const nb_run *r, float *logits)
{
    nb_forward(g, r);
    memcpy(logits, nb_graph_logits(g), (size_t)(g->batch * g->info.classes) * sizeof *logits);
    if (!r->train)
        return;
    nb_backward(g, r);
    for (int32_t i = 0; i < g->n; i++) {
        nb_node *n = g->node[i];
        float *w = n->out.data;
        for (int64_t k = 0; (n->flags & NB_NODE_PARAM) && k < nb_count(&n->out); k++)
            w[k] -= 0.02f * n->out.grad[k];
    }
}

/* The fused graph on several threads, the other on one. */
static void run_both(pair *p, nb_run r)
{
    nb_graph *a = p->street[0].graph, *b = p->street[1].graph;
    r.pixels = p->pixels;
    r.labels = p->labels;
    float logits[2][BATCH * 4];
    assert_int_equal(a->info.classes, 4);
    nb_set_threads(THREADS);
    step(a, &r, logits[0]);
    nb_set_threads(1);
    step(b, &r, logits[1]);
    float loss[2] = {nb_graph_loss(a), nb_graph_loss(b)};
    assert_same(p, "loss", "the network", &loss[0], &loss[1], 1);
    assert_same(p, "logits", "the network", logits[0], logits[1], (int64_t)a->batch * 4);
    assert_equal_leaves(p);
}

static void open_pair(pair *p, int32_t seed, bool quantized)
{
    *p = (pair){.chains = 0};
    ref_network_text_residual(seed, p->text);
    if (quantized && seed % 3 == 0)
        ref_network_fold_corrected(p->text); /* if it can */
    nb_set_threads(THREADS);
    for (int32_t i = 0; i < 2; i++) {
        ref_street *s = &p->street[i];
        assert_int_equal(ref_street_open(s, p->text, BATCH, REF_FLOAT), NB_OK);
        ref_network_disturb(seed, s->graph);
        if (quantized)
            assert_int_equal(nb_model_quantize(s->graph, s->exp.quant), NB_OK);
        if (i == 1)
            s->graph->fusions = NULL;
        nb_status st = nb_graph_freeze(s->graph, NB_PLAN_TRAIN);
        if (st != NB_OK)
            print_error("%s\n%s\n", p->text, nb_ctx_error(s->ctx));
        assert_int_equal(st, NB_OK);
    }
    const nb_graph *g = p->street[0].graph;
    size_t bytes = (size_t)g->info.h * (size_t)g->info.w * (size_t)g->info.c;
    p->pixels = calloc(BATCH, bytes);
    for (int32_t i = 0; i < BATCH; i++)
        nb_data_get(p->street[0].train, i, p->pixels + (size_t)i * bytes, &p->labels[i]);
    for (int32_t i = 0; i < g->n_steps; i++)
        p->chains += g->step[i].n > 1;
    for (int32_t i = 0; i < p->street[1].graph->n_steps; i++)
        assert_null(p->street[1].graph->step[i].fusion);
}

static void close_pair(pair *p)
{
    for (int32_t i = 0; i < 2; i++)
        ref_street_close(&p->street[i]);
    free(p->pixels);
}

/* Returns the number of fused chains. */
static int32_t one_network(int32_t seed, bool quantized)
{
    pair p;
    open_pair(&p, seed, quantized);
    nb_run train = {.train = true, .seed = 5};
    for (train.step = 0; train.step < 3; train.step++)
        run_both(&p, train);
    run_both(&p, (nb_run){.train = false});
    for (int32_t mode = 1; mode < 4; mode++) {
        train.freeze_bn = mode & 1;
        train.freeze_ranges = mode & 2;
        run_both(&p, train);
        train.step++;
    }
    for (int32_t i = 0; i < 2; i++) /* a short batch in the same plan */
        nb_graph_set_batch(p.street[i].graph, 3);
    run_both(&p, (nb_run){.train = true, .seed = 5, .step = 99});
    run_both(&p, (nb_run){.train = false});
    close_pair(&p);
    return p.chains;
}

static void all_networks(bool quantized)
{
    const char *from = getenv("NB_TEST_SEED"), *count = getenv("NB_TEST_NETWORKS");
    int32_t first = from ? atoi(from) : 0, n = count ? atoi(count) : NETWORKS, chains = 0;
    int32_t threads = nb_threads();
    for (int32_t i = first; i < first + n; i++)
        chains += one_network(i, quantized);
    nb_set_threads(threads);
    print_message("%d fused chains\n", chains);
    assert_true(chains >= n); /* there was something to compare */
}

static void fused_float_networks_give_the_same_bits_as_node_by_node(void **state)
{
    (void)state;
    all_networks(false);
}

static void fused_quantized_networks_give_the_same_bits_as_node_by_node(void **state)
{
    (void)state;
    all_networks(true);
}

/* One image with a huge value: infinities and NaNs take the same way, and spoil no range. */
static void numbers_that_are_not_finite_do_so_too(void **state)
{
    (void)state;
    for (int32_t seed = 0; seed < 12; seed++) {
        pair p;
        open_pair(&p, seed, seed % 2);
        run_both(&p, (nb_run){.train = true});
        for (int32_t i = 0; i < 2; i++) {
            nb_graph *g = p.street[i].graph;
            for (int32_t k = 0; k < g->n; k++)
                if (strstr(g->node[k]->name, ".beta") && seed % 3)
                    ((float *)g->node[k]->out.data)[0] = seed % 3 == 1 ? INFINITY : NAN;
                else if (strstr(g->node[k]->name, ".weight") && seed % 3 == 0)
                    ((float *)g->node[k]->out.data)[0] = 3e38f;
        }
        run_both(&p, (nb_run){.train = true, .step = 1});
        run_both(&p, (nb_run){.train = true, .freeze_bn = true, .step = 2});
        close_pair(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fused_float_networks_give_the_same_bits_as_node_by_node),
        cmocka_unit_test(fused_quantized_networks_give_the_same_bits_as_node_by_node),
        cmocka_unit_test(numbers_that_are_not_finite_do_so_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
