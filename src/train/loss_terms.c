/* loss_terms.c - see loss_terms.h. Everything is a function of the batch and of files that stand still, so there is nothing
 * to keep for a resumed run. */
#include "train/loss_terms.h"

#include "base/check.h"
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

nb_status nb_terms_check(nb_ctx *ctx, const nb_train_job *job, int32_t phase, const nb_graph *g)
{
    const nb_train_plan *p = job->plan;
    if (!is_taught(p, phase))
        return NB_OK;
    if (strcmp(g->loss->op->name, "softmax_xent") != 0)
        return nb_conf_fail(ctx, p->keys.teacher, "train.teacher", NB_E_CONFIG,
                            "the network's loss is %s: only softmax_xent can be compared with a teacher's classes",
                            g->loss->op->name);
    return job->teach ? NB_OK
                      : nb_conf_fail(ctx, p->keys.teacher, "train.teacher", NB_E_UNSUPPORTED,
                                     "nobody runs it here: nb_train_job.teach is not set");
}

nb_status nb_terms_create(nb_ctx *ctx, const nb_train_job *job, nb_terms **out)
{
    const nb_train_plan *p = job->plan;
    nb_terms *t = nb_alloc(ctx, sizeof *t);
    if (!t)
        return NB_E_NOMEM;
    *t = (nb_terms){.job = job};
    t->terms.share = p->teacher.share;
    t->terms.temperature = p->teacher.temperature;
    if (p->keys.teacher)
        t->logits = nb_alloc(ctx, (size_t)p->keys.batch * (size_t)nb_data_info(job->data)->classes * sizeof *t->logits);
    if (p->keys.teacher && !t->logits) {
        nb_terms_free(ctx, t);
        return NB_E_NOMEM;
    }
    *out = t;
    return NB_OK;
}

void nb_terms_free(nb_ctx *ctx, nb_terms *t)
{
    if (t)
        nb_free(ctx, t->logits);
    nb_free(ctx, t);
}

nb_status nb_terms_of(nb_terms *t, int32_t phase, const nb_batch *b, const nb_loss_terms **out)
{
    const bool taught = is_taught(t->job->plan, phase);
    *out = taught ? &t->terms : NULL;
    t->terms.teacher = taught ? t->logits : NULL;
    return taught ? t->job->teach(t->job->ud, b->pixels, b->n, t->logits) : NB_OK;
}
