/* cmd_run.c - what a model says about PNG files and NumPy's: the five most probable classes of each image or sample. */
#include "cli/open_model.h"
#include "cli/output.h"

#include "base/check.h"
#include "base/numtext.h"

#include <math.h>
#include <string.h>

enum { TOP = 5, MAX_IMAGES = 1 << 20, PATH_BYTES = 4096 };

typedef struct {
    int32_t label;
    double probability;
} guess;

/* Softmax, then the TOP largest in order, ties to the lower label; returns how many. */
static int32_t rank(const float *logits, int32_t classes, guess *top)
{
    double max = logits[0], sum = 0;
    for (int32_t i = 1; i < classes; i++)
        max = fmax(max, (double)logits[i]);
    for (int32_t i = 0; i < classes; i++)
        sum += exp((double)logits[i] - max);
    int32_t n = 0;
    for (int32_t i = 0; i < classes; i++) {
        guess g = {i, exp((double)logits[i] - max) / sum};
        int32_t at = n < TOP ? n : TOP;
        while (at > 0 && top[at - 1].probability < g.probability)
            at--;
        if (at == TOP)
            continue;
        n = n < TOP ? n + 1 : TOP;
        memmove(&top[at + 1], &top[at], (size_t)(n - 1 - at) * sizeof *top);
        top[at] = g;
    }
    return n;
}

static const char *class_name(const nb_dsinfo *info, int32_t label, char *buf, size_t len)
{
    if (info->class_names)
        return info->class_names[label];
    snprintf(buf, len, "%d", label);
    return buf;
}

/* A name is whatever a folder may be called; what would move the cursor is a question mark. */
static void print_name(const char *s)
{
    for (; *s; s++)
        putchar((unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
    putchar('\n');
}

static void print_text(const cli_model *m, const char *path, const guess *top, int32_t n)
{
    char buf[16];
    printf("%s\n", path);
    for (int32_t i = 0; i < n; i++) {
        printf("  %6.2f %%  ", nb_percent(top[i].probability));
        print_name(class_name(&m->info, top[i].label, buf, sizeof buf));
    }
}

static void add_json(cJSON *list, const cli_model *m, const char *path, const guess *top, int32_t n)
{
    char buf[16];
    cJSON *o = cJSON_CreateObject(), *tops = cJSON_CreateArray();
    cJSON_AddStringToObject(o, "image", path);
    for (int32_t i = 0; i < n; i++) {
        cJSON *t = cJSON_CreateObject();
        cJSON_AddNumberToObject(t, "label", top[i].label);
        cJSON_AddStringToObject(t, "class", class_name(&m->info, top[i].label, buf, sizeof buf));
        cJSON_AddNumberToObject(t, "probability", top[i].probability);
        cJSON_AddItemToArray(tops, t);
    }
    cJSON_AddItemToObject(o, "top", tops);
    cJSON_AddItemToArray(list, o);
}

/* What stands behind transparent pixels is what stood there in training: the key of pngdir, or its default, white. */
static nb_status read_background(cli *c, const cli_model *m, int32_t *out)
{
    static const nb_key level = {.kind = NB_K_INT, .min = 0, .max = 255};
    const nb_conf *key = nb_conf_get(m->experiment.exp.data, "background");
    *out = 255;
    return key ? nb_conf_value(c->ctx, key, "data.background", &level, out) : NB_OK;
}

/* What is asked of, and what is said of it. */
typedef struct {
    cli *c;
    const cli_model *m;
    nb_png_spec png;
    uint8_t *pixels; /* of one image */
    float *logits;
    cJSON *list; /* NULL: text */
    int32_t unread;
} session;

static nb_status say_error(const session *s, const uint8_t *pixels, const char *name)
{
    double error;
    NB_TRY(cli_model_error(s->c, s->m, pixels, s->logits, &error));
    if (!s->list) {
        printf("%s\n  anomaly score %.6g\n", name, error);
        return NB_OK;
    }
    cJSON *o = cJSON_CreateObject(), *values = cJSON_CreateArray();
    cJSON_AddStringToObject(o, "image", name);
    cJSON_AddNumberToObject(o, "score", error);
    for (int32_t i = 0; i < s->m->info.classes; i++)
        cJSON_AddItemToArray(values, cJSON_CreateNumber((double)s->logits[i]));
    cJSON_AddItemToObject(o, "output", values);
    cJSON_AddItemToArray(s->list, o);
    return NB_OK;
}

static nb_status say(const session *s, const uint8_t *pixels, const char *name)
{
    guess top[TOP + 1];
    NB_TRY(cli_model_logits(s->c, s->m, pixels, s->logits));
    if (s->m->info.task == NB_TASK_RECONSTRUCT)
        return say_error(s, pixels, name);
    const int32_t n = rank(s->logits, s->m->info.classes, top);
    if (s->list)
        add_json(s->list, s->m, name, top, n);
    else
        print_text(s->m, name, top, n);
    return NB_OK;
}

static bool is_npy(const char *path)
{
    const size_t n = strlen(path);
    return n > 4 && strcmp(path + n - 4, ".npy") == 0;
}

/* Samples of one file are called by their numbers. */
static nb_status run_samples(const session *s, const char *path)
{
    const nb_dsinfo *d = &s->m->info;
    const size_t each = (size_t)d->h * (size_t)d->w * (size_t)d->c;
    uint8_t *codes = NULL;
    int32_t count = 0;
    NB_TRY(nb_npy_load(s->c->ctx, path, s->m->experiment.exp.data, d, &codes, &count));
    nb_status st = NB_OK;
    for (int32_t i = 0; i < count && st == NB_OK; i++) {
        char name[PATH_BYTES];
        if (count > 1)
            snprintf(name, sizeof name, "%s[%d]", path, i);
        else
            snprintf(name, sizeof name, "%s", path);
        st = say(s, codes + (size_t)i * each, name);
    }
    nb_free(s->c->ctx, codes);
    return st;
}

static nb_status run_image(const session *s, const char *path)
{
    const nb_dsinfo *d = &s->m->info;
    if (d->features)
        return nb_fail(s->c->ctx, NB_E_UNSUPPORTED,
                       "%s: is no .npy file, and the network takes %s features of %dx%dx%d", path, d->features->dtype,
                       d->h, d->w, d->c);
    if (d->c != 1 && d->c != 3)
        return nb_fail(s->c->ctx, NB_E_UNSUPPORTED, "%s: takes images of %d channels; PNG files have 1 or 3",
                       s->m->path, d->c);
    NB_TRY(nb_png_load(s->c->ctx, path, &s->png, s->pixels));
    return say(s, s->pixels, path);
}

static nb_status run_files(session *s)
{
    cli *c = s->c;
    NB_TRY(read_background(c, s->m, &s->png.background));
    for (int32_t i = 1; i < c->n_args; i++) {
        const nb_status st = is_npy(c->arg[i]) ? run_samples(s, c->arg[i]) : run_image(s, c->arg[i]);
        if (c->n_args > 2 && (st == NB_E_FORMAT || st == NB_E_IO)) { /* the others are wanted all the same */
            nb_log(c->ctx, "%s", nb_ctx_error(c->ctx));
            s->unread++;
            continue;
        }
        NB_TRY(st);
    }
    return NB_OK;
}

static nb_status run(cli *c)
{
    cli_model m = {0};
    nb_status st = cli_model_open(c, c->arg[0], 1, &m);
    session s = {.c = c, .m = &m};
    cJSON *o = NULL;
    if (st == NB_OK) {
        s.png = (nb_png_spec){
            .h = m.info.h, .w = m.info.w, .c = m.info.c, .resize = cli_flag(c, "--resize"), .remedy = "--resize"};
        s.pixels = nb_alloc(c->ctx, (size_t)m.info.h * (size_t)m.info.w * (size_t)m.info.c);
        s.logits = nb_alloc(c->ctx, (size_t)m.info.classes * sizeof *s.logits);
        st = s.pixels && s.logits ? NB_OK : NB_E_NOMEM;
    }
    if (st == NB_OK && cli_flag(c, "--json")) {
        o = cJSON_CreateObject();
        cJSON_AddBoolToObject(o, "simulated", *m.experiment.simulated != '\0');
        s.list = cJSON_AddArrayToObject(o, "images");
        st = s.list ? NB_OK : nb_fail(c->ctx, NB_E_NOMEM, "out of memory");
    }
    if (st == NB_OK && !s.list && *m.experiment.simulated)
        printf("simulated in floats, no integers: %s\n", m.experiment.simulated);
    if (st == NB_OK)
        st = run_files(&s);
    if (st == NB_OK && s.list)
        st = cli_json_print(c->ctx, o);
    else
        cJSON_Delete(o);
    if (st == NB_OK && s.unread)
        st = nb_fail(c->ctx, NB_E_FORMAT, "%d of %d images could not be read", s.unread, c->n_args - 1);
    nb_free(c->ctx, s.logits);
    nb_free(c->ctx, s.pixels);
    cli_model_close(c, &m);
    return st;
}

static const cli_option options[] = {
    {"--resize", NULL, "scale images of another size to the network's"}, CLI_SET, CLI_THREADS, CLI_JSON, {0}};

const cli_command cli_command_run = {
    .name = "run",
    .usage = "FILE IMAGE.png|SAMPLES.npy...",
    .help = "the five most probable classes of images, or of samples",
    .more =
        "FILE is a checkpoint of either kind. Grey, colour, palette and transparent PNG files are converted to "
        "what the\n"
        "network takes. A .npy file holds one sample or several along its first dimension. Probabilities are the "
        "softmax of the logits.\n"
        "Of a network that reconstructs its input: how far its output is away from it, a mean square; --json has the "
        "output.\n",
    .options = options,
    .min_args = 2,
    .max_args = MAX_IMAGES,
    .first = CLI_MODEL,
    .run = run,
};
