/* score.c - cross entropy and accuracy of classes; mean squared error, the area under the ROC curve and the explained share
 * of reconstructions. */
#include "core/score.h"

#include "base/check.h"

#include <math.h>
#include <stdlib.h>

static nb_score classes(const double *out, int32_t n, int32_t label)
{
    nb_score s = {0};
    for (int32_t i = 1; i < n; i++)
        s.answer = out[i] > out[s.answer] ? i : s.answer;
    const double max = out[s.answer];
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += exp(out[i] - max);
    s.loss = log(sum) - (out[label] - max);
    s.right = s.answer == label;
    return s;
}

static nb_score reconstruction(const double *out, const double *target, int32_t n)
{
    nb_score s = {0};
    for (int32_t i = 0; i < n; i++) {
        s.loss += (out[i] - target[i]) * (out[i] - target[i]);
        s.energy += target[i] * target[i];
    }
    s.loss /= n;
    s.energy /= n;
    return s;
}

nb_score nb_score_of(nb_task task, const double *out, const double *target, int32_t n, int32_t label)
{
    return task == NB_TASK_RECONSTRUCT ? reconstruction(out, target, n) : classes(out, n, label);
}

typedef struct {
    double score;
    bool anomaly;
} scored;

static int ascending(const void *a, const void *b)
{
    const double x = ((const scored *)a)->score, y = ((const scored *)b)->score;
    return (x > y) - (x < y);
}

nb_status nb_auc(nb_ctx *ctx, const double *scores, const int32_t *labels, int32_t n, double *out)
{
    int64_t anomalies = 0, twice_won = 0, below = 0;
    scored *s = nb_alloc(ctx, (size_t)n * sizeof *s);
    if (!s)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < n; i++) {
        s[i] = (scored){scores[i], labels[i] != 0};
        anomalies += s[i].anomaly;
    }
    qsort(s, (size_t)n, sizeof *s, ascending);
    for (int32_t i = 0, end; i < n; i = end) { /* all of one score at a time */
        int64_t these = 0;
        for (end = i; end < n && s[end].score == s[i].score; end++)
            these += s[end].anomaly;
        const int64_t normal = end - i - these;
        twice_won += these * (2 * below + normal);
        below += normal;
    }
    nb_free(ctx, s);
    *out = anomalies > 0 && below > 0 ? (double)twice_won / (2.0 * (double)anomalies * (double)below) : -1;
    return NB_OK;
}

nb_status nb_score_finish(nb_ctx *ctx, nb_task task, const nb_score_sums *sums, nb_eval *e)
{
    const double n = e->n > 0 ? e->n : 1;
    e->loss = sums->loss / n;
    if (task == NB_TASK_CLASSES) {
        e->metric = "accuracy";
        e->accuracy = e->correct / n;
        return NB_OK;
    }
    NB_TRY(nb_auc(ctx, sums->losses, sums->labels, e->n, &e->accuracy));
    e->metric = "AUC";
    if (e->accuracy >= 0)
        return NB_OK;
    const double share = sums->energy > 0 ? 1 - sums->loss / sums->energy : 0;
    e->metric = "explained";
    e->accuracy = share > 0 ? share : 0;
    return NB_OK;
}

nb_status nb_score_check(nb_ctx *ctx, const nb_dsinfo *network, const nb_dsinfo *data)
{
    const nb_dsinfo *a = network, *b = data;
    const bool labels = a->task == NB_TASK_CLASSES;
    if (a->h != b->h || a->w != b->w || a->c != b->c || (labels && a->classes != b->classes))
        return nb_fail(ctx, NB_E_SHAPE,
                       "the data have images of %dx%dx%d in %d classes, the network takes %dx%dx%d in %d", b->h, b->w,
                       b->c, b->classes, a->h, a->w, a->c, labels ? a->classes : b->classes);
    if (!nb_features_equal(a->features, b->features))
        return nb_fail(ctx, NB_E_SHAPE, "the data's numbers become codes in another way than the network's input");
    return NB_OK;
}
