/* loss_terms.c - see loss_terms.h. Everything is a function of the batch and of files that stand still, so there is nothing
 * to keep for a resumed run. */
#include "train/loss_terms.h"

#include "base/check.h"
#include "train/class_counts.h"
#include "train/optim.h"

#include <string.h>

const nb_key nb_teacher_table[] = {
    NB_KEY_STRING(nb_teacher_keys, from, "", "checkpoint to learn from, float or quantized, or integers"),
    NB_KEY_FLOAT(nb_teacher_keys, share, "0.5", 0, 1, "of the teacher in the loss; the rest is that of the labels"),
    NB_KEY_FLOAT(nb_teacher_keys, temperature, "2", 0.01, 1000, "what logits of both are divided by"),
    {0},
};

struct nb_terms {
    const nb_train_job *job;
    nb_loss_terms terms;
    float *logits; /* [batch, classes] of the teacher, or NULL */
    float *weight; /* [classes], or NULL */
};

nb_status nb_terms_bind(nb_ctx *ctx, nb_train_plan *p)
{
    const nb_conf *c = p->keys.teacher;
    if (!c)
        return NB_OK;
    const bool path = nb_conf_is_scalar(c);
    NB_TRY(nb_conf_bind(ctx, path ? NULL : c, "train.teacher", &(nb_binding){nb_teacher_table, &p->teacher}, 1));
    if (path)
        p->teacher.from = nb_conf_text(c);
    if (!*p->teacher.from)
        return nb_conf_fail(ctx, c, "train.teacher", NB_E_CONFIG,
                            "from: must be the path of a checkpoint, like {from: runs/float/best.safetensors}");
    for (int32_t i = 0; i < p->n_phases; i++)
        if (p->phase[i].keys.teacher)
            return NB_OK;
    return nb_conf_fail(ctx, c, "train.teacher", NB_E_CONFIG, "every phase has `teacher: no`: leave it out");
}

static bool is_taught(const nb_train_plan *p, int32_t phase)
{
    return p->keys.teacher && p->phase[phase].keys.teacher;
}

typedef struct {
    nb_ctx *ctx;
    float *weight;
    int32_t n, classes;
} reading;

static nb_status one_weight(void *ud, const char *text, const nb_conf *node)
{
    static const nb_key number = {.kind = NB_K_FLOAT, .min = 0, .max = 1e6};
    reading *r = ud;
    (void)text;
    if (r->n == r->classes)
        return nb_conf_fail(r->ctx, node, "train.class_weights", NB_E_CONFIG, "more than %d, the number of classes",
                            r->classes);
    return nb_conf_value(r->ctx, node, "train.class_weights", &number, &r->weight[r->n++]);
}

static int32_t images_of(const nb_train_job *job)
{
    return job->indices ? job->n_indices : nb_data_info(job->data)->count;
}

/* How many training images each class has, as a list of its own. */
static nb_status count_classes(nb_ctx *ctx, const nb_train_job *job, int32_t **out)
{
    *out = nb_alloc(ctx, (size_t)nb_data_info(job->data)->classes * sizeof **out);
    return *out ? nb_class_counts(ctx, job->data, job->indices, images_of(job), NULL, *out) : NB_E_NOMEM;
}

/* n / (classes that there are * images of this one): the mean over images is 1. */
static nb_status balance(nb_ctx *ctx, const nb_train_job *job, float *weight)
{
    const int32_t classes = nb_data_info(job->data)->classes, n = images_of(job);
    int32_t *count, some = 0;
    nb_status st = count_classes(ctx, job, &count);
    for (int32_t c = 0; st == NB_OK && c < classes; c++)
        some += count[c] > 0;
    for (int32_t c = 0; st == NB_OK && c < classes; c++)
        weight[c] = count[c] ? (float)((double)n / ((double)some * count[c])) : 0;
    nb_free(ctx, count);
    return st;
}

/* Without an image that counts nothing is learned. Images are only looked at where some may not count. */
static nb_status check_some_count(nb_ctx *ctx, const nb_train_job *job, const float *weight)
{
    const int32_t classes = nb_data_info(job->data)->classes;
    int32_t *count, zeros = 0;
    bool some = false;
    for (int32_t c = 0; c < classes; c++)
        zeros += weight[c] == 0;
    if (zeros == 0)
        return NB_OK;
    nb_status st = count_classes(ctx, job, &count);
    for (int32_t c = 0; st == NB_OK && c < classes; c++)
        some = some || (weight[c] > 0 && count[c] > 0);
    nb_free(ctx, count);
    return st != NB_OK || some ? st
                               : nb_conf_fail(ctx, job->plan->keys.class_weights, "train.class_weights", NB_E_CONFIG,
                                              "no training image counts, nothing would be learned: %s",
                                              zeros == classes ? "a weight must be above 0"
                                                               : "a weight of a class that has images must be above 0");
}

/* train.class_weights into weight [classes]. */
static nb_status read_weights(nb_ctx *ctx, const nb_train_job *job, float *weight)
{
    const nb_conf *c = job->plan->keys.class_weights;
    reading r = {ctx, weight, 0, nb_data_info(job->data)->classes};
    if (nb_conf_is_scalar(c) && strcmp(nb_conf_text(c), "balanced") == 0)
        return balance(ctx, job, weight);
    if (!nb_conf_is_list(c))
        return nb_conf_fail(ctx, c, "train.class_weights", NB_E_CONFIG, "must be balanced, or a list of %d numbers",
                            r.classes);
    NB_TRY(nb_conf_each_text(ctx, c, "train.class_weights", one_weight, &r));
    return r.n == r.classes ? check_some_count(ctx, job, weight)
                            : nb_conf_fail(ctx, c, "train.class_weights", NB_E_CONFIG,
                                           "has %d numbers, the data have %d classes", r.n, r.classes);
}

/* A key that only classes make sense of, or NULL. */
static const char *key_of_classes(const nb_train_plan *p, int32_t phase, const nb_conf **at)
{
    *at = is_taught(p, phase) ? p->keys.teacher : p->keys.class_weights;
    return is_taught(p, phase)                        ? "train.teacher"
           : p->keys.class_weights                    ? "train.class_weights"
           : p->keys.mixup > 0                        ? "train.mixup"
           : p->keys.hard < 1                         ? "train.hard"
           : p->keys.sampling == NB_SAMPLING_BALANCED ? "train.sampling"
                                                      : NULL;
}

nb_status nb_terms_check(nb_ctx *ctx, const nb_train_job *job, int32_t phase, const nb_graph *g)
{
    const nb_train_plan *p = job->plan;
    const nb_conf *at;
    const char *key = key_of_classes(p, phase, &at);
    if (!key)
        return NB_OK;
    if (strcmp(g->loss->op->name, "softmax_xent") != 0)
        return nb_conf_fail(ctx, at, key, NB_E_CONFIG, "the network's loss is %s: only softmax_xent knows classes",
                            g->loss->op->name);
    if (p->keys.class_weights) {
        float *weight = nb_alloc(ctx, (size_t)nb_data_info(job->data)->classes * sizeof *weight);
        nb_status st = weight ? read_weights(ctx, job, weight) : NB_E_NOMEM;
        nb_free(ctx, weight);
        NB_TRY(st);
    }
    return job->teach || !is_taught(p, phase) ? NB_OK
                                              : nb_conf_fail(ctx, p->keys.teacher, "train.teacher", NB_E_UNSUPPORTED,
                                                             "nobody runs it here: nb_train_job.teach is not set");
}

static nb_status fill(nb_ctx *ctx, nb_terms *t)
{
    const nb_train_plan *p = t->job->plan;
    const size_t classes = (size_t)nb_data_info(t->job->data)->classes;
    t->terms.share = p->teacher.share;
    t->terms.temperature = p->teacher.temperature;
    if (p->keys.teacher) {
        t->logits = nb_alloc(ctx, (size_t)p->keys.batch * classes * sizeof *t->logits);
        if (!t->logits)
            return NB_E_NOMEM;
    }
    if (!p->keys.class_weights)
        return NB_OK;
    t->weight = nb_alloc(ctx, classes * sizeof *t->weight);
    t->terms.weight = t->weight;
    return t->weight ? read_weights(ctx, t->job, t->weight) : NB_E_NOMEM;
}

nb_status nb_terms_create(nb_ctx *ctx, const nb_train_job *job, nb_terms **out)
{
    nb_terms *t = nb_alloc(ctx, sizeof *t);
    if (!t)
        return NB_E_NOMEM;
    *t = (nb_terms){.job = job};
    nb_status st = fill(ctx, t);
    if (st == NB_OK)
        *out = t;
    else
        nb_terms_free(ctx, t);
    return st;
}

void nb_terms_free(nb_ctx *ctx, nb_terms *t)
{
    if (t) {
        nb_free(ctx, t->logits);
        nb_free(ctx, t->weight);
    }
    nb_free(ctx, t);
}

nb_status nb_terms_of(nb_terms *t, int32_t phase, const nb_batch *b, const nb_loss_terms **out)
{
    const bool taught = is_taught(t->job->plan, phase);
    *out = taught || b->other || t->weight ? &t->terms : NULL;
    t->terms.teacher = taught ? t->logits : NULL;
    t->terms.other = b->other;
    t->terms.mixed = b->mixed;
    return taught ? t->job->teach(t->job->ud, b->pixels, b->n, b->whole, t->logits) : NB_OK;
}
