/* join.c - two inputs value by value. Where both have the output's shape, chunks of values; else images, row by row:
 * a row of each input is written out as the output needs it, and gradients are summed in that order. */
#include "join.h"

#include <string.h>

typedef struct {
    int32_t h, w, c;
} size3;

static size3 size_of(const nb_tensor *t)
{
    const nb_shape *s = &t->shape;
    return s->ndim == 4 ? (size3){s->d[1], s->d[2], s->d[3]} : (size3){1, 1, s->d[s->ndim - 1]};
}

static bool fit(int32_t a, int32_t b)
{
    return a == b || a == 1 || b == 1;
}

static int32_t larger(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

nb_status nb_join_build(nb_graph *g, nb_node *n)
{
    const nb_tensor *a = &n->in[0]->out, *b = &n->in[1]->out;
    const size3 p = size_of(a), q = size_of(b);
    char left[64], right[64];
    if (!fit(p.h, q.h) || !fit(p.w, q.w) || !fit(p.c, q.c))
        return nb_node_fail(g, n, NB_E_SHAPE, "%s is %s, but %s is %s: rows, columns and channels must be equal, or 1",
                            n->in[0]->name, nb_shape_text(&a->shape, left, sizeof left), n->in[1]->name,
                            nb_shape_text(&b->shape, right, sizeof right));
    n->out.shape = a->shape.ndim >= b->shape.ndim ? a->shape : b->shape;
    n->out.shape.d[n->out.shape.ndim - 1] = larger(p.c, q.c);
    if (n->out.shape.ndim == 4) {
        n->out.shape.d[1] = larger(p.h, q.h);
        n->out.shape.d[2] = larger(p.w, q.w);
    }
    return NB_OK;
}

bool nb_join_is_plain(const nb_node *n)
{
    return nb_count(&n->in[0]->out) == nb_count(&n->out) && nb_count(&n->in[1]->out) == nb_count(&n->out);
}

static int64_t row_values(const nb_node *n)
{
    const size3 y = size_of(&n->out);
    return nb_join_is_plain(n) ? NB_LAYER_GRAIN : (int64_t)y.w * y.c;
}

/* Of a thread: a row of each input, as the output needs it; one as it lies; what a gradient is made of. */
nb_status nb_join_prepare(nb_graph *g, nb_node *n)
{
    (void)g;
    n->scratch_bytes = 4 * (size_t)row_values(n) * sizeof(float);
    return NB_OK;
}

typedef struct {
    nb_node *n;
    const nb_join_math *m;
} job;

typedef struct { /* of one thread */
    const float *in[2];
    float *written[2], *lying, *part;
} rows;

static rows rows_of(const nb_node *n, int32_t thread)
{
    float *buf = nb_node_scratch(n, thread);
    const int64_t row = row_values(n);
    return (rows){.written = {buf, buf + row}, .lying = buf + 2 * row, .part = buf + 3 * row};
}

/* Where the part of input k's image begins that row `row` of the output reads. */
static int64_t start_of(const nb_node *n, int32_t k, int32_t image, int32_t row)
{
    const size3 x = size_of(&n->in[k]->out);
    return (((int64_t)image * x.h + (x.h > 1 ? row : 0)) * x.w) * x.c;
}

static const float *write_out(const nb_node *n, int32_t k, int32_t image, int32_t row, rows *r)
{
    const size3 x = size_of(&n->in[k]->out), y = size_of(&n->out);
    const bool whole = x.w == y.w && x.c == y.c;
    const float *from = nb_layer_values(whole ? r->written[k] : r->lying, &n->in[k]->out, start_of(n, k, image, row),
                                        (int64_t)x.w * x.c);
    if (whole)
        return from;
    for (int64_t col = 0; col < y.w; col++) {
        const float *pixel = from + (x.w > 1 ? col : 0) * x.c;
        for (int64_t c = 0; c < y.c; c++)
            r->written[k][col * y.c + c] = pixel[x.c > 1 ? c : 0];
    }
    return r->written[k];
}

static void plain_inputs(const nb_node *n, int64_t first, int64_t count, rows *r)
{
    for (int32_t k = 0; k < 2; k++)
        r->in[k] = nb_layer_values(r->written[k], &n->in[k]->out, first, count);
}

static void forward_plain(void *arg, int64_t chunk, int32_t thread)
{
    const job *j = arg;
    const int64_t first = chunk * NB_LAYER_GRAIN,
                  count = nb_chunk_end(nb_count(&j->n->out), NB_LAYER_GRAIN, chunk) - first;
    rows r = rows_of(j->n, thread);
    plain_inputs(j->n, first, count, &r);
    j->m->apply((float *)j->n->out.data + first, r.in[0], r.in[1], count);
}

static void forward_image(void *arg, int64_t image, int32_t thread)
{
    const job *j = arg;
    const size3 y = size_of(&j->n->out);
    const int64_t row = row_values(j->n);
    rows r = rows_of(j->n, thread);
    for (int32_t i = 0; i < y.h; i++) {
        for (int32_t k = 0; k < 2; k++)
            r.in[k] = write_out(j->n, k, (int32_t)image, i, &r);
        j->m->apply((float *)j->n->out.data + (image * y.h + i) * row, r.in[0], r.in[1], row);
    }
}

void nb_join_forward(nb_node *n, const nb_join_math *m)
{
    job j = {n, m};
    if (nb_join_is_plain(n))
        nb_parallel_for(nb_chunks(nb_count(&n->out), NB_LAYER_GRAIN), forward_plain, &j);
    else
        nb_parallel_for(n->out.shape.d[0], forward_image, &j);
}

static const float *part_of(const job *j, int32_t k, const float *dy, const rows *r, int64_t count)
{
    if (!j->m->part)
        return dy;
    j->m->part(r->part, k, dy, r->in[0], r->in[1], count);
    return r->part;
}

static void backward_plain(void *arg, int64_t chunk, int32_t thread)
{
    const job *j = arg;
    const int64_t first = chunk * NB_LAYER_GRAIN,
                  count = nb_chunk_end(nb_count(&j->n->out), NB_LAYER_GRAIN, chunk) - first;
    rows r = rows_of(j->n, thread);
    if (j->m->part)
        plain_inputs(j->n, first, count, &r);
    for (int32_t k = 0; k < 2; k++) {
        float *dx = j->n->in[k]->out.grad;
        if (dx)
            nb_layer_pass_grad(dx + first, part_of(j, k, j->n->out.grad + first, &r, count), count,
                               nb_layer_fresh(j->n, k));
    }
}

/* A row's gradient to where its values came from. */
static void add_up(float *dx, const float *part, const size3 *x, const size3 *y)
{
    for (int64_t col = 0; col < y->w; col++, part += y->c) {
        float *pixel = dx + (x->w > 1 ? col : 0) * x->c;
        float sum = 0;
        for (int64_t c = 0; c < y->c; c++)
            if (x->c > 1 || y->c == 1)
                pixel[c] += part[c];
            else
                sum += part[c];
        pixel[0] += sum;
    }
}

static void backward_image(void *arg, int64_t image, int32_t thread)
{
    const job *j = arg;
    const nb_node *n = j->n;
    const size3 y = size_of(&n->out);
    const int64_t row = row_values(n);
    rows r = rows_of(n, thread);
    for (int32_t k = 0; k < 2; k++)
        if (n->in[k]->out.grad && nb_layer_fresh(n, k)) {
            const size3 x = size_of(&n->in[k]->out);
            memset(n->in[k]->out.grad + start_of(n, k, (int32_t)image, 0), 0,
                   (size_t)x.h * (size_t)x.w * (size_t)x.c * sizeof(float));
        }
    for (int32_t i = 0; i < y.h; i++) {
        const float *dy = n->out.grad + (image * y.h + i) * row;
        for (int32_t k = 0; j->m->part && k < 2; k++)
            r.in[k] = write_out(n, k, (int32_t)image, i, &r);
        for (int32_t k = 0; k < 2; k++) {
            const size3 x = size_of(&n->in[k]->out);
            float *dx = n->in[k]->out.grad;
            if (dx)
                add_up(dx + start_of(n, k, (int32_t)image, i), part_of(j, k, dy, &r, row), &x, &y);
        }
    }
}

void nb_join_backward(nb_node *n, const nb_join_math *m)
{
    job j = {n, m};
    if (nb_join_is_plain(n))
        nb_parallel_for(nb_chunks(nb_count(&n->out), NB_LAYER_GRAIN), backward_plain, &j);
    else
        nb_parallel_for(n->out.shape.d[0], backward_image, &j);
}
