/* cmd_info.c - what a config or a checkpoint is made of: layers, shapes, bits, parameters, MACs, bytes, memory. */
#include "cli/open_model.h"
#include "cli/output.h"

#include "base/check.h"

#include <string.h>

typedef struct {
    char name[128];
    const char *kind;
    char output[32];     /* "28x28x16" */
    int32_t weight_bits; /* 0: no weights */
    int32_t output_bits; /* 0: not a value of its own (merged into the next layer) */
    int32_t acc_bits; /* narrowest signed accumulator that provably holds every sum; 0: no sums, or not integers yet */
    int64_t parameters; /* trained values */
    int64_t macs;       /* per image */
    int64_t bytes; /* of the parameters as they are deployed: packed weights, int32 biases and multipliers, or floats */
} row;

typedef struct {
    row *rows;
    int32_t n;
    char kind[CLI_BITS_BYTES + 16], data[96];
    int64_t train_bytes[2]; /* planned memory of a training step, float and quantized; 0: not used */
    int32_t batch;
    int64_t leaf_bytes;   /* values and gradients of parameters */
    int64_t engine_bytes; /* arena of the engine; 0: no integers */
    double accuracy;      /* < 0: unknown */
} summary;

static void shape_of_image(const nb_shape *s, char *buf, size_t len)
{
    nb_shape image = {.ndim = s->ndim - 1};
    for (int32_t i = 1; i < s->ndim; i++)
        image.d[i - 1] = s->d[i];
    nb_shape_text(&image, buf, len);
}

/* ---- from a graph ---- */

/* The leaf behind a fake-quant node, or the leaf itself; NULL when x is a value. */
static const nb_node *leaf_behind(const nb_node *x)
{
    const nb_node *leaf = x->op->role == NB_ROLE_QUANTIZER ? x->in[0] : x;
    return leaf->flags & NB_NODE_LEAF ? leaf : NULL;
}

static int32_t bits_after(const nb_graph *g, const nb_node *n)
{
    if (!g->quantized)
        return n->out.dtype == NB_F32 ? 32 : 8;
    if (n->out.q)
        return n->out.q->bits;
    for (int32_t i = n->id + 1; i < g->n; i++)
        if (g->node[i]->op->role == NB_ROLE_QUANTIZER && g->node[i]->in[0] == n)
            return g->node[i]->out.q->bits;
    return g->loss && g->loss->in[0] == n ? 32 : 0;
}

static void fill_row(const nb_graph *g, const nb_node *n, row *r)
{
    *r = (row){.kind = n->op->name, .macs = n->op->macs ? n->op->macs(n) : 0};
    snprintf(r->name, sizeof r->name, "%s", n->name);
    shape_of_image(&n->out.shape, r->output, sizeof r->output);
    r->output_bits = bits_after(g, n);
    for (int32_t k = 0; k < n->n_in; k++) {
        const nb_node *leaf = leaf_behind(n->in[k]);
        if (!leaf)
            continue;
        int64_t count = nb_count(&leaf->out);
        bool weight = k == 1 && n->op->role == NB_ROLE_MAC;
        if (leaf->flags & NB_NODE_PARAM)
            r->parameters += count;
        if (weight)
            r->weight_bits = n->in[k]->out.q ? n->in[k]->out.q->bits : 32;
        r->bytes += weight ? (count * r->weight_bits + 7) / 8 : 4 * count;
    }
}

static nb_status from_graph(cli *c, const nb_graph *g, summary *s)
{
    s->rows = nb_alloc(c->ctx, (size_t)g->n * sizeof *s->rows);
    if (!s->rows)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < g->n; i++) {
        const nb_node *n = g->node[i];
        bool layer = !(n->flags & NB_NODE_LEAF) && !(n->op->flags & NB_OP_INTERNAL) && n->op->role != NB_ROLE_LOSS;
        if (layer)
            fill_row(g, n, &s->rows[s->n++]);
    }
    snprintf(s->data, sizeof s->data, "%dx%dx%d pixels, %d classes", g->info.h, g->info.w, g->info.c, g->info.classes);
    return NB_OK;
}

/* ---- from an integer model ---- */

/* Bits of the smallest signed integer that holds -bound..bound. */
static int32_t signed_bits(int64_t bound)
{
    int32_t bits = 1;
    while (bound >> (bits - 1))
        bits++;
    return bits;
}

static nb_status from_integers(cli *c, const nb_intmodel *m, summary *s)
{
    static const char *const kinds[NB_STEP_KINDS] = {"table", "conv", "add", "concat", "maxpool", "avgpool"};
    s->rows = nb_alloc(c->ctx, (size_t)m->e.n_steps * sizeof *s->rows);
    if (!s->rows)
        return NB_E_NOMEM;
    for (s->n = 0; s->n < m->e.n_steps; s->n++) {
        const nb_estep *e = &m->e.steps[s->n];
        const nb_sinfo *i = &m->steps[s->n];
        const nb_etensor *out = &m->e.tensors[e->out];
        row *r = &s->rows[s->n];
        *r = (row){.kind = kinds[e->kind], .weight_bits = i->weight_bits, .macs = i->macs};
        snprintf(r->name, sizeof r->name, "%s", i->name);
        snprintf(r->output, sizeof r->output, "%dx%dx%d", out->h, out->w, out->c);
        r->output_bits = m->tensors[e->out].bits;
        if (e->kind == NB_STEP_TABLE)
            r->bytes = 256 * (int64_t)out->c;
        if (e->kind == NB_STEP_CONV) {
            const nb_geom *g = &e->geom;
            int64_t weights = (int64_t)g->oc * g->kh * g->kw * (g->c / g->groups);
            r->parameters = weights + g->oc;
            r->acc_bits = signed_bits(i->acc_bound);
            r->bytes = (weights * i->weight_bits + 7) / 8 + (e->mult ? 12 : 4) * (int64_t)g->oc;
        }
    }
    const nb_etensor *in = &m->e.tensors[nb_intmodel_input(m)];
    snprintf(s->data, sizeof s->data, "%dx%dx%d pixels, %d classes", in->h, in->w, in->c, m->classes);
    return NB_OK;
}

/* ---- what is asked for ---- */

/* A config that is not for training: its network, quantized where there is a `quant` section. */
static nb_status rows_of_network(cli *c, const cli_experiment *e, const nb_dsinfo *info, summary *s)
{
    nb_graph_spec spec = {.experiment = &e->exp,
                          .info = info,
                          .max_batch = 1,
                          .quant = e->exp.quant != NULL,
                          .plan = NB_PLAN_INFER,
                          .reference = cli_flag(c, "--reference")};
    nb_graph *g;
    NB_TRY(nb_graph_open(c->ctx, &spec, &(nb_params_source){0}, &g));
    nb_status st = from_graph(c, g, s);
    nb_graph_free(g);
    return st;
}

/* Planned memory of both forms of training; rows of the form it ends with, unless there are rows already. */
static nb_status plan_training(cli *c, const cli_experiment *e, const nb_dsinfo *info, summary *s)
{
    nb_train_plan *plan;
    if (!e->exp.train)
        return s->rows ? NB_OK : rows_of_network(c, e, info, s);
    NB_TRY(nb_train_plan_create(c->ctx, e->exp.train, &plan));
    bool ends_quant = plan->phase[plan->n_phases - 1].keys.quant, used[2] = {false, plan->any_quant};
    for (int32_t i = 0; i < plan->n_phases; i++)
        used[0] = used[0] || !plan->phase[i].keys.quant;
    const nb_compute compute = (nb_compute)plan->keys.compute;
    s->batch = plan->keys.batch;
    nb_train_plan_free(c->ctx, plan);
    bool need_rows = !s->rows;
    nb_status st = NB_OK;
    for (int32_t quant = 0; quant < 2 && st == NB_OK; quant++) {
        if (!used[quant])
            continue;
        nb_graph_spec spec = {.experiment = &e->exp,
                              .info = info,
                              .max_batch = s->batch,
                              .quant = quant == 1,
                              .plan = NB_PLAN_TRAIN,
                              .compute = compute,
                              .reference = cli_flag(c, "--reference")};
        nb_graph *g;
        NB_TRY(nb_graph_open(c->ctx, &spec, &(nb_params_source){0}, &g));
        s->train_bytes[quant] = (int64_t)g->planned_bytes;
        s->leaf_bytes = (int64_t)g->param_bytes > s->leaf_bytes ? (int64_t)g->param_bytes : s->leaf_bytes;
        if (need_rows && (quant == 1) == ends_quant)
            st = from_graph(c, g, s);
        nb_graph_free(g);
    }
    return st;
}

static bool is_config(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml"));
}

static nb_status of_config(cli *c, const char *path, summary *s)
{
    cli_experiment e = {0};
    nb_status st = cli_experiment_load(c, path, &e);
    if (st == NB_OK)
        st = cli_experiment_open_train(c, &e);
    if (st == NB_OK)
        st = nb_experiment_check(c->ctx, &e.exp, nb_data_info(e.train));
    if (st == NB_OK)
        st = plan_training(c, &e, nb_data_info(e.train), s);
    snprintf(s->kind, sizeof s->kind, "config");
    cli_experiment_close(c, &e);
    return st;
}

static nb_status of_checkpoint(cli *c, const char *path, summary *s)
{
    cli_model m = {0};
    nb_status st = cli_model_open(c, path, 1, &m);
    if (st == NB_OK) {
        cli_model_kind(&m, s->kind, sizeof s->kind);
        s->accuracy = m.checkpoint ? m.checkpoint->accuracy : m.integers->accuracy;
        st = m.graph ? from_graph(c, m.graph, s) : from_integers(c, m.integers, s);
    }
    if (st == NB_OK && m.integers)
        s->engine_bytes = (int64_t)nb_engine_arena_bytes(&m.integers->e);
    if (st == NB_OK && m.checkpoint)
        st = plan_training(c, &m.experiment, &m.info, s);
    cli_model_close(c, &m);
    return st;
}

/* ---- printing ---- */

static row total(const summary *s)
{
    row t = {.name = "all"};
    for (int32_t i = 0; i < s->n; i++) {
        t.parameters += s->rows[i].parameters;
        t.macs += s->rows[i].macs;
        t.bytes += s->rows[i].bytes;
    }
    return t;
}

static void add_bits(nb_table *t, int32_t bits)
{
    if (bits > 0)
        nb_table_add_int(t, bits);
    else
        nb_table_add_blank(t);
}

static void add_cells(nb_table *t, const row *r, bool integers)
{
    nb_table_add_text(t, r->name);
    nb_table_add_text(t, r->kind ? r->kind : "");
    nb_table_add_text(t, r->output);
    add_bits(t, r->weight_bits);
    add_bits(t, r->output_bits);
    if (integers)
        add_bits(t, r->acc_bits);
    nb_table_add_int(t, r->parameters);
    nb_table_add_int(t, r->macs);
    nb_table_add_int(t, r->bytes);
}

static nb_status make_table(cli *c, const summary *s, nb_table **out)
{
    nb_table *t;
    bool integers = false;
    for (int32_t i = 0; i < s->n; i++)
        integers |= s->rows[i].acc_bits > 0;
    NB_TRY(nb_table_create(c->ctx, &t));
    nb_table_column(t, "layer", "layer", NB_LEFT);
    nb_table_column(t, "kind", "kind", NB_LEFT);
    nb_table_column(t, "output", "output", NB_LEFT);
    nb_table_column(t, "weight_bits", "weight bits", NB_RIGHT);
    nb_table_column(t, "output_bits", "output bits", NB_RIGHT);
    if (integers)
        nb_table_column(t, "accumulator_bits", "accumulator bits", NB_RIGHT);
    nb_table_column(t, "parameters", "parameters", NB_RIGHT);
    nb_table_column(t, "macs", "MACs", NB_RIGHT);
    nb_table_column(t, "bytes", "bytes", NB_RIGHT);
    for (int32_t i = 0; i < s->n; i++) {
        nb_table_row(t);
        add_cells(t, &s->rows[i], integers);
    }
    row all = total(s);
    nb_table_footer(t);
    add_cells(t, &all, integers);
    *out = t;
    return NB_OK;
}

static void print_memory(const char *what, int64_t bytes)
{
    if (bytes > 0)
        printf("%-34s %10.2f MiB\n", what, (double)bytes / (1 << 20));
}

static nb_status print_text(cli *c, const summary *s, nb_table *t)
{
    printf("%s: %s, %s\n\n", c->arg[0], s->kind, s->data);
    NB_TRY(cli_table_print(c->ctx, t));
    printf("\n");
    if (s->batch)
        printf("memory of a training step, planned, batch %d:\n", s->batch);
    print_memory("  float phase", s->train_bytes[0]);
    print_memory("  quantized phase", s->train_bytes[1]);
    print_memory("  parameters and their gradients", s->leaf_bytes);
    print_memory("integer engine, one image", s->engine_bytes);
    if (s->accuracy >= 0)
        printf("accuracy when it was written: %.2f %%\n", 100 * s->accuracy);
    return NB_OK;
}

static nb_status print_json(cli *c, const summary *s, nb_table *t)
{
    cJSON *o = cJSON_CreateObject();
    row all = total(s);
    cJSON_AddStringToObject(o, "file", c->arg[0]);
    cJSON_AddStringToObject(o, "kind", s->kind);
    cJSON_AddNumberToObject(o, "parameters", (double)all.parameters);
    cJSON_AddNumberToObject(o, "macs", (double)all.macs);
    cJSON_AddNumberToObject(o, "bytes", (double)all.bytes);
    cJSON_AddNumberToObject(o, "batch", s->batch);
    cJSON_AddNumberToObject(o, "float_step_bytes", (double)s->train_bytes[0]);
    cJSON_AddNumberToObject(o, "quantized_step_bytes", (double)s->train_bytes[1]);
    cJSON_AddNumberToObject(o, "parameter_bytes", (double)s->leaf_bytes);
    cJSON_AddNumberToObject(o, "engine_bytes", (double)s->engine_bytes);
    if (s->accuracy >= 0)
        cJSON_AddNumberToObject(o, "accuracy", s->accuracy);
    nb_status st = cli_json_table(c->ctx, o, "layers", t);
    if (st == NB_OK)
        return cli_json_print(c->ctx, o);
    cJSON_Delete(o);
    return st;
}

static nb_status run(cli *c)
{
    summary s = {.accuracy = -1};
    nb_table *t = NULL;
    nb_status st = is_config(c->arg[0]) ? of_config(c, c->arg[0], &s) : of_checkpoint(c, c->arg[0], &s);
    if (st == NB_OK)
        st = make_table(c, &s, &t);
    if (st == NB_OK)
        st = cli_flag(c, "--json") ? print_json(c, &s, t) : print_text(c, &s, t);
    nb_free(c->ctx, s.rows);
    return st;
}

static const cli_option options[] = {CLI_SET, CLI_REFERENCE, CLI_THREADS, CLI_JSON, {0}};

const cli_command cli_command_info = {
    .name = "info",
    .usage = "FILE|CONFIG",
    .help = "layers, shapes, bits, parameters, MACs, bytes, memory",
    .more =
        "Of a config (.yaml), a training checkpoint or an integer one. Bytes are what is deployed: packed weights with "
        "int32\n"
        "biases, multipliers and shifts, or floats. Output bits are missing where a layer is merged into the next "
        "one.\n"
        "Planned memory depends a little on the number of threads (--threads).\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .first = CLI_MODEL,
    .run = run,
};
