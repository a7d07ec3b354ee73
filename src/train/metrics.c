/* metrics.c - the table of epochs. Numbers are printed with nine digits and kept rounded to them, so that text and rows
 * agree. */
#include "train/metrics.h"

#include "base/check.h"
#include "base/files.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_HEAD      "phase,name,quantized,epoch,lr,train_loss,train_accuracy,eval_loss,eval_accuracy\n"
#define METRICS_HEAD_MORE "phase,name,quantized,epoch,lr,train_loss,train_accuracy,eval_loss,eval_accuracy,metric\n"
#define TIMING_HEAD       "phase,epoch,train_seconds,eval_seconds\n"

enum { LINE_MAX_BYTES = 512, TIMING_MAX_BYTES = 1 << 24 };

/* Makes room for one more element of `size` bytes; returns NULL with the sentence set when there is no memory. */
static void *grow(nb_ctx *ctx, void *rows, int32_t n, int32_t *cap, size_t size)
{
    if (n < *cap)
        return rows;
    int32_t more = *cap ? 2 * *cap : 16;
    void *bigger = nb_alloc(ctx, (size_t)more * size);
    if (!bigger)
        return NULL;
    if (n)
        memcpy(bigger, rows, (size_t)n * size);
    nb_free(ctx, rows);
    *cap = more;
    return bigger;
}

static double as_printed(double v)
{
    char text[40];
    snprintf(text, sizeof text, "%.9g", v);
    return strtod(text, NULL);
}

void nb_metrics_deinit(nb_ctx *ctx, nb_metrics *m)
{
    nb_free(ctx, m->row);
    *m = (nb_metrics){0};
}

nb_status nb_metrics_add(nb_ctx *ctx, nb_metrics *m, const nb_metrics_row *row)
{
    nb_metrics_row *rows = grow(ctx, m->row, m->n, &m->cap, sizeof *rows);
    if (!rows)
        return NB_E_NOMEM;
    m->row = rows;
    m->row[m->n++] = (nb_metrics_row){
        .phase = row->phase,
        .epoch = row->epoch,
        .lr = as_printed(row->lr),
        .loss = as_printed(row->loss),
        .train_accuracy = as_printed(row->train_accuracy),
        .eval_loss = as_printed(row->eval_loss),
        .accuracy = as_printed(row->accuracy),
        .simulated = row->simulated,
        .metric = row->metric,
    };
    return NB_OK;
}

/* What nb_eval.metric may be, beside accuracy. */
static const char *const metrics[] = {"AUC", "explained"};

static const char *known_metric(const char *word, size_t len)
{
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        if (strlen(metrics[i]) == len && strncmp(metrics[i], word, len) == 0)
            return metrics[i];
    return NULL;
}

nb_status nb_metrics_print(nb_ctx *ctx, const nb_metrics *m, const nb_train_plan *plan, char **out)
{
    const bool more = m->n > 0 && m->row[0].metric;
    size_t size = sizeof METRICS_HEAD_MORE + (size_t)m->n * LINE_MAX_BYTES;
    char *text = nb_alloc(ctx, size);
    if (!text)
        return NB_E_NOMEM;
    size_t at = (size_t)snprintf(text, size, "%s", more ? METRICS_HEAD_MORE : METRICS_HEAD);
    for (int32_t i = 0; i < m->n; i++) {
        const nb_metrics_row *r = &m->row[i];
        const nb_phase_keys *p = &plan->phase[r->phase].keys;
        int len =
            snprintf(text + at, LINE_MAX_BYTES, "%d,%.100s,%s,%d,%.9g,%.9g,%.9g,%.9g,%.9g%s%s\n", r->phase + 1, p->name,
                     r->simulated ? "simulated"
                     : p->quant   ? "yes"
                                  : "no",
                     r->epoch + 1, r->lr, r->loss, r->train_accuracy, r->eval_loss, r->accuracy, more ? "," : "",
                     more && r->metric ? r->metric : "");
        NB_ASSERT(len > 0 && len < LINE_MAX_BYTES);
        at += (size_t)len;
    }
    *out = text;
    return NB_OK;
}

/* One line "a,b,c" into numbers; fields listed in `words` are skipped. Returns the start of the next line or NULL. */
static const char *parse_line(const char *text, double *v, int32_t n, uint32_t words)
{
    for (int32_t i = 0; i < n; i++) {
        char *end = NULL;
        size_t len = strcspn(text, ",\n");
        v[i] = words >> i & 1 ? 0 : strtod(text, &end);
        if ((end && (end == text || end != text + len)) || !isfinite(v[i]))
            return NULL;
        if (text[len] != (i == n - 1 ? '\n' : ','))
            return NULL;
        text += len + 1;
    }
    return text;
}

/* "a,b,word,..." */
static bool third_word_is(const char *line, const char *word)
{
    for (int32_t i = 0; i < 2 && line; i++) {
        line = strchr(line, ',');
        line = line ? line + 1 : NULL;
    }
    return line && strncmp(line, word, strlen(word)) == 0 && line[strlen(word)] == ',';
}

/* Where the last word of a line begins. */
static size_t word_at_end(const char *line, size_t length)
{
    size_t at = length;
    while (at && line[at - 1] != ',')
        at--;
    return at;
}

static bool is_count(double v, double max)
{
    return v >= 1 && v <= max && v == (double)(int32_t)v;
}

nb_status nb_metrics_parse(nb_ctx *ctx, const char *where, const char *text, const nb_train_plan *plan, nb_metrics *m)
{
    const size_t head = sizeof METRICS_HEAD - 1, with_metric = sizeof METRICS_HEAD_MORE - 1;
    const bool more = strncmp(text, METRICS_HEAD_MORE, with_metric) == 0;
    const char *at = more ? text + with_metric : strncmp(text, METRICS_HEAD, head) == 0 ? text + head : NULL;
    while (at && *at) {
        double v[10];
        const bool simulated = third_word_is(at, "simulated");
        const size_t length = strcspn(at, "\n"), last = more ? word_at_end(at, length) : length;
        const char *metric = known_metric(at + last, length - last);
        at = more && !metric ? NULL : parse_line(at, v, more ? 10 : 9, 1u << 1 | 1u << 2 | 1u << 9);
        if (!at || !is_count(v[0], plan->n_phases) || !is_count(v[3], plan->phase[(int32_t)v[0] - 1].keys.epochs)) {
            at = NULL;
            break;
        }
        nb_metrics_row r = {(int32_t)v[0] - 1, (int32_t)v[3] - 1, v[4], v[5], v[6], v[7], v[8], simulated, metric};
        NB_TRY(nb_metrics_add(ctx, m, &r));
    }
    return at ? NB_OK
              : nb_fail(ctx, NB_E_FORMAT, "%s: metadata \"metrics\" is not a table of this training's epochs", where);
}

void nb_timing_deinit(nb_ctx *ctx, nb_timing *t)
{
    nb_free(ctx, t->row);
    *t = (nb_timing){0};
}

nb_status nb_timing_add(nb_ctx *ctx, nb_timing *t, const nb_timing_row *row)
{
    nb_timing_row *rows = grow(ctx, t->row, t->n, &t->cap, sizeof *rows);
    if (!rows)
        return NB_E_NOMEM;
    t->row = rows;
    t->row[t->n++] = *row;
    return NB_OK;
}

nb_status nb_timing_write(nb_ctx *ctx, const nb_timing *t, const char *path)
{
    nb_atomic a;
    NB_TRY(nb_atomic_open(ctx, path, &a));
    fputs(TIMING_HEAD, a.f);
    for (int32_t i = 0; i < t->n; i++)
        fprintf(a.f, "%d,%d,%.3f,%.3f\n", t->row[i].phase + 1, t->row[i].epoch + 1, t->row[i].train_seconds,
                t->row[i].eval_seconds);
    return nb_atomic_commit(&a);
}

nb_status nb_timing_read(nb_ctx *ctx, nb_timing *t, const char *path, int32_t phase, int32_t epoch)
{
    uint8_t *bytes;
    size_t len, head = sizeof TIMING_HEAD - 1;
    if (!nb_file_exists(path))
        return NB_OK;
    NB_TRY(nb_file_read(ctx, path, TIMING_MAX_BYTES, &bytes, &len));
    const char *text = (const char *)bytes, *at = strncmp(text, TIMING_HEAD, head) == 0 ? text + head : NULL;
    nb_status st = NB_OK;
    while (st == NB_OK && at && *at) {
        double v[4];
        at = parse_line(at, v, 4, 0);
        if (!at || !is_count(v[0], INT32_MAX) || !is_count(v[1], INT32_MAX))
            break;
        nb_timing_row r = {(int32_t)v[0] - 1, (int32_t)v[1] - 1, v[2], v[3]};
        if (r.phase < phase || (r.phase == phase && r.epoch < epoch))
            st = nb_timing_add(ctx, t, &r);
    }
    nb_free(ctx, bytes);
    return st;
}
