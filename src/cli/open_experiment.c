/* open_experiment.c - config -> bound experiment -> open data sets, with the checks that need both splits. */
#include "cli/open_experiment.h"
#include "cli/choices.h"

#include "base/check.h"
#include "train/loader.h"

#include <stdlib.h>
#include <string.h>

enum { FLOAT_BITS = 32 };
enum { USUAL_ENDS = 8 }; /* the default of quant.first_last_bits, which a label does not mention */

/* runs/<file name without folder and suffix> */
static char *default_out(nb_ctx *ctx, const char *path)
{
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    size_t stem = strcspn(base, "."), size = stem + sizeof "runs/";
    char *out = nb_alloc(ctx, size);
    if (out)
        snprintf(out, size, "runs/%.*s", (int)stem, base);
    return out;
}

static nb_status bind(cli *c, const char *name, cli_experiment *e)
{
    cli_settle_choices(c, e->config);
    NB_TRY(nb_experiment_bind(c->ctx, e->config, &e->exp));
    NB_TRY(nb_config_print(c->ctx, e->config, &e->text));
    e->out = *e->exp.out ? nb_strdup(c->ctx, e->exp.out) : default_out(c->ctx, name);
    return e->out ? NB_OK : NB_E_NOMEM;
}

nb_status cli_experiment_load(cli *c, const char *path, cli_experiment *e)
{
    return cli_experiment_load_said(c, path, NULL, 0, e);
}

nb_status cli_experiment_load_said(cli *c, const char *path, const cli_said *said, int32_t n, cli_experiment *e)
{
    NB_TRY(nb_config_load(c->ctx, path, c->set, c->n_sets, &e->config));
    for (int32_t i = 0; i < n; i++)
        NB_TRY(nb_config_set(c->ctx, e->config, said[i].option, said[i].set));
    return bind(c, path, e);
}

nb_status cli_experiment_parse(cli *c, const char *name, const char *text, cli_experiment *e)
{
    NB_TRY(nb_config_parse(c->ctx, name, text, strlen(text), c->set, c->n_sets, &e->config));
    return bind(c, name, e);
}

static nb_status check_splits_agree(cli *c, const cli_experiment *e)
{
    if (!e->train || !e->test)
        return NB_OK;
    const nb_dsinfo *a = nb_data_info(e->train), *b = nb_data_info(e->test);
    if (a->h == b->h && a->w == b->w && a->c == b->c && a->classes == b->classes)
        return NB_OK;
    return nb_fail(c->ctx, NB_E_SHAPE,
                   "data: training images are %dx%dx%d in %d classes, test images are %dx%dx%d in %d classes", a->h,
                   a->w, a->c, a->classes, b->h, b->w, b->c, b->classes);
}

static nb_status open_split(cli *c, const cli_experiment *e, const char *split, nb_data **out)
{
    const nb_status st = nb_data_open_as(c->ctx, e->exp.data, split, e->features, out);
    char why[1024];
    if (st != NB_E_CONFIG || !e->stored)
        return st;
    snprintf(why, sizeof why, "%s", nb_ctx_error(c->ctx));
    return nb_fail(c->ctx, NB_E_FORMAT, "%s", why);
}

nb_status cli_experiment_open_test(cli *c, cli_experiment *e)
{
    if (!e->test)
        NB_TRY(open_split(c, e, "test", &e->test));
    return check_splits_agree(c, e);
}

nb_status cli_experiment_open_train(cli *c, cli_experiment *e)
{
    if (e->train)
        return NB_OK;
    NB_TRY(open_split(c, e, "train", &e->train));
    int32_t count = nb_data_info(e->train)->count;
    e->n_validation = nb_data_common(e->train)->validation;
    if (e->n_validation >= count)
        return nb_conf_fail(c->ctx, nb_conf_get(e->exp.data, "validation"), "data.validation", NB_E_CONFIG,
                            "%d: must be less than %d, the number of training images", e->n_validation, count);
    if (e->n_validation > 0)
        NB_TRY(nb_split_order(c->ctx, count, e->n_validation, e->exp.seed, &e->order));
    e->n_train = count - e->n_validation;
    return check_splits_agree(c, e);
}

void cli_experiment_close(cli *c, cli_experiment *e)
{
    nb_free(c->ctx, e->order);
    nb_data_close(c->ctx, e->train);
    nb_data_close(c->ctx, e->test);
    nb_free(c->ctx, e->out);
    nb_free(c->ctx, e->text);
    nb_config_free(c->ctx, e->config);
    *e = (cli_experiment){0};
}

nb_status cli_experiment_split(cli *c, cli_experiment *e, const char *split, cli_images *out)
{
    if (!split || !strcmp(split, "test")) {
        NB_TRY(cli_experiment_open_test(c, e));
        *out = (cli_images){.name = "test", .data = e->test, .n = nb_data_info(e->test)->count};
        return NB_OK;
    }
    if (strcmp(split, "train") != 0 && strcmp(split, "validation") != 0)
        return cli_usage(c, "--split: %s: must be test, validation or train", split);
    NB_TRY(cli_experiment_open_train(c, e));
    if (!strcmp(split, "train")) {
        *out = (cli_images){.name = "train", .data = e->train, .indices = e->order, .n = e->n_train};
        return NB_OK;
    }
    if (!e->n_validation)
        return nb_fail(c->ctx, NB_E_CONFIG,
                       "--split validation: this experiment has no validation images (data.validation is 0)");
    *out = (cli_images){"validation", e->train, e->order + e->n_train, e->n_validation};
    return NB_OK;
}

bool cli_is_config(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml"));
}

/* ---- the label of a quantized network ---- */

/* The value of a key of `quant` or of a section of it; the table's default when it is not written. */
static int32_t number_of(const nb_conf *section, const char *name, const nb_key *keys)
{
    const char *text = nb_conf_text(nb_conf_get(section, name));
    for (const nb_key *k = keys; !text && k->name; k++)
        text = strcmp(k->name, name) == 0 ? k->dflt : NULL;
    return text ? (int32_t)strtol(text, NULL, 10) : 0;
}

/* ", 3 layers at W2..6": the single layers whose bits differ from the general ones. Returns the bytes written. */
static size_t add_layers(const nb_conf *quant, const char *part, char letter, int32_t general, char *buf, size_t len)
{
    const nb_conf *layers = nb_conf_get(quant, "layers");
    int32_t n = 0, low = INT32_MAX, high = 0;
    for (int32_t i = 0; nb_conf_is_map(layers) && i < nb_conf_count(layers); i++) {
        const nb_conf *own = nb_conf_get(nb_conf_at(layers, i), part);
        if (!nb_conf_get(own, "bits"))
            continue;
        const int32_t bits = number_of(own, "bits", nb_quant_weight_keys);
        n += bits != general;
        low = bits != general && bits < low ? bits : low;
        high = bits != general && bits > high ? bits : high;
    }
    if (n == 0)
        return 0;
    int at = snprintf(buf, len, ", %d %s at %c%d", n, n == 1 ? "layer" : "layers", letter, low);
    if (high > low && at > 0 && (size_t)at < len)
        at += snprintf(buf + at, len - (size_t)at, "..%d", high);
    return (size_t)at;
}

/* "W4", "W32" of what is off, "Wfp8_e4m3" and a space of a format that says its own width. Returns the bits, 0 for the last. */
static int32_t add_general(const nb_conf *section, char letter, const nb_key *keys, char *buf, size_t len, size_t *at)
{
    const char *off = nb_conf_text(section), *name = nb_conf_text(nb_conf_get(section, "format"));
    const bool named = name && nb_format_says_bits(name);
    const int32_t bits = off && *off ? FLOAT_BITS : named ? 0 : number_of(section, "bits", keys);
    *at += named ? (size_t)snprintf(buf + *at, len - *at, "%c%s%s", letter, name, letter == 'W' ? " " : "")
                 : (size_t)snprintf(buf + *at, len - *at, "%c%d", letter, bits);
    return bits;
}

static const char *codes_of(const nb_conf *section)
{
    return nb_codes_name(nb_conf_text(nb_conf_get(section, "format")), nb_conf_text(nb_conf_get(section, "learn")));
}

/* " block", ", activations pow2", ", 2 layers of another format". Returns the bytes written. */
static size_t add_codes(const nb_conf *quant, char *buf, size_t len)
{
    const nb_conf *layers = nb_conf_get(quant, "layers"), *weights = nb_conf_get(quant, "weights");
    const char *w = codes_of(weights), *a = codes_of(nb_conf_get(quant, "activations"));
    const char *general = nb_conf_text(nb_conf_get(weights, "format"));
    int32_t n = 0;
    for (int32_t i = 0; nb_conf_is_map(layers) && i < nb_conf_count(layers); i++) {
        const char *own = nb_conf_text(nb_conf_get(nb_conf_get(nb_conf_at(layers, i), "weights"), "format"));
        n += own && strcmp(own, general ? general : "uniform") != 0;
    }
    size_t at = (size_t)snprintf(buf, len, "%s%s%s%s", *w ? " " : "", w, *a ? ", activations " : "", a);
    if (n > 0 && at < len)
        at += (size_t)snprintf(buf + at, len - at, ", %d %s of another format", n, n == 1 ? "layer" : "layers");
    return at;
}

void cli_experiment_note(cli_experiment *e, const nb_graph *g)
{
    const char *why = nb_graph_about(g).simulated;
    snprintf(e->simulated, sizeof e->simulated, "%s", why ? why : "");
}

const char *cli_bits_text(const cli_experiment *e, bool quant, char buf[CLI_BITS_BYTES])
{
    const nb_conf *q = e->exp.quant;
    if (!quant) {
        snprintf(buf, CLI_BITS_BYTES, "float");
        return buf;
    }
    size_t at = 0;
    const int32_t ends = number_of(q, "first_last_bits", nb_quant_section_keys);
    const int32_t w = add_general(nb_conf_get(q, "weights"), 'W', nb_quant_weight_keys, buf, CLI_BITS_BYTES, &at);
    const int32_t a = add_general(nb_conf_get(q, "activations"), 'A', nb_quant_act_keys, buf, CLI_BITS_BYTES, &at);
    at += add_codes(q, buf + at, CLI_BITS_BYTES - at);
    if (ends == 0 && (w != USUAL_ENDS || a != USUAL_ENDS))
        at += (size_t)snprintf(buf + at, CLI_BITS_BYTES - at, " throughout");
    else if (ends != 0 && ends != USUAL_ENDS)
        at += (size_t)snprintf(buf + at, CLI_BITS_BYTES - at, ", first and last %d", ends);
    const int32_t joins = number_of(q, "join_bits", nb_quant_section_keys);
    if (joins)
        at += (size_t)snprintf(buf + at, CLI_BITS_BYTES - at, ", joins %d", joins);
    at += add_layers(q, "weights", 'W', w, buf + at, CLI_BITS_BYTES - at);
    at += add_layers(q, "activations", 'A', a, buf + at, CLI_BITS_BYTES - at);
    if (*e->simulated)
        snprintf(buf + at, CLI_BITS_BYTES - at, ", simulated");
    return buf;
}

const char *cli_phase_bits(const cli_experiment *e, const nb_phase_keys *k, char buf[CLI_BITS_BYTES])
{
    int32_t at = 0;
    if (!k->bits[0] && !k->bits[1])
        return cli_bits_text(e, k->quant, buf);
    if (k->bits[1])
        at = snprintf(buf, CLI_BITS_BYTES, "W%d", k->bits[1]);
    if (k->bits[0])
        at += snprintf(buf + at, (size_t)(CLI_BITS_BYTES - at), "A%d", k->bits[0]);
    snprintf(buf + at, (size_t)(CLI_BITS_BYTES - at), " in this phase");
    return buf;
}
