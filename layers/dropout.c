/* dropout.c - in training, sets a share p of the values to 0 and scales the others by 1 / (1 - p).
 *
 * The mask is a pure function of (seed, step, node name, element): backward computes it again instead of storing it,
 * and it is the same for any number of threads and after resume. Identity in evaluation; left out of quantized graphs.
 */
#include "layer.h"

#include "base/check.h"
#include "base/rng.h"

#include <nibble/extend/lowering.h>

#include <math.h>

typedef struct {
    float p;
} dropout_attr;

static const nb_key dropout_keys[] = {NB_KEY_FLOAT(dropout_attr, p, "0.5", 0, 0.99, "share of values set to 0"), {0}};

typedef struct {
    float *to;
    const float *from;
    int64_t count, first; /* first: the number, in the whole batch, of the first value that is here */
    uint64_t key;
    uint32_t below; /* 16-bit words below this drop their value */
    float scale;
    bool add;
} dropout_job;

static nb_status dropout_build(nb_graph *g, nb_node *n)
{
    (void)g;
    n->out.shape = n->in[0]->out.shape;
    n->flags |= n->in[0]->flags & NB_NODE_NONNEGATIVE;
    return NB_OK;
}

static nb_status dropout_prepare(nb_graph *g, nb_node *n)
{
    return nb_layer_need_float(g, n, 0);
}

static void drop_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const dropout_job *j = arg;
    int64_t end = nb_chunk_end(j->count, NB_LAYER_GRAIN, chunk);
    for (int64_t i = chunk * NB_LAYER_GRAIN, next; i < end; i = next) { /* up to the next eighth number */
        const int64_t at = j->first + i;
        uint32_t word[4];
        nb_philox(word, j->key, (uint64_t)at / 8, 0);
        next = i + 8 - at % 8 < end ? i + 8 - at % 8 : end;
        for (int64_t k = at % 8; i < next; i++, k++) {
            /* a product, not a branch: the predictor cannot learn random bits */
            float v = j->from[i] * (j->scale * (float)((word[k / 2] >> k % 2 * 16 & 0xffff) >= j->below));
            j->to[i] = j->add ? j->to[i] + v : v;
        }
    }
}

static void drop(const nb_node *n, const nb_run *r, float *to, const float *from, bool add)
{
    double p = r->train ? (double)((const dropout_attr *)n->attr)->p : 0.0;
    int64_t count = nb_count(&n->out);
    if (p <= 0.0) {
        nb_layer_pass_grad(to, from, count, !add);
        return;
    }
    dropout_job j = {.to = to, .from = from, .count = count, .below = (uint32_t)lround(p * 65536), .add = add};
    j.key = nb_mix(nb_mix(r->seed, r->step), nb_hash_text(n->name));
    j.first = count / n->cut->images * n->cut->first;
    j.scale = (float)(65536.0 / (65536.0 - j.below)); /* what is really kept */
    nb_parallel_for(nb_chunks(count, NB_LAYER_GRAIN), drop_chunk, &j);
}

static void dropout_forward(nb_node *n, const nb_run *r)
{
    drop(n, r, n->out.data, n->in[0]->out.data, false);
}

static void dropout_backward(nb_node *n, const nb_run *r)
{
    if (n->in[0]->out.grad)
        drop(n, r, n->in[0]->out.grad, n->out.grad, !nb_layer_fresh(n, 0));
}

static nb_status dropout_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_same(lo, n);
}

const nb_op nb_op_dropout = {
    .name = "dropout",
    .help = "in training, sets a random share of the values to 0",
    .keys = dropout_keys,
    .attr_size = sizeof(dropout_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_SETS | NB_OP_TRAIN_ONLY | NB_OP_KEEPS_MEAN,
    .role = NB_ROLE_KEEP,
    .build = dropout_build,
    .prepare = dropout_prepare,
    .forward = dropout_forward,
    .backward = dropout_backward,
    .lower = dropout_lower,
    .examples = (const char *const[]){"dropout", "dropout: {p: 0.2}", NULL},
};
