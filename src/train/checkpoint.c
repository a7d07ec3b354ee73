/* checkpoint.c - the training checkpoint: a safetensors file.
 *
 * Tensors, all F32, in graph order:
 *   <leaf>            parameters, batch-norm statistics, range states; the weights as trained
 *   opt/<leaf>/<k>    moments of the optimizer, and more state by name (only in last.safetensors)
 *   ema/<leaf>        averaged weights               (only in last.safetensors and with train.ema)
 * A model checkpoint (best.safetensors) has only leaves, and with train.ema those are the averaged weights.
 * __metadata__, all text: format, bits (of activations, of weights: of a phase that has its own), config, metrics (the CSV so far), the position (seed, epoch and step are all there is
 * to the state of the random numbers: they are counter based), best, accuracy, quantized, the data's shape,
 * task, normalisation, map of features (core/feature_map.h) and class names, so that a checkpoint can be used without its data set, float_accuracy of a calibrated
 * one, train_data, test_data, teacher: what a resumed run compares its data and teacher with, and crc32 of all that (base/safetensors.h). Numbers are printed so that they
 * read back exactly. */
#include "train/checkpoint.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/files.h"
#include "base/numtext.h"
#include "base/safetensors.h"
#include "base/textbuf.h"
#include "core/feature_map.h"
#include "core/sound.h"
#include "quant/fakequant.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define FAMILY      "nibble-checkpoint-"
#define RECONSTRUCT "reconstruct"

enum { VERSION = 1, MAX_SIDE = 65536, MAX_CLASSES = 1 << 20, MAX_COUNT = 1 << 30 };
enum { FEWEST = 4 }; /* numbers of mean and std */

/* ---- writing ---- */

static nb_status meta(nb_st_writer *w, const char *key, const char *fmt, ...) NB_PRINTF(3, 4);
static nb_status meta(nb_st_writer *w, const char *key, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return nb_st_set_meta(w, key, text);
}

/* One a line; a name's own newlines and backslashes become \n and \\. */
static nb_status write_class_names(nb_ctx *ctx, nb_st_writer *w, const nb_dsinfo *d)
{
    nb_text t;
    char *names;
    nb_text_init(ctx, &t);
    for (int32_t i = 0; i < d->classes; i++) {
        nb_text_add(&t, i ? "\n" : "");
        for (const char *p = d->class_names[i]; *p; p++) {
            size_t n = strcspn(p, "\n\\");
            nb_text_bytes(&t, p, n);
            p += n;
            if (!*p)
                break;
            nb_text_add(&t, *p == '\n' ? "\\n" : "\\\\");
        }
    }
    NB_TRY(nb_text_take(&t, &names));
    nb_status st = nb_st_set_meta(w, "class_names", names);
    nb_free(ctx, names);
    return st;
}

/* At least four, as earlier versions read them. */
static nb_status write_floats(nb_ctx *ctx, nb_st_writer *w, const char *key, const float *v, int32_t n)
{
    nb_text t;
    char *text;
    nb_text_init(ctx, &t);
    for (int32_t i = 0; i < n || i < FEWEST; i++)
        nb_text_printf(&t, "%s%.9g", i ? " " : "", (double)v[i]);
    NB_TRY(nb_text_take(&t, &text));
    nb_status st = nb_st_set_meta(w, key, text);
    nb_free(ctx, text);
    return st;
}

static nb_status write_features(nb_ctx *ctx, nb_st_writer *w, const nb_features *f)
{
    nb_text t;
    char *text;
    nb_text_init(ctx, &t);
    nb_features_print(&t, f);
    NB_TRY(nb_text_take(&t, &text));
    nb_status st = nb_st_set_meta(w, "features", text);
    nb_free(ctx, text);
    return st;
}

static nb_status write_info(nb_ctx *ctx, nb_st_writer *w, const nb_dsinfo *d)
{
    NB_TRY(meta(w, "input", "%d %d %d", d->h, d->w, d->c));
    NB_TRY(meta(w, "classes", "%d", d->classes));
    NB_TRY(write_floats(ctx, w, "mean", d->mean, d->c));
    NB_TRY(write_floats(ctx, w, "std", d->std, d->c));
    if (d->task == NB_TASK_RECONSTRUCT)
        NB_TRY(nb_st_set_meta(w, "task", RECONSTRUCT));
    if (d->features)
        NB_TRY(write_features(ctx, w, d->features));
    return d->class_names ? write_class_names(ctx, w, d) : NB_OK;
}

static nb_status write_fingerprint(nb_st_writer *w, const char *key, const nb_fingerprint *f)
{
    return f->count ? meta(w, key, "%d %016llx %016llx", f->count, (unsigned long long)f->labels,
                           (unsigned long long)f->pixels)
                    : NB_OK;
}

/* What quantizers keep is of codes of a grid: NAME=BITS,FORMAT of each. */
static nb_status write_grids(nb_st_writer *w, const nb_graph *g)
{
    nb_text t;
    char *text = NULL;
    nb_text_init(g->ctx, &t);
    for (int32_t i = 0; i < g->n; i++) {
        const nb_fakequant_attr *a = g->node[i]->attr;
        if (nb_is_quantizer(g->node[i]) && g->node[i]->n_in > 1)
            nb_text_printf(&t, "%s%s=%d,%s", t.len ? " " : "", g->node[i]->name, a->bits, a->format->name);
    }
    const bool any = t.len > 0;
    nb_status st = nb_text_take(&t, &text);
    if (st == NB_OK && any)
        st = nb_st_set_meta(w, "grids", text);
    nb_free(g->ctx, text);
    return st;
}

bool nb_checkpoint_same_grid(const nb_checkpoint *c, const nb_node *quantizer)
{
    const nb_fakequant_attr *a = quantizer->attr;
    const size_t n = strlen(quantizer->name);
    char format[32];
    int bits;
    for (const char *at = c->grids; at && *at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
        if (strncmp(at, quantizer->name, n) == 0 && at[n] == '=')
            return sscanf(at + n + 1, "%d,%31[^ ]", &bits, format) == 2 && bits == a->bits &&
                   strcmp(format, a->format->name) == 0;
    return true;
}

static nb_status write_meta(nb_ctx *ctx, nb_st_writer *w, const nb_checkpoint_spec *s)
{
    const nb_position *p = &s->at;
    NB_TRY(meta(w, "format", FAMILY "%d", VERSION));
    NB_TRY(nb_st_set_meta(w, "config", s->config));
    NB_TRY(nb_st_set_meta(w, "metrics", s->metrics));
    NB_TRY(nb_st_set_meta(w, "phase_name", s->phase_name));
    NB_TRY(meta(w, "phase", "%d", p->phase));
    NB_TRY(meta(w, "epoch", "%d", p->epoch));
    NB_TRY(meta(w, "step", "%lld", (long long)p->step));
    NB_TRY(meta(w, "updates", "%lld", (long long)p->updates));
    NB_TRY(meta(w, "epochs_done", "%d", p->epochs_done));
    NB_TRY(meta(w, "loss_sum", "%.17g", p->loss_sum));
    NB_TRY(meta(w, "correct", "%lld", (long long)p->correct));
    NB_TRY(meta(w, "seen", "%lld", (long long)p->seen));
    NB_TRY(meta(w, "best_accuracy", "%.17g", p->best_accuracy));
    NB_TRY(meta(w, "best_phase", "%d", p->best_phase));
    NB_TRY(meta(w, "best_epoch", "%d", p->best_epoch));
    NB_TRY(meta(w, "accuracy", "%.17g", s->accuracy));
    if (s->float_accuracy > 0)
        NB_TRY(meta(w, "float_accuracy", "%.17g", s->float_accuracy));
    NB_TRY(nb_st_set_meta(w, "quantized", s->graph->quantized ? "yes" : "no"));
    const int32_t *bits = s->graph->bits;
    if (bits[0] || bits[1])
        NB_TRY(meta(w, "bits", "%d %d", bits[0], bits[1]));
    NB_TRY(write_grids(w, s->graph));
    NB_TRY(write_fingerprint(w, "train_data", &s->train_data));
    NB_TRY(write_fingerprint(w, "test_data", &s->test_data));
    if (s->teacher_hash)
        NB_TRY(meta(w, "teacher", "%016llx", (unsigned long long)s->teacher_hash));
    return write_info(ctx, w, &s->graph->info);
}

static nb_status add_tensor(nb_st_writer *w, const nb_node *leaf, const void *data, const char *name)
{
    int64_t shape[NB_MAX_DIM];
    for (int32_t i = 0; i < leaf->out.shape.ndim; i++)
        shape[i] = leaf->out.shape.d[i];
    return nb_st_add(w, name, NB_ST_F32, leaf->out.shape.ndim, shape, data);
}

static nb_status add_tensors(nb_st_writer *w, const nb_checkpoint_spec *s)
{
    int32_t n = 0;
    for (int32_t i = 0; i < s->graph->n; i++) {
        const nb_node *leaf = s->graph->node[i];
        if (leaf->flags & (NB_NODE_PARAM | NB_NODE_BUFFER))
            NB_TRY(add_tensor(w, leaf, leaf->out.data, leaf->name));
    }
    const nb_kept *kept = s->optim ? nb_optim_kept(s->optim, &n) : NULL;
    for (int32_t i = 0; i < n; i++)
        NB_TRY(add_tensor(w, kept[i].leaf, kept[i].data, kept[i].name));
    return NB_OK;
}

static nb_status fill(nb_ctx *ctx, const nb_checkpoint_spec *s, nb_st_writer **out)
{
    nb_st_writer *w;
    NB_TRY(nb_st_writer_create(ctx, &w));
    nb_status st = add_tensors(w, s);
    if (st == NB_OK)
        st = write_meta(ctx, w, s);
    if (st == NB_OK)
        st = nb_st_set_crc32(w);
    if (st == NB_OK)
        *out = w;
    else
        nb_st_writer_free(w);
    return st;
}

nb_status nb_checkpoint_save(nb_ctx *ctx, const char *path, const nb_checkpoint_spec *s)
{
    nb_st_writer *w;
    NB_TRY(fill(ctx, s, &w));
    nb_status st = nb_st_save(w, path);
    nb_st_writer_free(w);
    return st;
}

nb_status nb_checkpoint_prove(nb_ctx *ctx, const nb_checkpoint_spec *s)
{
    nb_st_writer *w;
    nb_checkpoint *c;
    uint8_t *bytes;
    size_t len;
    NB_TRY(fill(ctx, s, &w));
    nb_status st = nb_st_bytes(w, "the checkpoint", &bytes, &len);
    nb_st_writer_free(w);
    NB_TRY(st);
    st = nb_checkpoint_parse(ctx, "the checkpoint", bytes, len, &c);
    nb_free(ctx, bytes);
    NB_TRY(st);
    const nb_dsinfo *a = &s->graph->info, *b = &c->info;
    bool same = !strcmp(c->config, s->config) && !strcmp(c->metrics, s->metrics) && !a->class_names == !b->class_names;
    same = same && nb_features_equal(a->features, b->features);
    for (int32_t i = 0; same && a->class_names && i < a->classes; i++)
        same = !strcmp(a->class_names[i], b->class_names[i]);
    nb_checkpoint_close(ctx, c);
    return same ? NB_OK
                : nb_fail(ctx, NB_E_UNSUPPORTED,
                          "the config, the features or the class names cannot be stored unchanged");
}

/* ---- reading ---- */

static nb_status bad_meta(nb_ctx *ctx, const nb_checkpoint *c, const char *key, const char *text)
{
    if (!text)
        return nb_fail(ctx, NB_E_FORMAT, "%s: not a complete checkpoint: metadata \"%s\" is missing", c->path, key);
    return nb_fail(ctx, NB_E_FORMAT, "%s: metadata \"%s\" is \"%.40s\", which cannot be right", c->path, key, text);
}

static nb_status read_text(nb_ctx *ctx, const nb_checkpoint *c, const char *key, const char **out)
{
    *out = nb_st_meta(c->file, key);
    return *out ? NB_OK : bad_meta(ctx, c, key, NULL);
}

static nb_status read_int(nb_ctx *ctx, const nb_checkpoint *c, const char *key, int64_t max, int64_t *out)
{
    const char *text = nb_st_meta(c->file, key);
    char *end = NULL;
    errno = 0;
    long long v = text ? strtoll(text, &end, 10) : -1;
    if (!text || end == text || *end || errno || v < 0 || v > max)
        return bad_meta(ctx, c, key, text);
    *out = v;
    return NB_OK;
}

static nb_status read_int32(nb_ctx *ctx, const nb_checkpoint *c, const char *key, int32_t max, int32_t *out)
{
    int64_t v;
    NB_TRY(read_int(ctx, c, key, max, &v));
    *out = (int32_t)v;
    return NB_OK;
}

static nb_status read_double(nb_ctx *ctx, const nb_checkpoint *c, const char *key, double *out)
{
    const char *text = nb_st_meta(c->file, key);
    char *end = NULL;
    double v = text ? strtod(text, &end) : 0;
    if (!text || end == text || *end || !isfinite(v))
        return bad_meta(ctx, c, key, text);
    *out = v;
    return NB_OK;
}

/* A share of images, or -1: none yet. */
static nb_status read_accuracy(nb_ctx *ctx, const nb_checkpoint *c, const char *key, double *out)
{
    NB_TRY(read_double(ctx, c, key, out));
    return *out >= -1 && *out <= 1 ? NB_OK : bad_meta(ctx, c, key, nb_st_meta(c->file, key));
}

static nb_status read_floats(nb_ctx *ctx, const nb_checkpoint *c, const char *key, float min, float *out)
{
    const char *text = nb_st_meta(c->file, key), *at = text;
    for (int32_t i = 0; i < c->info.c || i < FEWEST; i++) {
        char *end = NULL;
        out[i] = at ? strtof(at, &end) : 0;
        if (!at || end == at || !isfinite(out[i]) || (i < c->info.c && !(out[i] >= min)))
            return bad_meta(ctx, c, key, text);
        at = end;
    }
    return *at ? bad_meta(ctx, c, key, text) : NB_OK;
}

/* In place. A backslash before anything else is one that an earlier version wrote. */
static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        bool two = *s == '\\' && (s[1] == 'n' || s[1] == '\\');
        *to++ = two && s[1] == 'n' ? '\n' : *s;
        s += two;
    }
    *to = '\0';
}

static nb_status read_class_names(nb_ctx *ctx, nb_checkpoint *c)
{
    const char *text = nb_st_meta(c->file, "class_names");
    if (!text)
        return NB_OK;
    char **names = nb_arena_array(c->arena, (size_t)c->info.classes, sizeof *names);
    char *copy = nb_arena_strdup(c->arena, text);
    if (!names || !copy)
        return NB_E_NOMEM;
    int32_t n = 0;
    for (char *at = copy; at;) {
        if (n == c->info.classes)
            return bad_meta(ctx, c, "class_names", text);
        names[n++] = at;
        at = strchr(at, '\n');
        if (at)
            *at++ = '\0';
        unescape(names[n - 1]);
    }
    c->info.class_names = (const char *const *)names;
    return n == c->info.classes ? NB_OK : bad_meta(ctx, c, "class_names", text);
}

/* Absent in imported and calibrated networks, and in what earlier versions wrote. */
static nb_status read_fingerprint(nb_ctx *ctx, const nb_checkpoint *c, const char *key, nb_fingerprint *out)
{
    const char *text = nb_st_meta(c->file, key);
    char *at[3] = {NULL};
    if (!text)
        return NB_OK;
    errno = 0;
    long count = strtol(text, &at[0], 10);
    out->labels = strtoull(at[0], &at[1], 16);
    out->pixels = strtoull(at[1], &at[2], 16);
    out->count = (int32_t)count;
    return errno || count < 1 || count > INT32_MAX || at[1] != at[0] + 17 || at[2] != at[1] + 17 || *at[2]
               ? bad_meta(ctx, c, key, text)
               : NB_OK;
}

static nb_status read_features(nb_ctx *ctx, nb_checkpoint *c)
{
    const char *text = nb_st_meta(c->file, "features");
    nb_dsinfo *d = &c->info;
    if (!text)
        return NB_OK;
    NB_TRY(nb_features_parse(c->arena, text, (int64_t)d->h * d->w * d->c, d->c, &d->features));
    return d->features ? NB_OK : bad_meta(ctx, c, "features", text);
}

static nb_status read_info(nb_ctx *ctx, nb_checkpoint *c)
{
    nb_dsinfo *d = &c->info;
    const char *text = nb_st_meta(c->file, "input"), *at = text;
    int32_t *to[] = {&d->h, &d->w, &d->c}, max[] = {MAX_SIDE, MAX_SIDE, NB_MAX_CHANNELS};
    for (int32_t i = 0; i < 3; i++) {
        char *end = NULL;
        long v = at ? strtol(at, &end, 10) : 0;
        if (!at || end == at || v < 1 || v > max[i])
            return bad_meta(ctx, c, "input", text);
        *to[i] = (int32_t)v;
        at = end;
    }
    if (*at)
        return bad_meta(ctx, c, "input", text);
    NB_TRY(read_int32(ctx, c, "classes", MAX_CLASSES, &d->classes));
    if (d->classes < 1)
        return bad_meta(ctx, c, "classes", "0");
    NB_TRY(read_floats(ctx, c, "mean", -1e6f, d->mean));
    NB_TRY(read_floats(ctx, c, "std", 1e-6f, d->std));
    NB_TRY(read_features(ctx, c));
    const char *task = nb_st_meta(c->file, "task");
    if (task && strcmp(task, RECONSTRUCT) != 0)
        return bad_meta(ctx, c, "task", task);
    d->task = task ? NB_TASK_RECONSTRUCT : NB_TASK_CLASSES;
    return read_class_names(ctx, c);
}

/* Of a phase with bits of its own. */
static nb_status read_bits(nb_ctx *ctx, nb_checkpoint *c)
{
    const char *text = nb_st_meta(c->file, "bits");
    char end;
    if (text && (sscanf(text, "%1d %1d%c", &c->bits[0], &c->bits[1], &end) != 2 || c->bits[0] > 8 || c->bits[1] > 8))
        return bad_meta(ctx, c, "bits", text);
    return NB_OK;
}

static nb_status read_position(nb_ctx *ctx, nb_checkpoint *c)
{
    nb_position *p = &c->at;
    NB_TRY(read_int32(ctx, c, "phase", MAX_COUNT, &p->phase));
    NB_TRY(read_int32(ctx, c, "epoch", MAX_COUNT, &p->epoch));
    NB_TRY(read_int(ctx, c, "step", MAX_COUNT, &p->step));
    NB_TRY(read_int(ctx, c, "updates", INT64_C(1) << 50, &p->updates));
    NB_TRY(read_int32(ctx, c, "epochs_done", MAX_COUNT, &p->epochs_done));
    NB_TRY(read_double(ctx, c, "loss_sum", &p->loss_sum));
    NB_TRY(read_int(ctx, c, "correct", INT64_C(1) << 50, &p->correct));
    NB_TRY(read_int(ctx, c, "seen", INT64_C(1) << 50, &p->seen));
    NB_TRY(read_accuracy(ctx, c, "best_accuracy", &p->best_accuracy));
    NB_TRY(read_int32(ctx, c, "best_phase", MAX_COUNT, &p->best_phase));
    return read_int32(ctx, c, "best_epoch", MAX_COUNT, &p->best_epoch);
}

static nb_status read_all(nb_ctx *ctx, nb_checkpoint *c)
{
    const char *format = nb_st_meta(c->file, "format"), *quantized;
    if (format && strncmp(format, "nibble-int", 10) == 0)
        return nb_fail(ctx, NB_E_FORMAT,
                       "%s: not a Nibble checkpoint to train or quantize from: it holds integers alone; take "
                       "last.safetensors of the same run",
                       c->path);
    if (!format)
        return nb_fail(
            ctx, NB_E_FORMAT,
            "%s: not a Nibble checkpoint (metadata \"format\" is missing); nibble import %s --config CONFIG -o "
            "OUT makes one of another framework's weights",
            c->path, c->path);
    NB_TRY(nb_st_check_format(ctx, c->file, FAMILY, VERSION, "a Nibble checkpoint"));
    NB_TRY(read_text(ctx, c, "config", &c->config));
    NB_TRY(read_text(ctx, c, "metrics", &c->metrics));
    NB_TRY(read_text(ctx, c, "phase_name", &c->phase_name));
    NB_TRY(read_text(ctx, c, "quantized", &quantized));
    c->quantized = strcmp(quantized, "yes") == 0;
    if (!c->quantized && strcmp(quantized, "no") != 0)
        return bad_meta(ctx, c, "quantized", quantized);
    NB_TRY(read_bits(ctx, c));
    NB_TRY(read_position(ctx, c));
    NB_TRY(read_accuracy(ctx, c, "accuracy", &c->accuracy));
    c->float_accuracy = -1;
    if (nb_st_meta(c->file, "float_accuracy"))
        NB_TRY(read_accuracy(ctx, c, "float_accuracy", &c->float_accuracy));
    NB_TRY(read_fingerprint(ctx, c, "train_data", &c->train_data));
    NB_TRY(read_fingerprint(ctx, c, "test_data", &c->test_data));
    c->grids = nb_st_meta(c->file, "grids");
    const char *teacher = nb_st_meta(c->file, "teacher");
    c->teacher_hash = teacher ? strtoull(teacher, NULL, 16) : 0;
    return read_info(ctx, c);
}

/* Takes the file, which is closed after a failure too. */
static nb_status from_file(nb_ctx *ctx, nb_st_file *file, nb_checkpoint **out)
{
    nb_arena *arena = NULL;
    nb_status st = nb_arena_create(ctx, &arena);
    nb_checkpoint *c = st == NB_OK ? nb_arena_alloc(arena, sizeof *c) : NULL;
    if (!c) {
        nb_arena_free(arena);
        nb_st_close(ctx, file);
        return NB_E_NOMEM;
    }
    *c = (nb_checkpoint){.file = file, .path = nb_st_name(file), .arena = arena};
    nb_c_locale locale;
    st = nb_c_locale_enter(&locale) ? read_all(ctx, c) : nb_fail(ctx, NB_E_NOMEM, "out of memory");
    nb_c_locale_leave(&locale);
    if (st == NB_OK)
        *out = c;
    else
        nb_checkpoint_close(ctx, c);
    return st;
}

nb_status nb_checkpoint_open(nb_ctx *ctx, const char *path, nb_checkpoint **out)
{
    nb_st_file *file;
    nb_status st = nb_st_open(ctx, path, &file);
    if (st == NB_E_IO && nb_is_folder(path))
        return nb_fail(ctx, st, "%s: is a folder, expected a file; a run's checkpoint is %s/last.safetensors", path,
                       path);
    NB_TRY(st);
    return from_file(ctx, file, out);
}

nb_status nb_checkpoint_parse(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_checkpoint **out)
{
    nb_st_file *file;
    NB_TRY(nb_st_parse(ctx, name, bytes, len, &file));
    return from_file(ctx, file, out);
}

void nb_checkpoint_drop_tensors(nb_ctx *ctx, nb_checkpoint *c)
{
    nb_st_drop_tensors(ctx, c->file);
}

void nb_checkpoint_close(nb_ctx *ctx, nb_checkpoint *c)
{
    if (!c)
        return;
    nb_st_close(ctx, c->file);
    nb_arena_free(c->arena);
}

static nb_status load_values(nb_ctx *ctx, const nb_checkpoint *c, const nb_kept *k)
{
    const nb_st_tensor *t = nb_st_find(c->file, k->name);
    const int64_t n = nb_count(&k->leaf->out);
    if (!t)
        return nb_fail(ctx, NB_E_FORMAT, "%s: tensor %s is missing: this checkpoint cannot be resumed from", c->path,
                       k->name);
    if (t->dtype != NB_ST_F32 || t->count != n)
        return nb_fail(ctx, NB_E_FORMAT, "%s: tensor %s has %lld values, the network needs %lld floats", c->path,
                       k->name, (long long)t->count, (long long)n);
    const float *values = t->data;
    const int64_t bad = nb_first_fault(values, n, k->nonnegative);
    if (bad < n)
        return nb_fail(ctx, NB_E_FORMAT, "%s: tensor %s: value %lld is %g: %s", c->path, k->name, (long long)bad,
                       (double)values[bad], nb_value_fault(values[bad], k->nonnegative));
    memcpy(k->data, values, (size_t)n * sizeof(float));
    return NB_OK;
}

nb_status nb_checkpoint_load_optim(nb_ctx *ctx, const nb_checkpoint *c, nb_optim *o)
{
    int32_t n;
    const nb_kept *kept = nb_optim_kept(o, &n);
    for (int32_t i = 0; i < n; i++)
        NB_TRY(load_values(ctx, c, &kept[i]));
    return NB_OK;
}
