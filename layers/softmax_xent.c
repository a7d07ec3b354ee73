/* softmax_xent.c - softmax and cross entropy: out[0] = mean loss of the batch, out[1] = number of correct answers.
 *
 * With smoothing e the target is 1 - e on the label plus e / classes everywhere, as in PyTorch. Ties of the largest
 * logit go to the lowest index. saved: each image's loss (double), what it counts and whether it was right, of all ranks, then
 * probabilities of those that are here. The sums run in image order. Without labels there is nothing to do: the caller reads the logits.
 *
 * nb_run.terms adds a teacher (Hinton et al. 2015), second labels of mixed images and weights of classes: the loss is then the
 * weighted mean of (1 - share) * cross entropy + share * T^2 * KL(teacher || softmax at T), and in the place of probabilities
 * stands the gradient, which needs more than them. */
#include "layer.h"

#include "base/check.h"
#include "base/measure.h"
#include "core/cut_gather.h"

#include <nibble/extend/lowering.h>

#include <math.h>

enum { ROWS = 16 }; /* images per chunk */

typedef struct {
    float smoothing;
} xent_attr;

static const nb_key xent_keys[] = {
    NB_KEY_FLOAT(xent_attr, smoothing, "0", 0, 1, "share of the target spread evenly over all classes"), {0}};

typedef struct {
    double loss;
    float weight;
    int32_t correct;
} xent_row;

typedef struct {
    const nb_node *n;
    const int32_t *labels;
    const nb_loss_terms *terms;
    int64_t batch, classes;    /* batch: that are here */
    double smoothing, weights; /* weights: their sum */
    xent_row *all, *rows;      /* rows: those of all that are here */
    float *prob;
    bool add;
} xent_job;

static nb_status xent_build(nb_graph *g, nb_node *n)
{
    const nb_tensor *x = &n->in[0]->out;
    int64_t classes = nb_count(x) / x->shape.d[0];
    if (g->info.classes > 0 && classes != g->info.classes)
        return nb_node_fail(g, n, NB_E_SHAPE, "%s gives %lld values per image, the data have %d classes",
                            n->in[0]->name, (long long)classes, g->info.classes);
    n->out.shape = nb_shape_of(1, 2, 0, 0, 0);
    return NB_OK;
}

static nb_status xent_prepare(nb_graph *g, nb_node *n)
{
    const nb_tensor *x = &n->in[0]->out;
    n->saved_bytes = (size_t)n->cut->batch * sizeof(xent_row) + (size_t)nb_count(x) * sizeof(float);
    return nb_layer_need_float(g, n, 0);
}

static xent_job make_job(const nb_node *n, const nb_run *r)
{
    const nb_tensor *x = &n->in[0]->out;
    xent_job j = {.n = n, .labels = r->labels, .terms = r->terms, .batch = x->shape.d[0], .all = n->saved};
    j.classes = nb_count(x) / j.batch;
    j.smoothing = (double)((const xent_attr *)n->attr)->smoothing;
    j.rows = j.all + n->cut->first;
    j.prob = (float *)(void *)(j.all + n->cut->batch);
    j.add = !nb_layer_fresh(n, 0);
    return j;
}

static double target(const xent_job *j, int64_t row, int64_t c)
{
    return (c == j->labels[row] ? 1.0 - j->smoothing : 0.0) + j->smoothing / (double)j->classes;
}

static double mixed_share(const xent_job *j, int64_t row)
{
    return j->terms->other ? (double)j->terms->mixed[row] : 0.0;
}

static double mixed_target(const xent_job *j, int64_t row, int64_t c)
{
    const double m = mixed_share(j, row), other = m > 0 && c == j->terms->other[row] ? m : 0.0;
    return (1.0 - j->smoothing) * ((c == j->labels[row] ? 1.0 - m : 0.0) + other) + j->smoothing / (double)j->classes;
}

static float weight_of(const xent_job *j, int64_t row)
{
    const float *w = j->terms->weight;
    const double m = mixed_share(j, row);
    if (!w)
        return 1.0f;
    return (float)((1.0 - m) * (double)w[j->labels[row]] + (m > 0 ? m * (double)w[j->terms->other[row]] : 0.0));
}

/* log of the sum of exp(x / t). */
static double log_sum_of(const float *x, int64_t n, double t)
{
    const double max = (double)x[nb_argmax_float(x, n)];
    double sum = 0;
    for (int64_t c = 0; c < n; c++)
        sum += exp(((double)x[c] - max) / t);
    return max / t + log(sum);
}

/* As forward_row, with terms: what stands in prob is the gradient of the row's loss. */
static void forward_terms(const xent_job *j, int64_t row)
{
    const nb_loss_terms *s = j->terms;
    const float *x = (const float *)j->n->in[0]->out.data + row * j->classes;
    const float *teacher = s->teacher ? s->teacher + row * j->classes : NULL;
    float *grad = j->prob + row * j->classes;
    const double share = teacher ? (double)s->share : 0.0, t = (double)s->temperature;
    const double own = log_sum_of(x, j->classes, 1.0), soft = teacher ? log_sum_of(x, j->classes, t) : 0.0;
    const double taught = teacher ? log_sum_of(teacher, j->classes, t) : 0.0;
    double loss = 0;
    for (int64_t c = 0; c < j->classes; c++) {
        const double log_p = (double)x[c] - own, want = mixed_target(j, row, c);
        loss -= want != 0.0 ? (1.0 - share) * want * log_p : 0.0;
        double d = (1.0 - share) * (exp(log_p) - want);
        if (teacher) {
            const double log_q = (double)teacher[c] / t - taught, q = exp(log_q), log_s = (double)x[c] / t - soft;
            loss += q > 0.0 ? share * t * t * q * (log_q - log_s) : 0.0;
            d += share * t * (exp(log_s) - q);
        }
        grad[c] = (float)d;
    }
    const int32_t best = nb_argmax_float(x, j->classes);
    j->rows[row] =
        (xent_row){.loss = loss, .weight = weight_of(j, row), .correct = best == j->labels[row] && !isnan(loss)};
}

static void forward_row(const xent_job *j, int64_t row)
{
    const float *x = (const float *)j->n->in[0]->out.data + row * j->classes;
    float *prob = j->prob + row * j->classes;
    NB_ASSERT(j->labels[row] >= 0 && j->labels[row] < j->classes);
    const int32_t best = nb_argmax_float(x, j->classes);
    double max = (double)x[best];
    double sum = 0;
    double loss = 0;
    for (int64_t c = 0; c < j->classes; c++)
        sum += exp((double)x[c] - max);
    double log_sum = max + log(sum);
    for (int64_t c = 0; c < j->classes; c++) {
        double log_p = (double)x[c] - log_sum;
        double share = target(j, row, c);
        prob[c] = (float)exp(log_p);
        loss -= share != 0.0 ? share * log_p : 0.0; /* a share of 0 times log 0 is nothing */
    }
    j->rows[row] = (xent_row){.loss = loss, .weight = 1, .correct = best == j->labels[row] && !isnan(loss)};
}

static void forward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const xent_job *j = arg;
    for (int64_t row = chunk * ROWS; row < nb_chunk_end(j->batch, ROWS, chunk); row++)
        if (j->terms)
            forward_terms(j, row);
        else
            forward_row(j, row);
}

/* Of all rows, which had a forward pass. */
static double sum_of_weights(const xent_job *j)
{
    double sum = 0;
    for (int64_t row = 0; row < j->n->cut->batch; row++)
        sum += (double)j->all[row].weight;
    return sum > 0 ? sum : 1;
}

static void xent_forward(nb_node *n, const nb_run *r)
{
    if (!r->labels)
        return;
    xent_job j = make_job(n, r);
    nb_parallel_for(nb_chunks(j.batch, ROWS), forward_chunk, &j);
    nb_gather_images(n->cut, j.all, sizeof *j.all);
    double loss = 0;
    int64_t correct = 0;
    for (int64_t row = 0; row < n->cut->batch; row++) {
        loss += j.terms ? j.all[row].loss * (double)j.all[row].weight : j.all[row].loss;
        correct += j.all[row].correct;
    }
    float *out = n->out.data;
    out[0] = (float)(loss / (j.terms ? sum_of_weights(&j) : (double)n->cut->batch));
    out[1] = (float)correct;
}

static void backward_row(const xent_job *j, int64_t row)
{
    const double over = j->terms ? j->weights / (double)j->rows[row].weight : (double)j->n->cut->batch;
    const double seed = (double)j->n->out.grad[0] / over;
    float *dx = j->n->in[0]->out.grad + row * j->classes;
    const float *prob = j->prob + row * j->classes;
    for (int64_t c = 0; c < j->classes; c++) {
        const double slope = (double)prob[c] - (j->terms ? 0.0 : target(j, row, c));
        const float d = (float)(slope * seed);
        dx[c] = j->add ? dx[c] + d : d;
    }
}

static void backward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const xent_job *j = arg;
    for (int64_t row = chunk * ROWS; row < nb_chunk_end(j->batch, ROWS, chunk); row++)
        backward_row(j, row);
}

static void xent_backward(nb_node *n, const nb_run *r)
{
    if (!r->labels || !n->in[0]->out.grad)
        return;
    xent_job j = make_job(n, r);
    j.weights = j.terms ? sum_of_weights(&j) : 0;
    nb_parallel_for(nb_chunks(j.batch, ROWS), backward_chunk, &j);
}

static nb_status xent_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_output(lo, n);
}

const nb_op nb_op_softmax_xent = {
    .name = "softmax_xent",
    .help = "the loss: cross entropy of the softmax of its input",
    .keys = xent_keys,
    .attr_size = sizeof(xent_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_SETS,
    .role = NB_ROLE_LOSS,
    .build = xent_build,
    .prepare = xent_prepare,
    .forward = xent_forward,
    .backward = xent_backward,
    .lower = xent_lower,
    .examples = (const char *const[]){"softmax_xent", "softmax_xent: {smoothing: 0.1}", NULL},
};
