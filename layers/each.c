/* each.c - see each.h. */
#include "each.h"

#include "layer.h"

#include "base/check.h"

#include <nibble/extend/quant.h>

enum { BLOCK = 2048 };

typedef struct {
    int32_t maps;
    nb_each_fn slope_of;
    float *value, *slope; /* [256][maps] of bytes; NULL where floats come in */
    float *rows;          /* [256][maps] what the bytes are worth */
} each_priv;

nb_status nb_each_prepare(nb_graph *g, nb_node *n, int32_t maps, nb_each_fn slope)
{
    each_priv *p = nb_graph_alloc(g, sizeof *p);
    if (!p)
        return NB_E_NOMEM;
    *p = (each_priv){.maps = maps, .slope_of = slope};
    n->priv = p;
    n->scratch_bytes = (size_t)(maps < BLOCK ? BLOCK : maps) * sizeof(float);
    if (!nb_layer_is_codes(&n->in[0]->out))
        return NB_OK;
    const size_t table = 256 * (size_t)maps;
    p->value = nb_graph_alloc(g, 3 * table * sizeof *p->value);
    if (!p->value)
        return NB_E_NOMEM;
    p->slope = p->value + table;
    p->rows = p->slope + table;
    return NB_OK;
}

static void make_tables(const nb_node *n)
{
    const each_priv *p = n->priv;
    const nb_tensor *x = &n->in[0]->out;
    float real[256];
    nb_code_reals(real, x->q->scale[0], x->q->zero[0], x->dtype == NB_S8);
    for (int32_t i = 0; i < 256; i++)
        for (int32_t k = 0; k < p->maps; k++)
            p->rows[i * p->maps + k] = real[i];
    n->op->each(n, p->value, p->rows, 256);
    p->slope_of(n, p->slope, p->rows, 256);
}

typedef struct {
    const nb_node *n;
    const each_priv *p;
    int64_t grain; /* rows of maps values per chunk */
} each_job;

static each_job job_of(const nb_node *n)
{
    const each_priv *p = n->priv;
    return (each_job){n, p, p->maps < BLOCK ? BLOCK / p->maps : 1};
}

static int64_t rows_of(const each_job *j)
{
    return nb_count(&j->n->out) / j->p->maps;
}

static void look_up(float *y, const float *table, const uint8_t *x, int64_t rows, int32_t maps)
{
    if (maps == 1) {
        for (int64_t i = 0; i < rows; i++)
            y[i] = table[x[i]];
        return;
    }
    for (int64_t i = 0; i < rows; i++, y += maps, x += maps)
        for (int32_t k = 0; k < maps; k++)
            y[k] = table[x[k] * maps + k];
}

static void forward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const each_job *j = arg;
    const int64_t first = chunk * j->grain, rows = nb_chunk_end(rows_of(j), j->grain, chunk) - first;
    const int64_t at = first * j->p->maps;
    const nb_tensor *x = &j->n->in[0]->out;
    float *y = (float *)j->n->out.data + at;
    if (j->p->value)
        look_up(y, j->p->value, (const uint8_t *)x->data + at, rows, j->p->maps);
    else
        j->n->op->each(j->n, y, (const float *)x->data + at, rows);
}

void nb_each_forward(nb_node *n, const nb_run *r)
{
    (void)r;
    each_job j = job_of(n);
    if (j.p->value)
        make_tables(n);
    nb_parallel_for(nb_chunks(rows_of(&j), j.grain), forward_chunk, &j);
}

static void pass(float *dx, const float *dy, const float *slope, int64_t n, bool fresh)
{
    if (fresh)
        for (int64_t i = 0; i < n; i++)
            dx[i] = dy[i] * slope[i];
    else
        for (int64_t i = 0; i < n; i++)
            dx[i] += dy[i] * slope[i];
}

/* The slopes of a chunk lie in this thread's scratch. */
static void backward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    const each_job *j = arg;
    const int64_t first = chunk * j->grain, rows = nb_chunk_end(rows_of(j), j->grain, chunk) - first;
    const int64_t at = first * j->p->maps;
    const nb_tensor *x = &j->n->in[0]->out;
    float *slope = nb_node_scratch(j->n, thread);
    if (j->p->value)
        look_up(slope, j->p->slope, (const uint8_t *)x->data + at, rows, j->p->maps);
    else
        j->p->slope_of(j->n, slope, (const float *)x->data + at, rows);
    pass(x->grad + at, j->n->out.grad + at, slope, rows * j->p->maps, nb_layer_fresh(j->n, 0));
}

void nb_each_backward(nb_node *n, const nb_run *r)
{
    (void)r;
    each_job j = job_of(n);
    if (n->in[0]->out.grad)
        nb_parallel_for(nb_chunks(rows_of(&j), j.grain), backward_chunk, &j);
}
