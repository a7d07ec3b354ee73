/* cmd_run.c - what a model says about PNG files: the five most probable classes of each. */
#include "cli/open_model.h"
#include "cli/output.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

enum { TOP = 5, MAX_IMAGES = 1 << 20 };

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
        printf("  %6.2f %%  ", 100 * top[i].probability);
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

static nb_status run_images(cli *c, const cli_model *m, uint8_t *pixels, float *logits, cJSON *list, int32_t *unread)
{
    nb_png_spec spec = {.h = m->info.h, .w = m->info.w, .c = m->info.c, .resize = cli_flag(c, "--resize")};
    NB_TRY(read_background(c, m, &spec.background));
    int32_t bad = 0;
    for (int32_t i = 1; i < c->n_args; i++) {
        guess top[TOP + 1];
        const nb_status st = nb_png_load(c->ctx, c->arg[i], &spec, pixels);
        if (c->n_args > 2 && (st == NB_E_FORMAT || st == NB_E_IO)) { /* the others are wanted all the same */
            nb_log(c->ctx, "%s", nb_ctx_error(c->ctx));
            bad++;
            continue;
        }
        NB_TRY(st);
        NB_TRY(cli_model_logits(c, m, pixels, logits));
        int32_t n = rank(logits, m->info.classes, top);
        if (list)
            add_json(list, m, c->arg[i], top, n);
        else
            print_text(m, c->arg[i], top, n);
    }
    *unread = bad;
    return NB_OK;
}

static nb_status run(cli *c)
{
    cli_model m = {0};
    nb_status st = cli_model_open(c, c->arg[0], 1, &m);
    if (st == NB_OK && m.info.c != 1 && m.info.c != 3)
        st = nb_fail(c->ctx, NB_E_UNSUPPORTED, "%s: takes images of %d channels; PNG files have 1 or 3", m.path,
                     m.info.c);
    uint8_t *pixels = NULL;
    float *logits = NULL;
    cJSON *o = NULL, *list = NULL;
    int32_t unread = 0;
    if (st == NB_OK) {
        pixels = nb_alloc(c->ctx, (size_t)m.info.h * (size_t)m.info.w * (size_t)m.info.c);
        logits = nb_alloc(c->ctx, (size_t)m.info.classes * sizeof *logits);
        st = pixels && logits ? NB_OK : NB_E_NOMEM;
    }
    if (st == NB_OK && cli_flag(c, "--json")) {
        o = cJSON_CreateObject();
        cJSON_AddBoolToObject(o, "simulated", *m.experiment.simulated != '\0');
        list = cJSON_AddArrayToObject(o, "images");
        st = list ? NB_OK : nb_fail(c->ctx, NB_E_NOMEM, "out of memory");
    }
    if (st == NB_OK && !list && *m.experiment.simulated)
        printf("simulated in floats, no integers: %s\n", m.experiment.simulated);
    if (st == NB_OK)
        st = run_images(c, &m, pixels, logits, list, &unread);
    if (st == NB_OK && list)
        st = cli_json_print(c->ctx, o);
    else
        cJSON_Delete(o);
    if (st == NB_OK && unread)
        st = nb_fail(c->ctx, NB_E_FORMAT, "%d of %d images could not be read", unread, c->n_args - 1);
    nb_free(c->ctx, logits);
    nb_free(c->ctx, pixels);
    cli_model_close(c, &m);
    return st;
}

static const cli_option options[] = {
    {"--resize", NULL, "scale images of another size to the network's"}, CLI_SET, CLI_THREADS, CLI_JSON, {0}};

const cli_command cli_command_run = {
    .name = "run",
    .usage = "FILE IMAGE.png...",
    .help = "the five most probable classes of images",
    .more = "FILE is a checkpoint of either kind. Grey, colour, palette and transparent PNG files are converted to "
            "what the\n"
            "network takes. Probabilities are the softmax of the logits.\n",
    .options = options,
    .min_args = 2,
    .max_args = MAX_IMAGES,
    .first = CLI_MODEL,
    .run = run,
};
