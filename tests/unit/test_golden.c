/* test_golden.c - Nibble against PyTorch, by the numbers in tests/golden (make_golden.py writes them): every layer
 * forward and backward, fake quantization, and 20 training steps of a small network. Run from the top of the tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ref/one_thread.h"

#include "base/parallel.h"
#include "base/safetensors.h"
#include "quant/fakequant.h"
#include "ref/node_check.h"

#include <math.h>
#include <nibble/extend/optimizer.h>
#include <nibble/model.h>
#include <nibble/train.h>

static nb_st_file *golden(const char *name)
{
    char path[128];
    nb_st_file *f;
    snprintf(path, sizeof path, "tests/golden/%s.safetensors", name);
    assert_ok(nb_st_open(ctx, path, &f));
    return f;
}

/* "<case>.<what>"; NULL when absent. */
static const nb_st_tensor *part(const nb_st_file *f, int32_t k, const char *what)
{
    char name[128];
    snprintf(name, sizeof name, "%d.%s", k, what);
    return nb_st_find(f, name);
}

static const nb_st_tensor *must(const nb_st_file *f, int32_t k, const char *what)
{
    const nb_st_tensor *t = part(f, k, what);
    if (!t)
        fail_msg("%s: no %d.%s", nb_st_name(f), k, what);
    return t;
}

static void assert_near(const float *got, const nb_st_tensor *want, double bound)
{
    const float *w = want->data;
    double size = 1e-6, worst = 0;
    for (int64_t i = 0; i < want->count; i++)
        size = fmax(size, fabs((double)w[i]));
    for (int64_t i = 0; i < want->count; i++) {
        double e = fabs((double)got[i] - (double)w[i]) / size;
        worst = isnan(e) ? INFINITY : fmax(worst, e);
    }
    if (worst > bound)
        fail_msg("%s: relative error %g", want->name, worst);
}

/* A source whose values a test writes: stands for "whatever came before". */
static nb_status given_build(nb_graph *g, nb_node *n)
{
    (void)g;
    n->out.shape = *(const nb_shape *)n->attr;
    return NB_OK;
}

static const nb_op op_given = {
    .name = "given", .attr_size = sizeof(nb_shape), .role = NB_ROLE_INPUT, .build = given_build};

static nb_shape shape_of(const nb_st_tensor *t)
{
    nb_shape s = {.ndim = t->ndim};
    for (int32_t i = 0; i < t->ndim && i < NB_MAX_DIM; i++)
        s.d[i] = (int32_t)t->shape[i];
    return s;
}

/* Graph: given x (x1, x2) -> op called "x" -> loss. */
typedef struct {
    nb_graph *g;
    nb_node *n;
    nb_config *cfg;
} bench;

static nb_node *add_given(nb_graph *g, const char *name, const nb_st_tensor *t)
{
    nb_node *x;
    nb_shape s = shape_of(t);
    assert_ok(nb_graph_add(g, &op_given, name, NULL, &s, NULL, 0, &x));
    return x;
}

static void finish_bench(bench *b)
{
    if (b->n->op->role != NB_ROLE_LOSS)
        assert_ok(nb_graph_add(b->g, nb_registry_find(nb_layers, "softmax_xent"), "loss", NULL, NULL, &b->n, 1, NULL));
    assert_ok(nb_graph_freeze(b->g, NB_PLAN_TRAIN));
}

/* The layers of a map, one behind the other; the last is called \"x\". */
static nb_node *add_layers(nb_graph *g, const nb_conf *map, nb_node *const *in, int32_t n_in)
{
    nb_node *x = NULL;
    for (int32_t i = 0; i < nb_conf_count(map); i++) {
        const nb_op *op = nb_registry_find(nb_layers, nb_conf_key_at(map, i));
        assert_non_null(op);
        void *attr = calloc(1, op->attr_size + 1);
        assert_non_null(attr);
        nb_binding bind = {op->keys, attr};
        if (op->keys)
            assert_ok(nb_conf_bind(ctx, nb_conf_at(map, i), "golden", &bind, 1));
        const bool last = i + 1 == nb_conf_count(map);
        assert_ok(nb_graph_add(g, op, last ? "x" : "before", NULL, attr, x ? &x : in, x ? 1 : n_in, &x));
        free(attr);
    }
    return x;
}

static bench layer_bench(const nb_st_file *f, int32_t k, const char *text)
{
    bench b = {0};
    nb_dsinfo info = {0};
    nb_node *in[3];
    int32_t n_in = 0;
    const char *names[] = {"x", "x1", "x2"};
    assert_ok(nb_graph_create(ctx, &info, (int32_t)must(f, k, "x")->shape[0], &b.g));
    for (; n_in < 3 && part(f, k, names[n_in]); n_in++) {
        char name[16];
        snprintf(name, sizeof name, "in%d", n_in);
        in[n_in] = add_given(b.g, name, part(f, k, names[n_in]));
    }
    assert_ok(nb_config_parse(ctx, "golden", text, strlen(text), NULL, 0, &b.cfg));
    b.n = add_layers(b.g, nb_config_root(b.cfg), in, n_in);
    finish_bench(&b);
    return b;
}

static void free_bench(bench *b)
{
    nb_graph_free(b->g);
    nb_config_free(ctx, b->cfg);
}

/* The golden name of in[k]: "x", "x1", ... for activations, the leaf's own name after the dot otherwise. */
static const char *golden_name(const nb_node *n, int32_t k)
{
    static const char *const activations[] = {"x", "x1", "x2"};
    return n->in[k]->flags & NB_NODE_LEAF ? strchr(n->in[k]->name, '.') + 1 : activations[k];
}

static void check_case(const nb_st_file *f, int32_t k, const char *text)
{
    bench b = layer_bench(f, k, text);
    nb_node *n = b.n;
    float *grad[NB_MAX_IN] = {0};
    const nb_st_tensor *labels = part(f, k, "labels"), *train = part(f, k, "train"), *y = must(f, k, "y");
    nb_run r = {.train = train ? *(const int32_t *)train->data != 0 : true, .labels = labels ? labels->data : NULL};
    for (int32_t i = 0; i < n->n_in; i++) {
        const nb_st_tensor *t = must(f, k, golden_name(n, i));
        assert_true(t->count == nb_count(&n->in[i]->out));
        memcpy(n->in[i]->out.data, t->data, t->bytes);
    }
    if (n->op->forward)
        n->op->forward(n, &r);
    assert_near(n->out.data, y, 1e-5);
    float *dy = nb_alloc(ctx, y->bytes);
    assert_non_null(dy);
    memcpy(dy, must(f, k, "dy")->data, y->bytes);
    n->out.grad = dy;
    for (int32_t i = 0; i < n->n_in; i++) {
        char name[64];
        snprintf(name, sizeof name, "d.%s", golden_name(n, i));
        if (part(f, k, name))
            grad[i] = nb_alloc(ctx, part(f, k, name)->bytes);
        n->in[i]->out.grad = grad[i];
    }
    n->fresh = 0xff;
    n->op->backward(n, &r);
    for (int32_t i = 0; i < n->n_in; i++) {
        char name[64];
        snprintf(name, sizeof name, "d.%s", golden_name(n, i));
        if (grad[i])
            assert_near(grad[i], part(f, k, name), 1e-5);
        snprintf(name, sizeof name, "after.%s", golden_name(n, i));
        if (part(f, k, name))
            assert_near(n->in[i]->out.data, part(f, k, name), 1e-5);
        nb_free(ctx, grad[i]);
    }
    nb_free(ctx, dy);
    free_bench(&b);
}

/* The same for a transposed convolution, which is two layers. */
static void check_two(const nb_st_file *f, int32_t k, const char *text)
{
    bench b = layer_bench(f, k, text);
    nb_node *n = b.n, *zeros = n->in[0], *own[3] = {zeros->in[0], n->in[1], n->in[2]};
    const char *names[3] = {"x", "weight", "bias"};
    const nb_run r = {.train = true};
    float *grad[4] = {nb_alloc(ctx, (size_t)nb_count(&zeros->out) * sizeof(float))}, *dy;
    for (int32_t i = 0; i < 3; i++) {
        memcpy(own[i]->out.data, must(f, k, names[i])->data, must(f, k, names[i])->bytes);
        own[i]->out.grad = grad[i + 1] = nb_alloc(ctx, must(f, k, names[i])->bytes);
        assert_non_null(grad[i + 1]);
    }
    zeros->op->forward(zeros, &r);
    n->op->forward(n, &r);
    assert_near(n->out.data, must(f, k, "y"), 1e-5);
    n->out.grad = dy = nb_alloc(ctx, must(f, k, "dy")->bytes);
    zeros->out.grad = grad[0];
    assert_true(dy && grad[0]);
    memcpy(dy, must(f, k, "dy")->data, must(f, k, "dy")->bytes);
    n->fresh = zeros->fresh = 0xff;
    n->op->backward(n, &r);
    zeros->op->backward(zeros, &r);
    for (int32_t i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "d.%s", names[i]);
        assert_near(grad[i + 1], must(f, k, name), 1e-5);
    }
    for (int32_t i = 0; i < 4; i++)
        nb_free(ctx, grad[i]);
    nb_free(ctx, dy);
    free_bench(&b);
}

static int32_t check_file(const char *name)
{
    nb_st_file *f = golden(name);
    int32_t k = 0;
    for (char key[32];; k++) {
        snprintf(key, sizeof key, "%d.layer", k);
        const char *text = nb_st_meta(f, key);
        if (!text)
            break;
        (strchr(text, '\n') ? check_two : check_case)(f, k, text);
    }
    nb_st_close(ctx, f);
    return k;
}

static void convolutions_equal_pytorch(void **state)
{
    (void)state;
    assert_int_equal(check_file("conv2d"), 5);
    assert_int_equal(check_file("dwconv2d"), 3);
}

static void moved_values_and_transposed_convolutions_equal_pytorch(void **state)
{
    (void)state;
    assert_int_equal(check_file("moves"), 13);
}

static void linear_equals_pytorch(void **state)
{
    (void)state;
    assert_int_equal(check_file("linear"), 2);
}

static void batch_norm_equals_pytorch_in_training_and_frozen(void **state)
{
    (void)state;
    assert_int_equal(check_file("batchnorm"), 3);
}

static void relu_pools_joins_and_loss_equal_pytorch(void **state)
{
    (void)state;
    assert_int_equal(check_file("simple"), 10);
}

static void activations_equal_pytorch(void **state)
{
    (void)state;
    assert_int_equal(check_file("activations"), 23);
}

static void check_fakequant(const nb_st_file *f, int32_t k, const char *kind)
{
    char what[32];
    int bits, channels;
    assert_int_equal(sscanf(kind, "%d %31s %d", &bits, what, &channels), 3);
    bench b = {0};
    nb_dsinfo info = {0};
    const nb_st_tensor *x = must(f, k, "x"), *dx = must(f, k, "d.x");
    nb_fakequant_attr a = {.format = nb_registry_find(nb_formats, "uniform"),
                           .range = nb_registry_find(nb_ranges, "minmax"),
                           .learning = nb_registry_find(nb_learnings, "none"),
                           .bits = bits,
                           .weights = what[0] == 'w',
                           .per_channel = channels > 1};
    a.scheme = a.weights ? NB_SCHEME_SYMMETRIC : NB_SCHEME_ASYMMETRIC;
    assert_ok(nb_graph_create(ctx, &info, (int32_t)x->shape[0], &b.g));
    nb_node *in = add_given(b.g, "in", x), *fq;
    assert_ok(nb_graph_add(b.g, &nb_op_fakequant, "x", NULL, &a, &in, 1, &fq));
    assert_ok(nb_graph_add(b.g, &nb_op_dequantize, "real", NULL, NULL, &fq, 1, &b.n));
    finish_bench(&b);
    float *state = fq->in[1]->out.data, *grad = nb_alloc(ctx, dx->bytes);
    for (int32_t c = 0; c < channels; c++) {
        state[3 * c] = ((const float *)must(f, k, "lo")->data)[c];
        state[3 * c + 1] = ((const float *)must(f, k, "hi")->data)[c];
        state[3 * c + 2] = 1.0f; /* observed */
    }
    memcpy(in->out.data, x->data, x->bytes);
    nb_run r = {.train = true, .freeze_ranges = true};
    fq->op->forward(fq, &r);
    assert_near(fq->out.q->scale, must(f, k, "scale"), 0);
    assert_memory_equal(fq->out.q->zero, must(f, k, "zero")->data, (size_t)channels * sizeof(int32_t));
    double *y = node_values(&fq->out);
    assert_non_null(y);
    for (int64_t i = 0; i < x->count; i++)
        grad[i] = (float)y[i];
    free(y);
    assert_near(grad, must(f, k, "y"), 1e-7);
    fq->out.grad = nb_alloc(ctx, dx->bytes);
    assert_true(fq->out.grad && grad);
    memcpy(fq->out.grad, must(f, k, "dy")->data, dx->bytes);
    in->out.grad = grad;
    fq->fresh = 1;
    fq->op->backward(fq, &r);
    assert_near(grad, dx, 0);
    nb_free(ctx, fq->out.grad);
    nb_free(ctx, grad);
    free_bench(&b);
}

static void fake_quantization_equals_pytorch_per_tensor_per_channel_and_asymmetric(void **state)
{
    (void)state;
    nb_st_file *f = golden("fakequant");
    int32_t k = 0;
    for (char key[32];; k++) {
        snprintf(key, sizeof key, "%d.fakequant", k);
        const char *kind = nb_st_meta(f, key);
        if (!kind)
            break;
        check_fakequant(f, k, kind);
    }
    assert_int_equal(k, 8);
    nb_st_close(ctx, f);
}

typedef struct {
    char method[32], format[32], what[32];
    int bits, channels;
    const nb_st_tensor *param, *d_param;
} learned_case;

/* The range of every channel, and what is learned. */
static void set_learned(const nb_st_file *f, int32_t k, const learned_case *c, const nb_node *fq)
{
    float *state = fq->in[1]->out.data;
    for (int32_t i = 0; !c->param && i < c->channels; i++)
        state[3 * i + 2] = 1.0f; /* whatever the range is */
    for (int32_t i = 0; c->param && i < c->channels; i++) {
        state[3 * i] = ((const float *)must(f, k, "lo")->data)[i];
        state[3 * i + 1] = ((const float *)must(f, k, "hi")->data)[i];
        state[3 * i + 2] = 1.0f; /* observed */
    }
    if (c->param)
        memcpy(fq->in[2]->out.data, c->param->data, c->param->bytes);
}

static void check_learned(const nb_st_file *f, int32_t k, const learned_case *c)
{
    bench b = {0};
    nb_dsinfo info = {0};
    const struct {
        nb_learning_keys keys;
        float threshold;
    } keys = {{.lr = 1}, 0.05f};
    const nb_st_tensor *x = must(f, k, "x"), *dx = must(f, k, "d.x");
    nb_fakequant_attr a = {.format = nb_registry_find(nb_formats, c->format),
                           .range = nb_registry_find(nb_ranges, "minmax"),
                           .learning = nb_registry_find(nb_learnings, c->method),
                           .learning_attr = &keys,
                           .bits = c->bits,
                           .weights = c->what[0] == 'w',
                           .per_channel = c->channels > 1};
    a.scheme = a.weights ? NB_SCHEME_SYMMETRIC : NB_SCHEME_ASYMMETRIC;
    assert_ok(nb_graph_create(ctx, &info, (int32_t)x->shape[0], &b.g));
    nb_node *in = add_given(b.g, "in", x), *fq;
    assert_ok(nb_graph_add(b.g, &nb_op_fakequant, "x", NULL, &a, &in, 1, &fq));
    assert_ok(nb_graph_add(b.g, &nb_op_dequantize, "real", NULL, NULL, &fq, 1, &b.n));
    finish_bench(&b);
    set_learned(f, k, c, fq);
    memcpy(in->out.data, x->data, x->bytes);
    nb_run r = {.train = true};
    fq->op->forward(fq, &r);
    float *grad = nb_alloc(ctx, dx->bytes);
    double *y = node_values(&fq->out);
    assert_true(y && grad);
    for (int64_t i = 0; i < x->count; i++)
        grad[i] = (float)y[i];
    free(y);
    assert_near(grad, must(f, k, "y"), 1e-7);
    float *dy = nb_alloc(ctx, dx->bytes);
    assert_non_null(dy);
    memcpy(dy, must(f, k, "dy")->data, dx->bytes);
    fq->out.grad = dy;
    in->out.grad = grad;
    fq->fresh = 1;
    fq->op->backward(fq, &r);
    assert_near(grad, dx, 1e-6);
    if (c->param)
        assert_near(fq->in[2]->out.grad, c->d_param, 1e-5);
    nb_free(ctx, dy);
    nb_free(ctx, grad);
    free_bench(&b);
}

static void learned_step_sizes_have_pytorchs_gradients(void **state)
{
    (void)state;
    nb_st_file *f = golden("lsq");
    int32_t k = 0;
    for (char key[32];; k++) {
        learned_case c = {.method = "lsq", .format = "uniform"};
        snprintf(key, sizeof key, "%d.lsq", k);
        const char *kind = nb_st_meta(f, key);
        if (!kind)
            break;
        assert_int_equal(sscanf(kind, "%d %31s %d", &c.bits, c.what, &c.channels), 3);
        c.param = must(f, k, "scale");
        c.d_param = must(f, k, "d.scale");
        check_learned(f, k, &c);
    }
    assert_int_equal(k, 7);
    nb_st_close(ctx, f);
}

static void learned_offsets_zero_points_thresholds_and_clips_have_pytorchs_gradients(void **state)
{
    (void)state;
    nb_st_file *f = golden("learned");
    int32_t k = 0;
    for (char key[32];; k++) {
        learned_case c;
        snprintf(key, sizeof key, "%d.learned", k);
        const char *kind = nb_st_meta(f, key);
        if (!kind)
            break;
        assert_int_equal(sscanf(kind, "%31s %31s %d %31s %d", c.method, c.format, &c.bits, c.what, &c.channels), 5);
        c.param = must(f, k, "param");
        c.d_param = must(f, k, "d.param");
        check_learned(f, k, &c);
    }
    assert_int_equal(k, 14);
    nb_st_close(ctx, f);
}

static void dorefas_weights_and_activations_have_pytorchs_gradients(void **state)
{
    (void)state;
    nb_st_file *f = golden("dorefa");
    int32_t k = 0;
    for (char key[32];; k++) {
        learned_case c = {.method = "dorefa", .channels = 1};
        snprintf(key, sizeof key, "%d.dorefa", k);
        const char *kind = nb_st_meta(f, key);
        if (!kind)
            break;
        assert_int_equal(sscanf(kind, "%d %31s", &c.bits, c.what), 2);
        snprintf(c.format, sizeof c.format, "%s", c.what[0] == 'w' ? "odd" : "uniform");
        check_learned(f, k, &c);
    }
    assert_int_equal(k, 5);
    nb_st_close(ctx, f);
}

/* One SGD step (momentum, Nesterov) on every parameter; moments stand in the order of nodes. */
static void sgd_step(nb_graph *g, float *moments, int64_t t)
{
    const nb_optimizer *sgd = nb_registry_find(nb_optimizers, "sgd");
    char attr[64] = {0};
    const char *text = "{momentum: 0.9, nesterov: yes}";
    nb_config *cfg;
    assert_non_null(sgd);
    assert_true(sgd->attr_size <= sizeof attr);
    assert_ok(nb_config_parse(ctx, "sgd", text, strlen(text), NULL, 0, &cfg));
    nb_binding bind = {sgd->keys, attr};
    assert_ok(nb_conf_bind(ctx, nb_config_root(cfg), "sgd", &bind, 1));
    for (int32_t i = 0; i < g->n; i++) {
        nb_node *p = g->node[i];
        if (!(p->flags & NB_NODE_PARAM))
            continue;
        nb_step_args args = {.lr = 0.1f, .weight_decay = p->flags & NB_NODE_DECAY ? 5e-4f : 0.0f, .t = t};
        sgd->update(attr, &args, p->out.data, p->out.grad, &moments, nb_count(&p->out));
        moments += nb_count(&p->out);
    }
    nb_config_free(ctx, cfg);
}

static void twenty_training_steps_follow_pytorch(void **state)
{
    (void)state;
    nb_st_file *f = golden("train");
    const char *text = nb_st_meta(f, "model");
    const nb_st_tensor *pixels = nb_st_find(f, "pixels"), *labels = nb_st_find(f, "labels"),
                       *losses = nb_st_find(f, "losses");
    assert_true(text && pixels && labels && losses);
    nb_dsinfo info = {.h = (int32_t)pixels->shape[2], .w = (int32_t)pixels->shape[3], .c = 3, .classes = 4};
    nb_config *cfg;
    nb_graph *g;
    assert_ok(nb_config_parse(ctx, "golden", text, strlen(text), NULL, 0, &cfg));
    nb_experiment exp = {.model = nb_conf_get(nb_config_root(cfg), "model")};
    assert_ok(nb_model_build(ctx, &exp, &info, (int32_t)pixels->shape[1], &g));
    assert_ok(nb_graph_freeze(g, NB_PLAN_TRAIN));
    int64_t values = 0, steps = pixels->shape[0];
    for (int32_t i = 0; i < g->n; i++) {
        const nb_st_tensor *t = nb_st_find(f, g->node[i]->name);
        if (t)
            memcpy(g->node[i]->out.data, t->data, t->bytes);
        values += g->node[i]->flags & NB_NODE_PARAM ? nb_count(&g->node[i]->out) : 0;
    }
    float *moments = calloc((size_t)values, sizeof *moments);
    assert_non_null(moments);
    for (int64_t s = 0; s < steps; s++) {
        nb_run r = {.train = true};
        r.pixels = (const uint8_t *)pixels->data + (size_t)s * (pixels->bytes / (size_t)steps);
        r.labels = (const int32_t *)labels->data + s * pixels->shape[1];
        nb_forward(g, &r);
        double e = fabs((double)nb_graph_loss(g) - (double)((const float *)losses->data)[s]);
        if (e > 1e-4)
            fail_msg("step %d: loss %.7f, PyTorch %.7f", (int)s, (double)nb_graph_loss(g),
                     (double)((const float *)losses->data)[s]);
        nb_backward(g, &r);
        sgd_step(g, moments, s + 1);
    }
    assert_near(nb_graph_find(g, "fc.weight")->out.data, nb_st_find(f, "after.fc.weight"), 1e-3);
    assert_near(nb_graph_find(g, "b2.var")->out.data, nb_st_find(f, "after.b2.var"), 1e-3);
    free(moments);
    nb_graph_free(g);
    nb_config_free(ctx, cfg);
    nb_st_close(ctx, f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_equal_pytorch),
        cmocka_unit_test(moved_values_and_transposed_convolutions_equal_pytorch),
        cmocka_unit_test(activations_equal_pytorch),
        cmocka_unit_test(linear_equals_pytorch),
        cmocka_unit_test(batch_norm_equals_pytorch_in_training_and_frozen),
        cmocka_unit_test(relu_pools_joins_and_loss_equal_pytorch),
        cmocka_unit_test(learned_step_sizes_have_pytorchs_gradients),
        cmocka_unit_test(dorefas_weights_and_activations_have_pytorchs_gradients),
        cmocka_unit_test(learned_offsets_zero_points_thresholds_and_clips_have_pytorchs_gradients),
        cmocka_unit_test(fake_quantization_equals_pytorch_per_tensor_per_channel_and_asymmetric),
        cmocka_unit_test(twenty_training_steps_follow_pytorch),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
