/* onnx_config.c - a translated ONNX graph as a config people can read, and its weights into the graph of that config.
 */
#include <nibble/extend/keys.h>
#include <nibble/import.h>

#include "import/fill.h"
#include "import/onnx_net.h"

#include "base/check.h"
#include "base/numtext.h"
#include "base/textbuf.h"
#include "core/oihw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { OTHER_VALUES = 512 /* of a config, beside its layers */ };

struct nb_onnx {
    nb_ctx *ctx;
    onnx_file *file;
    onnx_net net;
    nb_dsinfo info;
};

/* ---- reading ---- */

/* "0.5 0.25 0.25" as our exporter writes it. */
static bool read_numbers(const char *text, int32_t count, float *out)
{
    for (int32_t i = 0; i < count; i++) {
        char *end;
        out[i] = strtof(text, &end);
        if (end == text || !isfinite(out[i]) || fabsf(out[i]) > 1000)
            return false;
        text = end;
    }
    return *text == '\0';
}

static void read_info(nb_onnx *o)
{
    const onnx_file *f = o->file;
    float mean[NB_MAX_CHANNELS] = {0}, std[NB_MAX_CHANNELS] = {0};
    o->info = (nb_dsinfo){.h = o->net.h, .w = o->net.w, .c = o->net.c, .classes = o->net.classes};
    bool got[2] = {false, false};
    for (size_t i = 0; i < f->n_meta; i++) {
        if (strcmp(f->meta[2 * i], "mean") == 0)
            got[0] = read_numbers(f->meta[2 * i + 1], o->info.c, mean);
        if (strcmp(f->meta[2 * i], "std") == 0)
            got[1] = read_numbers(f->meta[2 * i + 1], o->info.c, std);
    }
    for (int32_t c = 0; c < o->info.c; c++)
        got[1] = got[1] && std[c] >= 1e-6f;
    if (!got[0] || !got[1]) {
        for (size_t i = 0; i < f->n_meta; i++)
            if (strcmp(f->meta[2 * i], "mean") == 0 || strcmp(f->meta[2 * i], "std") == 0)
                o->net.note[ONNX_NOTE_META].text = nb_arena_printf(
                    o->net.arena,
                    "%s: its metadata say %s \"%.60s\", which is not read: %d numbers with blanks between are", f->path,
                    f->meta[2 * i], f->meta[2 * i + 1], o->info.c);
        return;
    }
    memcpy(o->info.mean, mean, sizeof mean);
    memcpy(o->info.std, std, sizeof std);
}

/* Takes the file. */
static nb_status translate(nb_ctx *ctx, onnx_file *file, const nb_onnx_size *given, nb_onnx **out)
{
    nb_onnx *o = nb_alloc(ctx, sizeof *o);
    if (!o) {
        onnx_file_free(ctx, file);
        return NB_E_NOMEM;
    }
    *o = (nb_onnx){.ctx = ctx, .file = file, .net = {.ctx = ctx, .file = file, .given = given}};
    nb_status st = nb_arena_create(ctx, &o->net.arena);
    nb_c_locale locale; /* numbers become text, and text numbers */
    if (st == NB_OK)
        st = nb_c_locale_enter(&locale) ? onnx_net_translate(&o->net) : nb_fail(ctx, NB_E_NOMEM, "out of memory");
    o->net.given = NULL; /* it is the caller's */
    if (st == NB_OK)
        read_info(o);
    if (o->net.arena)
        nb_c_locale_leave(&locale);
    if (st == NB_OK)
        *out = o;
    else
        nb_onnx_free(o);
    return st;
}

nb_status nb_onnx_open_sized(nb_ctx *ctx, const char *path, const nb_onnx_size *given, nb_onnx **out)
{
    onnx_file *f;
    NB_TRY(onnx_file_open(ctx, path, &f));
    return translate(ctx, f, given, out);
}

nb_status nb_onnx_open(nb_ctx *ctx, const char *path, nb_onnx **out)
{
    return nb_onnx_open_sized(ctx, path, NULL, out);
}

nb_status nb_onnx_parse(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_onnx **out)
{
    onnx_file *f;
    NB_TRY(onnx_file_parse(ctx, name, bytes, len, &f));
    return translate(ctx, f, NULL, out);
}

void nb_onnx_free(nb_onnx *o)
{
    if (!o)
        return;
    nb_arena_free(o->net.arena);
    onnx_file_free(o->ctx, o->file);
    nb_free(o->ctx, o);
}

void nb_onnx_say(const nb_onnx *o)
{
    onnx_net_say(&o->net);
}

bool nb_onnx_reconstructs(const nb_onnx *o)
{
    return o->net.reconstructs;
}

const nb_dsinfo *nb_onnx_info(const nb_onnx *o)
{
    return &o->info;
}

/* ---- the network's own normalisation ---- */

/* The affine layer that alone reads the input; NULL: there is none. */
static onnx_layer *first_affine(onnx_net *n)
{
    onnx_layer *first = NULL;
    for (int32_t i = 1; i < n->n; i++)
        for (int32_t k = 0; n->layer[i].needed && k < n->layer[i].n_in; k++) {
            if (n->layer[i].in[k] != 0)
                continue;
            if (first || strcmp(n->layer[i].op, "affine") != 0)
                return NULL;
            first = &n->layer[i];
        }
    return first && first != &n->layer[n->output] ? first : NULL;
}

/* m (p - mean) / std + a = (p - (mean - a std / m)) / (std / m) */
bool nb_onnx_take_normalisation(nb_onnx *o, float *mean, float *std)
{
    onnx_net *n = &o->net;
    onnx_layer *l = first_affine(n);
    float moved[NB_MAX_CHANNELS], scaled[NB_MAX_CHANNELS];
    for (int32_t c = 0; l && c < n->c; c++) {
        const int32_t at = l->param[0].t.count > 1 ? c : 0;
        const double m = (double)((const float *)l->param[0].t.data)[at],
                     a = (double)((const float *)l->param[1].t.data)[at];
        const double s = m > 0 ? (double)std[c] / m : 0, shift = (double)mean[c] - a * s;
        if (!(s >= 1e-6 && s <= NB_INPUT_MAX_STD && fabs(shift) <= NB_INPUT_MAX_MEAN))
            return false;
        moved[c] = (float)shift;
        scaled[c] = (float)s;
    }
    if (!l)
        return false;
    memcpy(mean, moved, (size_t)n->c * sizeof *mean);
    memcpy(std, scaled, (size_t)n->c * sizeof *std);
    l->needed = false;
    for (int32_t i = 1; i < n->n; i++)
        for (int32_t k = 0; k < n->layer[i].n_in; k++)
            if (n->layer[i].in[k] == (int32_t)(l - n->layer))
                n->layer[i].in[k] = 0;
    return true;
}

/* ---- the config ---- */

/* Who is read by somebody other than the layer right below needs a name to be read by. */
static void name_the_read(onnx_net *n)
{
    int32_t above = -1;
    for (int32_t i = 0; i < n->n; i++) {
        onnx_layer *l = &n->layer[i];
        if (!l->needed)
            continue;
        for (int32_t k = 0; k < l->n_in; k++)
            if (l->n_in > 1 || l->in[k] != above)
                n->layer[l->in[k]].named = true;
        above = i;
    }
}

static void put_numbers(nb_text *t, const char *key, const float *v, int32_t count)
{
    char buf[NB_NUMTEXT];
    nb_text_printf(t, "%s: [", key);
    for (int32_t i = 0; i < count; i++)
        nb_text_printf(t, "%s%s", i ? ", " : "", nb_float_text(buf, v[i]));
    nb_text_add(t, "]");
}

static void put_keys(nb_text *t, const onnx_net *n, const onnx_layer *l, int32_t above)
{
    const char *comma = "";
    if (l->named) {
        nb_text_printf(t, "name: %s", l->name);
        comma = ", ";
    }
    if (l->keys[0]) {
        nb_text_printf(t, "%s%s", comma, l->keys);
        comma = ", ";
    }
    if (l->n_params && l->param[0].t.ndim > 1 && !l->bias) {
        nb_text_printf(t, "%sbias: no", comma);
        comma = ", ";
    }
    if (l->n_in == 1 && l->in[0] == above)
        return;
    nb_text_printf(t, "%sin: %s", comma, l->n_in > 1 ? "[" : "");
    for (int32_t k = 0; k < l->n_in; k++)
        nb_text_printf(t, "%s%s", k ? ", " : "", n->layer[l->in[k]].name);
    nb_text_add(t, l->n_in > 1 ? "]" : "");
}

/* How many values of a config {keys} has. */
static int32_t values_of(const char *keys)
{
    int32_t count = 0;
    bool list = false;
    for (const char *c = keys; *c; c++) {
        list = *c == '[' || (list && *c != ']');
        count += *c == ':' || *c == '[' || (list && *c == ',');
    }
    return count;
}

/* Returns the values of the config that it takes. */
static int32_t put_layer(nb_text *t, const onnx_net *n, int32_t i, int32_t above)
{
    const onnx_layer *l = &n->layer[i];
    nb_text keys;
    nb_text_init(n->ctx, &keys);
    put_keys(&keys, n, l, above);
    nb_text_printf(t, keys.len ? "  - %s: {%s}" : "  - %s", l->op, keys.s);
    t->st = t->st == NB_OK ? keys.st : t->st;
    const int32_t values = 2 + (keys.len ? values_of(keys.s) : 0);
    nb_text_free(&keys);
    if (*l->node) {
        nb_text_add(t, "  # ");
        for (const char *c = l->node; *c && c - l->node < 80; c++)
            nb_text_bytes(t, *c >= ' ' && *c < 127 ? c : "?", 1);
    }
    nb_text_add(t, "\n");
    return values;
}

/* A config's output is open where it is a convolution or a linear layer, normalised or cut off; a table or a join needs
 * bits to close it. */
static bool output_needs_bits(const onnx_net *n)
{
    const nb_op *op = nb_registry_find(nb_layers, n->layer[n->output].op);
    for (int32_t i = n->output; op && op->role == NB_ROLE_CLAMP && n->layer[i].n_in == 1;) {
        i = n->layer[i].in[0];
        op = nb_registry_find(nb_layers, n->layer[i].op);
    }
    return op && nb_role_needs_output_bits(op->role);
}

static void put_input(nb_text *t, const onnx_net *n, const nb_onnx_config_options *o)
{
    const bool named = n->layer[0].named;
    if (!named && !o->mean && !o->std) {
        nb_text_add(t, "  - input\n");
        return;
    }
    const char *comma = "";
    nb_text_add(t, "  - input: {");
    if (named) {
        nb_text_printf(t, "name: %s", n->layer[0].name);
        comma = ", ";
    }
    if (o->mean) {
        nb_text_add(t, comma);
        put_numbers(t, "mean", o->mean, n->c);
        comma = ", ";
    }
    if (o->std) {
        nb_text_add(t, comma);
        put_numbers(t, "std", o->std, n->c);
    }
    nb_text_add(t, "}\n");
}

nb_status nb_onnx_config(const nb_onnx *o, const nb_onnx_config_options *options, char **text)
{
    onnx_net net = o->net, *n = &net;
    nb_text t;
    nb_text_init(o->ctx, &t);
    name_the_read(n);
    nb_text_add(&t, "# Made by `nibble import` from an ONNX model; the comments are its nodes.\n\nseed: 1\n");
    nb_text_printf(&t, "init: %s\nout: %s\n\ndata: %s\n\nmodel:\n", options->init, options->out, options->data);
    put_input(&t, n, options);
    int32_t values = 0, layers = 0;
    for (int32_t i = 1, above = 0; i < n->n; i++) {
        if (!n->layer[i].needed)
            continue;
        values += put_layer(&t, n, i, above);
        layers++;
        above = i;
    }
    if (values > NB_CONFIG_MAX_NODES - OTHER_VALUES) {
        nb_text_free(&t);
        return nb_fail(o->ctx, NB_E_UNSUPPORTED, "%s: becomes %d layers, which are more than a config can hold",
                       o->file->path, layers);
    }
    if (options->reconstruct)
        nb_text_add(&t, "  - mse                     # to the network's own input\n");
    nb_text_add(&t, "\nquant:\n"
                    "  weights: {bits: 8, granularity: channel}\n"
                    "  activations: {bits: 8, scheme: asymmetric, range: ema, momentum: 0.05}\n"
                    "  first_last_bits: 8\n"
                    "  means: own                # an avgpool's output has a grid of its own\n");
    if (output_needs_bits(n))
        nb_text_add(&t, "  output_bits: 8            # the network ends in no convolution or linear layer\n");
    nb_text_add(&t, "\ntrain:                      # fine-tuning in integers, from the imported weights\n"
                    "  batch: 64\n"
                    "  optimizer: {name: sgd, momentum: 0.9, weight_decay: 1.0e-4}\n"
                    "  phases:\n"
                    "    - {name: qat, epochs: 4, lr: 0.002, schedule: cosine, quant: on}\n");
    return nb_text_take(&t, text);
}

/* ---- weights ---- */

static nb_status fill_param(const nb_onnx *o, nb_graph *g, const onnx_layer *l, const onnx_param *p)
{
    nb_node *layer = nb_graph_find(g, l->name), *leaf = layer ? nb_leaf_of(layer, p->what) : NULL;
    if (!leaf || !nb_fill_fits(layer, leaf, &p->t, false))
        return nb_fail(o->ctx, NB_E_SHAPE, "%s: '%.80s' does not become %s.%s: the config is not the one made from it",
                       o->file->path, p->t.name, l->name, p->what);
    return nb_fill_leaf(o->ctx, o->file->path, layer, leaf, &p->t, false);
}

nb_status nb_onnx_fill(const nb_onnx *o, nb_graph *g)
{
    NB_ASSERT(!g->frozen && !g->quantized);
    int32_t given = 0, wanted = 0;
    for (int32_t i = 0; i < o->net.n; i++)
        for (int32_t k = 0; o->net.layer[i].needed && k < o->net.layer[i].n_params; k++, given++)
            NB_TRY(fill_param(o, g, &o->net.layer[i], &o->net.layer[i].param[k]));
    for (int32_t i = 0; i < g->n; i++)
        wanted += (g->node[i]->flags & (NB_NODE_PARAM | NB_NODE_BUFFER)) != 0;
    if (given == wanted)
        return NB_OK;
    return nb_fail(o->ctx, NB_E_SHAPE,
                   "%s: gives %d tensors, the network takes %d: the config is not the one made from it", o->file->path,
                   given, wanted);
}
