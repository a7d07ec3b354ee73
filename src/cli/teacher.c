/* teacher.c - see teacher.h. Quantized teachers run on the integer engine, in which form nobody can tell them from what is
 * deployed; float ones forward. */
#include "cli/teacher.h"
#include "cli/meant_file.h"

#include "base/check.h"
#include "base/files.h"
#include "base/ranks.h"
#include "base/rng.h"
#include "core/feature_map.h"

#include <string.h>

static nb_status check_fit(cli *c, const nb_train_plan *plan, const char *from, const nb_dsinfo *mine,
                           const nb_dsinfo *info)
{
    const nb_conf *at = plan->keys.teacher;
    if (mine->h != info->h || mine->w != info->w || mine->c != info->c)
        return nb_conf_fail(c->ctx, at, "train.teacher", NB_E_SHAPE,
                            "%s takes images of %dx%dx%d, these are of %dx%dx%d", from, mine->h, mine->w, mine->c,
                            info->h, info->w, info->c);
    if (mine->task != NB_TASK_CLASSES || mine->classes != info->classes)
        return nb_conf_fail(c->ctx, at, "train.teacher", NB_E_SHAPE, "%s tells %d classes apart, the data have %d",
                            from, mine->task == NB_TASK_CLASSES ? mine->classes : 0, info->classes);
    if (!nb_features_equal(mine->features, info->features))
        return nb_conf_fail(c->ctx, at, "train.teacher", NB_E_SHAPE,
                            "%s makes codes of features in another way than these data", from);
    return NB_OK;
}

static nb_status hash_file(cli *c, const char *path, uint64_t *hash)
{
    uint8_t *bytes;
    size_t len;
    NB_TRY(nb_file_read(c->ctx, path, (size_t)1 << 40, &bytes, &len));
    *hash = nb_hash_bytes(bytes, len) | 1; /* 0 is no teacher */
    nb_free(c->ctx, bytes);
    return NB_OK;
}

nb_status cli_teacher_open(cli *c, const nb_train_plan *plan, const nb_dsinfo *info, cli_teacher *t)
{
    cli own = *c; /* --set is for the experiment, not for its teacher's */
    own.n_sets = 0;
    own.shares = nb_ranks() > 1;
    if (!plan->keys.teacher)
        return NB_OK;
    char meant[CLI_PATH_BYTES];
    const char *from;
    NB_TRY(cli_meant_file(c, plan->teacher.from, CLI_MODEL, meant, &from));
    NB_TRY(hash_file(c, from, &t->hash));
    NB_TRY(cli_model_open(&own, from, plan->keys.batch, &t->model));
    NB_TRY(check_fit(c, plan, from, &t->model.info, info));
    if (t->model.integers)
        return nb_int_batch_create(c->ctx, t->model.integers, &t->integers);
    NB_TRY(nb_model_batch(c->ctx, &t->model.experiment.exp, &t->model.info, plan->keys.batch, &t->batch));
    if (own.shares && t->batch < plan->keys.batch)
        return nb_conf_fail(
            c->ctx, plan->keys.teacher, "train.teacher", NB_E_UNSUPPORTED,
            "%s is so large that a batch of %d goes through it in pieces of %d, which ranks cannot share: "
            "set train.batch to %d, or train on one rank",
            from, plan->keys.batch, t->batch, t->batch);
    return NB_OK;
}

void cli_teacher_close(cli *c, cli_teacher *t)
{
    nb_int_batch_free(c->ctx, t->integers);
    cli_model_close(c, &t->model);
    *t = (cli_teacher){0};
}

nb_status cli_teacher_logits(cli_teacher *t, const uint8_t *pixels, int32_t n, int32_t whole, float *logits)
{
    const nb_dsinfo *d = &t->model.info;
    const size_t image = (size_t)d->h * (size_t)d->w * (size_t)d->c;
    if (t->integers) {
        nb_int_batch_logits(t->integers, pixels, n, logits);
        return NB_OK;
    }
    nb_graph *g = t->model.graph;
    if (n < whole) {
        nb_graph_set_batch(g, whole);
        nb_forward(g, &(nb_run){.pixels = pixels});
        memcpy(logits, nb_graph_logits(g), (size_t)n * (size_t)d->classes * sizeof *logits);
        return NB_OK;
    }
    for (int32_t i = 0, k; i < n; i += k) {
        k = n - i < t->batch ? n - i : t->batch;
        nb_graph_set_batch(g, k);
        nb_forward(g, &(nb_run){.pixels = pixels + (size_t)i * image});
        memcpy(logits + (size_t)i * (size_t)d->classes, nb_graph_logits(g),
               (size_t)k * (size_t)d->classes * sizeof *logits);
    }
    return NB_OK;
}
