/* resumable.c - may this checkpoint be resumed from: the same config but for `out` and `log`, the same data?
 *
 * A resumed run ends in the bytes of one never interrupted; with other data it would end in a mixture that no config
 * describes. */
#include "train/resumable.h"
#include "base/check.h"
#include "base/textbuf.h"

#include <stdarg.h>
#include <string.h>

/* Behind the `log` section, where the text begins with it: what else a run writes changes nothing of what it computes. */
static const char *behind_log(const char *text)
{
    if (strncmp(text, "log:", 4) != 0)
        return text;
    do {
        text += strcspn(text, "\n");
        text += *text == '\n';
    } while (*text == ' ');
    return text;
}

/* Line by line, so that the message can say what differs. */
static nb_status check_config(nb_ctx *ctx, const nb_train_job *job, const nb_checkpoint *c)
{
    const char *a = behind_log(c->config), *b = behind_log(job->config_text);
    while (*a && *b) {
        size_t la = strcspn(a, "\n"), lb = strcspn(b, "\n");
        bool out = strncmp(a, "out:", 4) == 0 && strncmp(b, "out:", 4) == 0; /* a run folder may have been moved */
        if (!out && (la != lb || strncmp(a, b, la) != 0))
            return nb_fail(ctx, NB_E_CONFIG,
                           "%s: was trained with another config (\"%.*s\", now \"%.*s\"): resume with the same one, or "
                           "use `init:` "
                           "to start from its weights",
                           c->path, (int)(la < 120 ? la : 120), a, (int)(lb < 120 ? lb : 120), b);
        a = behind_log(a + la + (a[la] == '\n'));
        b = behind_log(b + lb + (b[lb] == '\n'));
    }
    if (*a || *b)
        return nb_fail(
            ctx, NB_E_CONFIG,
            "%s: was trained with another config (the end differs: \"%.*s\"): resume with the same one, or use "
            "`init:` to start from its weights",
            c->path, (int)strcspn(*a ? a : b, "\n"), *a ? a : b);
    return NB_OK;
}

static void differ(nb_text *t, const char *fmt, ...) NB_PRINTF(2, 3);
static void differ(nb_text *t, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    nb_text_add(t, t->len ? ", " : "");
    nb_text_add(t, text);
}

static void compare_classes(nb_text *t, const nb_dsinfo *was, const nb_dsinfo *now)
{
    if (was->task != NB_TASK_CLASSES) /* classes are outputs then */
        return;
    if (was->classes != now->classes) {
        differ(t, "%d classes instead of %d", now->classes, was->classes);
        return;
    }
    if (!was->class_names != !now->class_names)
        differ(t, now->class_names ? "classes have names" : "classes have no names");
    for (int32_t i = 0; was->class_names && now->class_names && i < now->classes; i++)
        if (strcmp(was->class_names[i], now->class_names[i]) != 0) {
            differ(t, "class %d is \"%.60s\" instead of \"%.60s\"", i, now->class_names[i], was->class_names[i]);
            return; /* one renamed class moves all between its places */
        }
}

/* True when the pixels are the same. */
static bool compare_images(nb_text *t, const char *split, const nb_fingerprint *was, const nb_fingerprint *now)
{
    if (was->count != now->count) {
        differ(t, "%d %s images instead of %d", now->count, split, was->count);
        return false;
    }
    if (was->pixels != now->pixels)
        differ(t, "other pixels in the %s images, or another order of them", split);
    if (was->labels != now->labels)
        differ(t, "other labels of the %s images", split);
    return was->pixels == now->pixels;
}

static nb_status compare(nb_ctx *ctx, const nb_train_job *job, const nb_checkpoint *c, nb_text *t)
{
    const nb_dsinfo *was = &c->info, *now = nb_data_info(job->data);
    nb_fingerprint train, test;
    if (was->h != now->h || was->w != now->w || was->c != now->c)
        differ(t, "images of %dx%dx%d instead of %dx%dx%d", now->h, now->w, now->c, was->h, was->w, was->c);
    compare_classes(t, was, now);
    if (t->len)
        return t->st; /* pixels and labels differ as a consequence */
    NB_TRY(nb_data_fingerprint(ctx, job->data, &train));
    bool same = compare_images(t, "training", &c->train_data, &train);
    for (int32_t i = 0; same && i < now->c; i++)
        if (was->mean[i] != now->mean[i] || was->std[i] != now->std[i]) {
            differ(t, "a normalisation of mean %g, std %g instead of %g, %g", (double)now->mean[i], (double)now->std[i],
                   (double)was->mean[i], (double)was->std[i]);
            break;
        }
    if (job->test && c->test_data.count) {
        NB_TRY(nb_data_fingerprint(ctx, job->test, &test));
        compare_images(t, "test", &c->test_data, &test);
    }
    return t->st;
}

static nb_status check_data(nb_ctx *ctx, const nb_train_job *job, const nb_checkpoint *c)
{
    if (!c->train_data.count) {
        nb_log(ctx, "%s: an earlier version wrote it, without the fingerprint that would show whether the data changed",
               c->path);
        return NB_OK;
    }
    nb_text t;
    nb_text_init(ctx, &t);
    nb_status st = compare(ctx, job, c, &t);
    if (st == NB_OK && t.len)
        st = nb_fail(ctx, NB_E_CONFIG,
                     "%s: the data are not those it was trained on (%s): put them back, or start a new run from its "
                     "weights with --set init=%s --set out=DIR",
                     c->path, t.s, c->path);
    nb_text_free(&t);
    return st;
}

nb_status nb_check_resumable(nb_ctx *ctx, const nb_train_job *job, const nb_checkpoint *c)
{
    NB_TRY(check_config(ctx, job, c));
    if (job->teacher_hash != c->teacher_hash)
        return nb_fail(ctx, NB_E_CONFIG,
                       "%s: train.teacher: %s is not the file it was trained with: put that back, or start a new run",
                       c->path, job->plan->keys.teacher ? job->plan->teacher.from : "none");
    return check_data(ctx, job, c);
}
