/* onnx_net.c - walks the nodes of an ONNX graph in order and keeps what every name stands for.
 *
 * Names are met before they are needed, so there can be no cycle; a name has one meaning. Images are NCHW there and
 * NHWC here, but an image is the same layer's output either way: only weights are turned around, when they are filled
 * in. */
#include "import/onnx_net.h"

#include "base/check.h"
#include "base/rng.h"
#include "core/sound.h"
#include "import/fill.h"
#include "import/onnx_fit.h"
#include "import/onnx_fold.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define NB_OPERATOR(type, function, attributes)        {#type, onnx_op_##function, attributes, ONNX_FIT_IMAGES},
#define NB_OPERATOR_WINDOW(type, function, attributes) {#type, onnx_op_##function, attributes, ONNX_FIT_WINDOW},
#define NB_OPERATOR_EACH(type, function, attributes)   {#type, onnx_op_##function, attributes, ONNX_FIT_EACH},
#define NB_OPERATOR_ANY(type, function, attributes)    {#type, onnx_op_##function, attributes, ONNX_FIT_ANY},
static const onnx_operator operators[] = {
#include "import/operators.def"
};
#undef NB_OPERATOR
#undef NB_OPERATOR_WINDOW
#undef NB_OPERATOR_EACH
#undef NB_OPERATOR_ANY

enum { FOLDABLE_TIMES = 8, FOLDABLE_MORE = 1 << 22 };
enum { N_OPERATORS = sizeof operators / sizeof *operators };

/* ---- sentences ---- */

/* Names come from the file: what a terminal could take amiss becomes '?'. */
static void printable(char *to, size_t len, const char *from)
{
    size_t i = 0;
    for (; from[i] && i + 1 < len; i++)
        to[i] = (char)(from[i] >= ' ' && from[i] < 127 ? from[i] : '?');
    to[i] = '\0';
}

typedef struct {
    char text[640], node[100], op[48];
} sentence;

static void write_sentence(sentence *s, const onnx_node *d, const char *fmt, va_list ap) NB_PRINTF(3, 0);
static void write_sentence(sentence *s, const onnx_node *d, const char *fmt, va_list ap)
{
    vsnprintf(s->text, sizeof s->text, fmt, ap);
    printable(s->node, sizeof s->node, *d->name || !d->n_out ? d->name : d->out[0]);
    printable(s->op, sizeof s->op, d->op);
}

nb_status onnx_fail(const onnx_net *n, const onnx_node *d, nb_status st, const char *fmt, ...)
{
    sentence s;
    va_list ap;
    va_start(ap, fmt);
    write_sentence(&s, d, fmt, ap);
    va_end(ap);
    return nb_fail(n->ctx, st, "%s: node '%s' (%s): %s", n->file->path, s.node, s.op, s.text);
}

nb_status onnx_note(onnx_net *n, const onnx_node *d, onnx_note_kind kind, const char *fmt, ...)
{
    sentence s;
    va_list ap;
    if (n->note[kind].text) {
        n->note[kind].more++;
        return NB_OK;
    }
    va_start(ap, fmt);
    write_sentence(&s, d, fmt, ap);
    va_end(ap);
    n->note[kind].text = nb_arena_printf(n->arena, "%s: node '%s' (%s): %s", n->file->path, s.node, s.op, s.text);
    return n->note[kind].text ? NB_OK : NB_E_NOMEM;
}

void onnx_net_say(const onnx_net *n)
{
    for (int32_t i = 0; i < ONNX_NOTES; i++)
        if (n->note[i].more)
            nb_log(n->ctx, "%s (and %d more like it)", n->note[i].text, n->note[i].more);
        else if (n->note[i].text)
            nb_log(n->ctx, "%s", n->note[i].text);
}

/* ---- names ---- */

static onnx_v_entry *find(const onnx_net *n, const char *name)
{
    uint32_t at = (uint32_t)nb_hash_text(name) & n->mask;
    while (n->entry[at].name && strcmp(n->entry[at].name, name) != 0)
        at = (at + 1) & n->mask;
    return &n->entry[at];
}

onnx_v_entry *onnx_intern(onnx_net *n, const char *name)
{
    onnx_v_entry *e = find(n, name);
    e->name = name;
    return e;
}

static nb_status intern_all(onnx_net *n)
{
    const onnx_file *f = n->file;
    uint64_t names = 16 + f->n_constants + f->n_inputs + f->n_outputs;
    for (size_t i = 0; i < f->n_nodes; i++)
        names += f->node[i].n_in + f->node[i].n_out;
    uint64_t size = 16;
    while (size < 3 * names) /* twice, and room for inputs that are renamed */
        size *= 2;
    n->entry = nb_arena_array(n->arena, (size_t)size, sizeof *n->entry);
    if (!n->entry)
        return NB_E_NOMEM;
    n->mask = (uint32_t)(size - 1);
    for (size_t i = 0; i < f->n_constants; i++) {
        onnx_v_entry *e = onnx_intern(n, f->constant[i].name);
        if (e->kind != ONNX_V_NONE || !*e->name)
            return nb_fail(n->ctx, NB_E_FORMAT, "%s: initializer '%.100s' is there twice, or has no name", f->path,
                           e->name);
        e->kind = ONNX_V_CONSTANT;
        e->constant = f->constant[i];
        n->foldable += FOLDABLE_TIMES * e->constant.count;
    }
    n->foldable += FOLDABLE_MORE;
    for (size_t i = 0; i < f->n_nodes; i++) {
        for (size_t k = 0; k < f->node[i].n_in; k++)
            onnx_intern(n, f->node[i].in[k]);
        for (size_t k = 0; k < f->node[i].n_out; k++)
            onnx_intern(n, f->node[i].out[k]);
    }
    for (size_t i = 0; i < f->n_outputs; i++)
        onnx_intern(n, f->output[i].name)->uses++;
    return NB_OK;
}

static bool is_needed(const onnx_net *n, const onnx_node *d)
{
    for (size_t k = 0; k < d->n_out; k++)
        if (*d->out[k] && find(n, d->out[k])->wanted)
            return true;
    return false;
}

/* Nodes stand in order, so one way back from the output finds all that it needs; the rest need not be understood. */
static nb_status find_needed(onnx_net *n)
{
    const onnx_file *f = n->file;
    const onnx_node *first = NULL;
    int32_t left_out = 0;
    for (size_t i = 0; i < f->n_outputs; i++)
        find(n, f->output[i].name)->wanted = true;
    for (size_t i = f->n_nodes; i-- > 0;) {
        const onnx_node *d = &f->node[i];
        const bool needed = is_needed(n, d);
        for (size_t k = 0; k < d->n_in && needed; k++)
            if (*d->in[k]) {
                find(n, d->in[k])->wanted = true;
                find(n, d->in[k])->uses++;
            }
        if (!needed && strcmp(d->op, "Constant") != 0) {
            first = d;
            left_out++;
        }
    }
    return first ? onnx_note(n, first, ONNX_NOTE_UNUSED,
                             "is not needed for the output, and left out (nodes in all: %d)", left_out)
                 : NB_OK;
}

onnx_v_entry *onnx_input(const onnx_net *n, const onnx_node *d, size_t k)
{
    return k < d->n_in && *d->in[k] ? find(n, d->in[k]) : NULL;
}

bool onnx_is_wanted(const onnx_net *n, const char *name)
{
    return find(n, name)->wanted;
}

bool onnx_is_read(const onnx_net *n, const char *name)
{
    return find(n, name)->uses > 0;
}

nb_status onnx_data_padded(const onnx_net *n, const onnx_node *d, size_t k, onnx_v_entry **out)
{
    onnx_v_entry *e = onnx_input(n, d, k);
    if (!e)
        return onnx_fail(n, d, NB_E_FORMAT, "input %zu is missing", k);
    if (e->kind != ONNX_V_DATA)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "input %zu, '%.80s', must come from the images", k, e->name);
    if (e->last)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "stands behind a softmax, which must be the end");
    *out = e;
    return NB_OK;
}

/* The entry itself changes: all that read it read one layer. */
static nb_status settle_pads(onnx_net *n, const onnx_node *d, onnx_v_entry *x)
{
    const int64_t p[6] = {x->pad[0], x->pad[1], x->pad[2], x->pad[3]};
    const char *name = x->name;
    onnx_node unnamed = *d; /* the node's name is for the layer it stands for */
    unnamed.name = "";
    if (!(p[0] || p[1] || p[2] || p[3]))
        return NB_OK;
    NB_TRY(onnx_add_pad(n, &unnamed, "", p, x));
    memset(x->pad, 0, sizeof x->pad);
    x->name = name;
    return NB_OK;
}

nb_status onnx_data(onnx_net *n, const onnx_node *d, size_t k, onnx_v_entry **out)
{
    NB_TRY(onnx_data_padded(n, d, k, out));
    return settle_pads(n, d, *out);
}

nb_status onnx_floats(const onnx_net *n, const onnx_node *d, size_t k, const nb_st_tensor **out)
{
    onnx_v_entry *e = onnx_input(n, d, k);
    if (!e)
        return onnx_fail(n, d, NB_E_FORMAT, "input %zu is missing", k);
    if (e->kind != ONNX_V_CONSTANT)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "input %zu, '%.80s', must be a constant", k, e->name);
    nb_st_dtype t = e->constant.dtype;
    if (t != NB_ST_F32 && t != NB_ST_F64 && t != NB_ST_F16 && t != NB_ST_BF16)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "input %zu, '%.80s', must hold floats", k, e->name);
    for (int64_t i = 0; i < e->constant.count; i++) {
        const float v = nb_fill_element(&e->constant, i);
        if (nb_value_fault(v, false))
            return onnx_fail(n, d, NB_E_FORMAT, "input %zu, '%.80s': value %lld is %g: %s", k, e->name, (long long)i,
                             (double)v, nb_value_fault(v, false));
    }
    *out = &e->constant;
    return NB_OK;
}

nb_status onnx_output(onnx_net *n, const onnx_node *d, const onnx_v_entry *v)
{
    return onnx_output_at(n, d, 0, v);
}

nb_status onnx_output_at(onnx_net *n, const onnx_node *d, size_t output, const onnx_v_entry *v)
{
    if (d->n_out <= output || !*d->out[output])
        return onnx_fail(n, d, NB_E_FORMAT, "has no output %zu", output);
    onnx_v_entry *e = find(n, d->out[output]);
    if (e->kind != ONNX_V_NONE)
        return onnx_fail(n, d, NB_E_FORMAT, "its output '%.80s' is given twice", e->name);
    /* another name for the same layer's values: who reads one reads the other */
    const onnx_v_entry *same = v->name ? find(n, v->name) : NULL;
    bool alias = same && same->kind == ONNX_V_DATA && v->kind == ONNX_V_DATA && same->layer == v->layer;
    onnx_v_entry copy = *v;
    copy.name = e->name;
    copy.uses = e->uses + (alias ? same->uses - 1 : 0);
    copy.wanted = e->wanted;
    *e = copy;
    return NB_OK;
}

/* ---- layers ---- */

nb_status onnx_new_floats(onnx_net *n, const char *name, int32_t ndim, const int64_t *dims, float **data,
                          nb_st_tensor *out)
{
    *out = (nb_st_tensor){.name = name, .dtype = NB_ST_F32, .ndim = ndim, .count = 1};
    for (int32_t i = 0; i < ndim; i++) {
        out->shape[i] = dims[i];
        out->count *= dims[i];
    }
    out->bytes = (size_t)out->count * sizeof(float);
    out->data = *data = nb_arena_array(n->arena, (size_t)out->count, sizeof(float));
    return *data ? NB_OK : NB_E_NOMEM;
}

void onnx_keys(onnx_net *n, int32_t layer, const char *fmt, ...)
{
    onnx_layer *l = &n->layer[layer];
    size_t at = strlen(l->keys);
    va_list ap;
    va_start(ap, fmt);
    at += (size_t)snprintf(l->keys + at, sizeof l->keys - at, "%s", at ? ", " : "");
    vsnprintf(l->keys + at, sizeof l->keys - at, fmt, ap);
    va_end(ap);
}

void onnx_give(onnx_net *n, int32_t layer, const char *what, const nb_st_tensor *t)
{
    onnx_layer *l = &n->layer[layer];
    NB_ASSERT(l->n_params < 4);
    l->param[l->n_params++] = (onnx_param){what, *t};
}

/* Where the layer of that name stands in the index of names, or would. */
static int32_t *place_of_layer(const onnx_net *n, const char *name)
{
    uint32_t at = (uint32_t)nb_hash_text(name) & n->named_mask;
    while (n->named[at] && strcmp(n->layer[n->named[at] - 1].name, name) != 0)
        at = (at + 1) & n->named_mask;
    return &n->named[at];
}

static bool name_taken(const onnx_net *n, const char *name)
{
    return *place_of_layer(n, name) || strcmp(name, n->layer[0].name) == 0 || strcmp(name, "loss") == 0;
}

/* "relu3" is what the config calls a layer without a name; layers with parameters always have one. */
static bool is_default(const char *name)
{
    size_t digits = strlen(name), end = digits;
    while (digits && name[digits - 1] >= '0' && name[digits - 1] <= '9')
        digits--;
    char kind[32];
    if (digits == end || digits >= sizeof kind)
        return false;
    memcpy(kind, name, digits);
    kind[digits] = '\0';
    const nb_op *op = nb_registry_find(nb_layers, kind);
    return op && op->role != NB_ROLE_MAC && op->role != NB_ROLE_AFFINE && strcmp(op->name, "prelu") != 0;
}

/* "/layer1/layer1.0/conv1/Conv" -> "layer1.0.conv1": PyTorch repeats the path in each part. */
static void from_node_name(char *to, size_t len, const char *node, const char *op)
{
    const char *before = "";
    size_t before_len = 0, at = 0;
    to[0] = '\0';
    while (*node) {
        size_t n = strcspn(node, "/");
        bool goes_on =
            before_len && n > before_len && strncmp(node, before, before_len) == 0 && node[before_len] == '.';
        bool is_op = node[n] == '\0' && strlen(op) == n && strncmp(node, op, n) == 0 && at > 0;
        if (n && !is_op) {
            at = goes_on ? at - before_len - (at > before_len) : at;
            size_t room = len - at;
            int put = snprintf(to + at, room, "%s%.*s", at ? "." : "", (int)(n < 100 ? n : 100), node);
            at += put < 0 ? 0 : (size_t)put < room ? (size_t)put : room - 1;
            before = node;
            before_len = n < at ? n : at;
        }
        node += n + (node[n] == '/');
    }
}

/* A name that a config takes: of the parameter ("fc.weight" -> "fc"), else of the node, else of the operator. */
static void name_layer(onnx_net *n, const onnx_node *d, const char *param, onnx_layer *l)
{
    char name[ONNX_NAME - 12] = "";
    const char *dot = param ? strrchr(param, '.') : NULL;
    size_t len = dot ? (size_t)(dot - param) : 0;
    bool ours = false;
    static const char *const first[] = {".weight", ".gamma", ".scale", ".mul", ".slope"};
    for (size_t i = 0; dot && i < sizeof first / sizeof *first; i++)
        ours = ours || strcmp(dot, first[i]) == 0;
    if (ours && !strchr(param, ':') && len < sizeof name)
        snprintf(name, sizeof name, "%.*s", (int)len, param);
    else
        from_node_name(name, sizeof name, d->name, d->op);
    for (char *c = name; *c; c++)
        if (!((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '.' ||
              *c == '_'))
            *c = '_';
    if (!name[0])
        snprintf(name, sizeof name, "%s", l->op);
    snprintf(l->name, sizeof l->name, "%s%s%s", name[0] == '.' ? "n" : "", name, is_default(name) ? "_" : "");
    if (!name_taken(n, l->name))
        return;
    const int32_t holder = *place_of_layer(n, l->name); /* none: it is the input's or the loss's */
    int32_t *copies = &n->layer[holder ? holder - 1 : 0].copies;
    do
        snprintf(l->name, sizeof l->name, "%s_%d", name, ++*copies + 1);
    while (name_taken(n, l->name));
}

nb_status onnx_add_layer(onnx_net *n, const onnx_node *d, const char *op, const char *param_name, const int32_t *in,
                         int32_t n_in, int32_t *out)
{
    NB_ASSERT(n_in <= NB_MAX_IN);
    if (n->n == n->cap)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "the network has more than %d layers", n->cap);
    onnx_layer l = {.op = op, .node = d->name, .n_in = n_in};
    memcpy(l.in, in, (size_t)n_in * sizeof *in);
    name_layer(n, d, param_name, &l);
    l.named = param_name != NULL;
    n->layer[n->n] = l;
    *out = n->n++;
    *place_of_layer(n, l.name) = n->n;
    return NB_OK;
}

nb_status onnx_as_rows(onnx_net *n, const onnx_node *d, const onnx_v_entry *v, int32_t *layer)
{
    onnx_node unnamed = *d; /* the node's name is for the layer it stands for */
    unnamed.name = "";
    *layer = v->layer;
    return v->row ? NB_OK : onnx_add_layer(n, &unnamed, "flatten", NULL, &v->layer, 1, layer);
}

/* ---- the walk ---- */

static bool is_quantized(const onnx_node *d)
{
    return strstr(d->op, "uantize") || strncmp(d->op, "QLinear", 7) == 0 || strstr(d->op, "Integer");
}

static nb_status unknown_operator(const onnx_net *n, const onnx_node *d)
{
    if (is_quantized(d))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "the network is quantized already; import takes float networks");
    const char *names[N_OPERATORS];
    for (size_t i = 0; i < N_OPERATORS; i++)
        names[i] = operators[i].op;
    const char *near = nb_closest(d->op, names, N_OPERATORS);
    return onnx_fail(n, d, NB_E_UNSUPPORTED,
                     "the operator is not supported%s%s; `nibble import --help` lists those that are",
                     near ? ", the closest by name is " : "", near ? near : "");
}

const char *nb_onnx_operator(int32_t at)
{
    return at >= 0 && at < N_OPERATORS ? operators[at].op : NULL;
}

static nb_status check_attributes(const onnx_net *n, const onnx_node *d, const char *attrs)
{
    for (size_t i = 0; i < d->n_attr; i++) {
        const char *name = d->attr[i].name, *at = strstr(attrs, name);
        size_t len = strlen(name);
        while (at && len && ((at != attrs && at[-1] != ' ') || (at[len] && at[len] != ' ')))
            at = strstr(at + 1, name);
        if (!at || !len)
            return onnx_fail(n, d, NB_E_UNSUPPORTED, "attribute '%.60s' is not supported", name);
    }
    return NB_OK;
}

static const onnx_operator *find_operator(const char *op)
{
    for (size_t i = 0; i < N_OPERATORS; i++)
        if (strcmp(operators[i].op, op) == 0)
            return &operators[i];
    return NULL;
}

bool onnx_is_of_images(const char *op)
{
    const onnx_operator *o = find_operator(op);
    return o && (o->fit == ONNX_FIT_IMAGES || o->fit == ONNX_FIT_WINDOW);
}

static nb_status translate_node(onnx_net *n, const onnx_node *d)
{
    bool standard = !*d->domain || strcmp(d->domain, "ai.onnx") == 0;
    const onnx_operator *o = standard ? find_operator(d->op) : NULL;
    for (size_t k = 0; k < d->n_in; k++)
        if (*d->in[k] && find(n, d->in[k])->kind == ONNX_V_NONE)
            return onnx_fail(n, d, NB_E_FORMAT, "reads '%.80s', which no node before it gives", d->in[k]);
    const fold_operator *fold = standard ? onnx_fold_find(d->op) : NULL;
    if (fold && onnx_fold_can(n, d)) {
        NB_TRY(check_attributes(n, d, fold->attrs));
        return onnx_fold(n, d, fold);
    }
    if (!o && fold)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "is supported for constants only; here it works on the images");
    if (!o)
        return unknown_operator(n, d);
    onnx_turn turn;
    NB_TRY(check_attributes(n, d, o->attrs));
    NB_TRY(onnx_fit(n, d, o->fit, &d, &turn));
    NB_TRY(o->fn(n, d));
    if (turn != ONNX_AS_IT_IS)
        onnx_fit_back(n, d, turn);
    return NB_OK;
}

static nb_status read_output(onnx_net *n)
{
    const onnx_file *f = n->file;
    if (f->n_outputs != 1)
        return nb_fail(n->ctx, NB_E_UNSUPPORTED, "%s: has %zu outputs; import takes networks of one: the logits",
                       f->path, f->n_outputs);
    const onnx_v_entry *e = find(n, f->output[0].name);
    if (e->kind != ONNX_V_DATA || e->pad[0] + e->pad[1] + e->pad[2] + e->pad[3])
        return nb_fail(n->ctx, NB_E_UNSUPPORTED, "%s: output '%.80s' does not come from a layer", f->path,
                       f->output[0].name);
    if (!onnx_layout_in_order(e) && !onnx_layout_is_ours(e)) {
        char text[ONNX_LAYOUT_TEXT];
        return nb_fail(n->ctx, NB_E_UNSUPPORTED, "%s: output '%.80s' stands as %s: must be [N, logits]", f->path,
                       f->output[0].name, onnx_layout_text(&e->layout, text));
    }
    n->output = e->layer;
    int64_t classes = (int64_t)e->c * e->h * e->w;
    if (e->layer == 0 || classes > 1 << 20)
        return nb_fail(n->ctx, NB_E_UNSUPPORTED, "%s: output '%.80s' cannot be logits: %" PRId64 " values of layer %d",
                       f->path, f->output[0].name, classes, e->layer);
    n->classes = (int32_t)classes;
    const bool vectors = f->input[0].ndim == 2, image = !e->flat && e->h * e->w > 1;
    n->reconstructs = !e->last && classes == (int64_t)n->c * n->h * n->w &&
                      (vectors ? e->flat : image && e->c == n->c && e->h == n->h && e->w == n->w);
    if (!image || n->reconstructs)
        return NB_OK;
    n->note[ONNX_NOTE_IMAGE].text = nb_arena_printf(
        n->arena,
        "%s: output '%.80s' is an image of %dx%dx%d (channels, rows, columns): all its %d values are taken for the "
        "logits of one image, of whose classes loss and accuracy say nothing; `nibble eval --logits FILE` writes them",
        f->path, f->output[0].name, e->c, e->h, e->w, n->classes);
    return n->note[ONNX_NOTE_IMAGE].text ? NB_OK : NB_E_NOMEM;
}

/* Layers of which only the size was read go. */
static void mark_needed(onnx_net *n)
{
    n->layer[n->output].needed = n->layer[0].needed = true;
    for (int32_t i = n->output; i > 0; i--)
        for (int32_t k = 0; n->layer[i].needed && k < n->layer[i].n_in; k++)
            n->layer[n->layer[i].in[k]].needed = true;
}

/* Here every layer has weights of its own. Biases and statistics are left out: exporters merge equal ones. */
static nb_status note_shared(onnx_net *n)
{
    int64_t more = 0;
    int32_t layers = 0, at = 0;
    const onnx_layer *first = NULL;
    const char *name = "";
    for (int32_t i = 1; i < n->n; i++)
        for (int32_t k = 0; n->layer[i].needed && k < n->layer[i].n_params; k++) {
            const nb_st_tensor *t = &n->layer[i].param[k].t;
            onnx_v_entry *e = t->ndim > 1 ? find(n, t->name) : NULL;
            if (!e || !e->name || e->constant.ndim <= 1 || e->constant.count != t->count)
                continue;
            if (!e->owner) {
                e->owner = i;
                continue;
            }
            if (!first) {
                first = &n->layer[e->owner];
                at = i;
                name = t->name;
            }
            layers++;
            more += t->count;
        }
    char shown[100];
    if (!first)
        return NB_OK;
    printable(shown, sizeof shown, name);
    n->note[ONNX_NOTE_SHARED].text =
        nb_arena_printf(n->arena,
                        "%s: '%s' is the weights of both %s and %s: here every layer has its own (%" PRId64
                        " values more in all, copies: %d), and training will make them differ",
                        n->file->path, shown, first->name, n->layer[at].name, more, layers);
    return n->note[ONNX_NOTE_SHARED].text ? NB_OK : NB_E_NOMEM;
}

nb_status onnx_net_translate(onnx_net *n)
{
    n->cap = 4 * (int32_t)n->file->n_nodes + 2;
    size_t places = 16;
    while (places < 2 * (size_t)n->cap)
        places *= 2;
    n->named_mask = (uint32_t)(places - 1);
    n->layer = nb_arena_array(n->arena, (size_t)n->cap, sizeof *n->layer);
    n->named = nb_arena_array(n->arena, places, sizeof *n->named);
    if (!n->layer || !n->named)
        return NB_E_NOMEM;
    NB_TRY(intern_all(n));
    NB_TRY(find_needed(n));
    for (size_t i = 0; i < n->file->n_nodes; i++) /* before its u8 input is what is wrong with it */
        if (is_quantized(&n->file->node[i]) && is_needed(n, &n->file->node[i]))
            return unknown_operator(n, &n->file->node[i]);
    NB_TRY(onnx_read_images(n));
    for (size_t i = 0; i < n->file->n_nodes; i++)
        if (is_needed(n, &n->file->node[i]))
            NB_TRY(translate_node(n, &n->file->node[i]));
    NB_TRY(read_output(n));
    mark_needed(n);
    return note_shared(n);
}
