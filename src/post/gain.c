/* gain.c - see gain.h. */
#include "post/gain.h"

#include <nibble/extend/op.h>

#include "base/check.h"
#include "core/score.h"
#include "post/paired.h"

#include <math.h>

enum { MOST_OUTPUTS = 1 << 24 /* that are kept, of all images */, ENOUGH_IMAGES = 64 /* for a loss to judge by */ };

/* By which a network is better than a guess. */
static const double STANDARD_ERRORS = 3;

struct nb_post_reference {
    float *outputs;  /* [n][classes]; NULL: not looked at yet */
    int32_t *labels; /* [n] */
    int32_t n;
    bool by_loss;
};

nb_status nb_post_reference_create(nb_ctx *ctx, struct nb_post_reference **out)
{
    struct nb_post_reference *r = nb_alloc(ctx, sizeof *r);
    if (r)
        *out = r;
    return r ? NB_OK : NB_E_NOMEM;
}

void nb_post_reference_free(nb_ctx *ctx, struct nb_post_reference *r)
{
    if (r) {
        nb_free(ctx, r->outputs);
        nb_free(ctx, r->labels);
    }
    nb_free(ctx, r);
}

static float *new_outputs(const nb_graph *g, int32_t n)
{
    return nb_alloc(g->ctx, (size_t)n * (size_t)g->info.classes * sizeof(float));
}

static int32_t images_of(const nb_post_input *in)
{
    const int32_t most = MOST_OUTPUTS / in->graph->info.classes;
    return in->n < most ? in->n : most > 0 ? most : 1;
}

/* The network with the float graph's values, quantized and calibrated on the images, or, with unrounded, in floats. */
static nb_status open_copy(const nb_post_input *in, bool unrounded, nb_graph **out)
{
    const nb_graph *g = in->graph;
    if (unrounded)
        return nb_pair_open_twin(g, in->experiment, true, out);
    NB_TRY(nb_graph_open(g->ctx,
                         &(nb_graph_spec){.experiment = in->experiment,
                                          .info = &g->info,
                                          .max_batch = g->max_batch,
                                          .quant = true,
                                          .plan = NB_PLAN_INFER},
                         &(nb_params_source){.graph = g, .mode = NB_PARAMS_CALIBRATE, .folded = true, .lends = true},
                         out));
    const nb_status st = (in->shared ? nb_calibrate_shared : nb_calibrate)(*out, in->data, in->indices, in->n);
    if (st != NB_OK)
        nb_graph_free(*out);
    return st;
}

static nb_status evaluate(const nb_post_input *in, nb_graph *g, const nb_answers *answers, nb_eval *out)
{
    return (in->shared ? nb_evaluate_graph_shared : nb_evaluate_graph_each)(g, in->data, in->indices, images_of(in),
                                                                            out, answers);
}

static nb_status evaluate_copy(const nb_post_input *in, bool unrounded, const nb_answers *answers, nb_eval *out)
{
    nb_graph *copy;
    NB_TRY(open_copy(in, unrounded, &copy));
    const nb_status st = evaluate(in, copy, answers, out);
    nb_graph_free(copy);
    return st;
}

static double sqnr_of(const float *want, const float *got, int64_t count)
{
    double signal = 0, noise = 0;
    for (int64_t i = 0; i < count; i++) {
        const double d = (double)want[i] - (double)got[i];
        signal += (double)want[i] * (double)want[i];
        noise += d * d;
    }
    return noise > 0 ? 10 * log10(signal / noise) : (double)INFINITY;
}

/* row [classes]: work space. */
static nb_score score_of(const float *outputs, int32_t label, int32_t classes, double *row)
{
    for (int32_t k = 0; k < classes; k++)
        row[k] = (double)outputs[k];
    return nb_score_of(NB_TASK_CLASSES, row, NULL, classes, label);
}

static nb_status losses_of(nb_ctx *ctx, const struct nb_post_reference *r, const float *outputs, int32_t classes,
                           float **out)
{
    double *row = nb_alloc(ctx, (size_t)classes * sizeof *row);
    float *loss = nb_alloc(ctx, (size_t)r->n * sizeof *loss);
    for (int32_t i = 0; row && loss && i < r->n; i++)
        loss[i] = (float)score_of(outputs + (int64_t)i * classes, r->labels[i], classes, row).loss;
    const nb_status st = row && loss ? NB_OK : NB_E_NOMEM;
    nb_free(ctx, row);
    if (st == NB_OK)
        *out = loss;
    else
        nb_free(ctx, loss);
    return st;
}

nb_status nb_post_gain_measure(const nb_post_list *list, const nb_post_input *in, nb_post_gain *out)
{
    const nb_graph *g = in->graph;
    const struct nb_post_reference *r = list->reference;
    NB_ASSERT(r && r->outputs && r->n == images_of(in));
    nb_post_gain gain = {.loss = NULL};
    float *outputs = new_outputs(g, r->n);
    if (!outputs)
        return NB_E_NOMEM;
    const nb_answers answers = {.logits = outputs};
    nb_status st =
        g->quantized ? evaluate(in, in->graph, &answers, &gain.eval) : evaluate_copy(in, false, &answers, &gain.eval);
    if (st == NB_OK)
        gain.sqnr = sqnr_of(r->outputs, outputs, (int64_t)r->n * g->info.classes);
    if (st == NB_OK && r->by_loss)
        st = losses_of(g->ctx, r, outputs, g->info.classes, &gain.loss);
    nb_free(g->ctx, outputs);
    if (st == NB_OK)
        *out = gain;
    return st;
}

void nb_post_gain_free(nb_ctx *ctx, nb_post_gain *g)
{
    nb_free(ctx, g->loss);
    g->loss = NULL;
}

/* A guess that knows nothing of an image says the most frequent class, or gives all the same probability, which has the loss
 * log(classes). */
static bool beats_guessing(int32_t n, int32_t right, int32_t most_frequent, double loss_sum, double loss_squares,
                           int32_t classes)
{
    const double guess = (double)most_frequent / n, loss = loss_sum / n;
    const double loss_error = sqrt(fmax(loss_squares / n - loss * loss, 0) / n);
    return (double)right / n > guess + STANDARD_ERRORS * sqrt(guess * (1 - guess) / n) ||
           loss < log((double)classes) - STANDARD_ERRORS * loss_error;
}

nb_status nb_post_knows_labels(nb_ctx *ctx, const float *outputs, const int32_t *labels, int32_t n, int32_t classes,
                               bool *yes)
{
    int32_t *count = nb_alloc(ctx, (size_t)classes * sizeof *count), right = 0, most = 0;
    double *row = nb_alloc(ctx, (size_t)classes * sizeof *row), sum = 0, squares = 0;
    const nb_status st = count && row ? NB_OK : NB_E_NOMEM;
    for (int32_t i = 0; st == NB_OK && i < n; i++) {
        const nb_score s = score_of(outputs + (int64_t)i * classes, labels[i], classes, row);
        right += s.right;
        sum += s.loss;
        squares += s.loss * s.loss;
        if (++count[labels[i]] > most)
            most = count[labels[i]];
    }
    if (st == NB_OK)
        *yes = n >= ENOUGH_IMAGES && beats_guessing(n, right, most, sum, squares, classes);
    nb_free(ctx, count);
    nb_free(ctx, row);
    return st;
}

/* The float network comes first: its outputs are what those of the quantized one are held against. */
static nb_status start_with_floats(const nb_post_input *in, struct nb_post_reference *r, nb_eval *floats)
{
    const nb_graph *g = in->graph;
    r->n = images_of(in);
    r->outputs = new_outputs(g, r->n);
    r->labels = nb_alloc(g->ctx, (size_t)r->n * sizeof *r->labels);
    const nb_answers answers = {.logits = r->outputs, .labels = r->labels};
    nb_status st = r->outputs && r->labels ? evaluate_copy(in, true, &answers, floats) : NB_E_NOMEM;
    if (st == NB_OK && !nb_task_has_target(g->info.task))
        st = nb_post_knows_labels(g->ctx, r->outputs, r->labels, r->n, g->info.classes, &r->by_loss);
    return st;
}

nb_status nb_post_gain_start(const nb_post_list *list, const nb_post_input *in, nb_post_gain *out)
{
    struct nb_post_reference *r = list->reference;
    nb_post_start start;
    if (r->outputs)
        return nb_post_gain_measure(list, in, out);
    NB_TRY(start_with_floats(in, r, &start.floats));
    NB_TRY(nb_post_gain_measure(list, in, out));
    start.quantized = out->eval;
    start.sqnr = out->sqnr;
    start.by_loss = r->by_loss;
    if (in->report && in->report->start)
        in->report->start(in->report->ud, &start);
    return NB_OK;
}

/* Does the loss rise by more than chance makes it, one standard error of the mean of the differences? */
static bool rises(const float *before, const float *after, int32_t n)
{
    double sum = 0, squares = 0;
    for (int32_t i = 0; i < n; i++) {
        const double d = (double)after[i] - (double)before[i];
        sum += d;
        squares += d * d;
    }
    const double mean = sum / n;
    return mean > sqrt(fmax(squares / n - mean * mean, 0) / n);
}

bool nb_post_gain_is(const nb_post_gain *before, const nb_post_gain *after)
{
    const bool nearer = after->sqnr > before->sqnr;
    if (!before->loss)
        return nearer;
    return after->eval.loss < before->eval.loss || (nearer && !rises(before->loss, after->loss, before->eval.n));
}
