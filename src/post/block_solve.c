/* block_solve.c - see block_solve.h. */
#include "post/block_solve.h"

#include "base/check.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "post/held_codes.h"

#include <math.h>
#include <string.h>

enum { SEGMENT = 10 /* iterations between two reports */ };
static const double PI = 3.14159265358979323846;

/* ---- what there is ---- */

static nb_status open_arrays(nb_arena *arena, const nb_block_layer *l, nb_block_codes *c)
{
    const size_t f = (size_t)l->mac->in[1]->out.shape.d[0], n = (size_t)l->n;
    *c = (nb_block_codes){.filters = (int32_t)f, .size = l->n / (int64_t)f};
    c->step = nb_arena_array(arena, f, sizeof *c->step);
    c->first = nb_arena_array(arena, f, sizeof *c->first);
    c->last = nb_arena_array(arena, f, sizeof *c->last);
    c->start = nb_arena_array(arena, n, sizeof *c->start);
    c->code = nb_arena_array(arena, n, sizeof *c->code);
    return c->step && c->first && c->last && c->start && c->code ? nb_soft_open(arena, l->n, &c->soft) : NB_E_NOMEM;
}

/* The float weights lie between two codes; those that an earlier step has chosen are where this one leans to. */
static void read_codes(const nb_block_problem *p, const nb_block_layer *l, nb_block_codes *c)
{
    const nb_node *mac = p->g->node[l->mac->id], *twin = nb_graph_find(p->floats, l->mac->name);
    const float *now = nb_codes_leaf(mac), *w = twin->in[1]->out.data;
    bool chosen = false;
    nb_codes_read_grid(mac, &(nb_codes_grid){c->step, c->first, c->last});
    for (int64_t i = 0; i < l->n; i++) {
        const int32_t f = (int32_t)(i / c->size);
        const double step = (double)c->step[f];
        const int32_t nearest = nb_soft_begin(&c->soft, i, c->first[f], c->last[f], (double)w[i] / step);
        c->start[i] = nb_soft_nearest(c->first[f], c->last[f], (double)now[i] / step);
        chosen = chosen || c->start[i] != nearest;
    }
    for (int64_t i = 0; chosen && i < l->n; i++)
        nb_soft_lean(&c->soft, i, c->start[i]);
}

nb_status nb_block_problem_open(nb_arena *arena, nb_block_problem *p)
{
    const nb_block_run *b = p->run;
    const size_t most = (size_t)b->g->max_batch;
    p->batch = p->keys->batch < p->data->n ? p->keys->batch : p->data->n;
    p->batch = p->batch < b->g->max_batch ? p->batch : b->g->max_batch;
    p->codes = nb_arena_array(arena, (size_t)b->n_layers, sizeof *p->codes);
    p->dy = nb_arena_array(arena, most * (size_t)p->data->out, sizeof *p->dy);
    p->errors = nb_arena_array(arena, most, sizeof *p->errors);
    p->start = nb_arena_array(arena, (size_t)b->n_values, sizeof *p->start);
    p->moment = nb_arena_array(arena, 2 * (size_t)b->n_values, sizeof *p->moment);
    p->order = nb_arena_array(arena, (size_t)p->data->n, sizeof *p->order);
    p->mixed = nb_arena_array(arena, most * (size_t)p->data->in, sizeof *p->mixed);
    if (!p->codes || !p->dy || !p->errors || !p->start || !p->moment || !p->order || !p->mixed)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < p->data->n; i++)
        p->order[i] = i;
    for (int32_t i = 0; i < b->n_values; i++)
        p->start[i] = b->value[i].scale;
    for (int32_t i = 0; i < b->n_layers; i++) {
        NB_TRY(open_arrays(arena, &b->layer[i], &p->codes[i]));
        read_codes(p, &b->layer[i], &p->codes[i]);
        p->filters += p->codes[i].filters;
    }
    p->unit = 1;
    return NB_OK;
}

/* ---- the error ---- */

typedef struct {
    nb_block_problem *p;
    const int32_t *image;
    const uint8_t *dropped;
    int32_t layer;
    nb_soft_move move;
} job;

/* What the block reads: some of the float network's values, if any are left as they are. */
static void read_image(void *arg, int64_t i, int32_t thread)
{
    (void)thread;
    const job *j = arg;
    const nb_block_data *d = j->p->data;
    const int64_t at = j->image[i] * d->in;
    float *x = nb_block_reads(j->p->run) + i * d->in;
    memcpy(x, d->x + at, (size_t)d->in * sizeof *x);
    for (int64_t k = 0; j->dropped && k < d->in; k++)
        x[k] = j->dropped[i * d->in + k] ? d->floats[at + k] : x[k];
}

/* The error of one image, and its gradient. */
static void compare_image(void *arg, int64_t i, int32_t thread)
{
    (void)thread;
    const job *j = arg;
    const nb_block_data *d = j->p->data;
    const int64_t at = j->image[i] * d->out;
    const float *given = nb_block_gives(j->p->run) + i * d->out;
    float *dy = j->p->dy + i * d->out;
    double error = 0;
    for (int64_t k = 0; k < d->out; k++) {
        const float e = given[k] - d->y[at + k], weighted = d->weight ? d->weight[k] * e : e;
        error += (double)weighted * (double)e;
        dy[k] = 2 * j->p->unit * weighted;
    }
    j->p->errors[i] = error;
}

static double compare(nb_block_problem *p, const nb_block_pass *pass, const int32_t *image, int32_t n)
{
    const bool mixed = pass->drop > 0 && p->data->floats;
    job j = {.p = p, .image = image, .dropped = mixed ? p->mixed : NULL};
    double error = 0;
    nb_graph_set_batch(p->run->g, n);
    if (mixed)
        nb_block_draw(p->mixed, n * p->data->in, pass->drop, nb_mix(pass->seed, pass->at));
    nb_parallel_for(n, read_image, &j);
    nb_block_forward(p->run, pass);
    nb_parallel_for(n, compare_image, &j);
    for (int32_t i = 0; i < n; i++)
        error += p->errors[i];
    return error;
}

double nb_block_loss(nb_block_problem *p, const nb_block_pass *pass)
{
    const double error = compare(p, pass, p->order, p->batch);
    if (pass->train)
        nb_block_backward(p->run, pass, p->dy);
    return (double)p->unit * error;
}

double nb_block_error(nb_block_problem *p, bool start)
{
    const nb_block_run *b = p->run;
    double error = 0;
    for (int32_t l = 0; l < b->n_layers; l++)
        for (int64_t i = 0; i < b->layer[l].n; i++)
            b->layer[l].w[i] =
                p->codes[l].step[i / p->codes[l].size] * (float)(start ? p->codes[l].start : p->codes[l].code)[i];
    for (int32_t at = 0, n; at < p->data->n; at += n) {
        n = p->data->n - at < b->g->max_batch ? p->data->n - at : b->g->max_batch;
        error += compare(p, &(nb_block_pass){.train = false}, p->order + at, n);
    }
    return error;
}

/* ---- learning ---- */

static void soften_filter(void *arg, int64_t f, int32_t thread)
{
    (void)thread;
    const job *j = arg;
    const nb_block_codes *c = &j->p->codes[j->layer];
    const int64_t at = f * c->size;
    nb_soft_weights(&c->soft, at, at + c->size, c->step[f], j->p->run->layer[j->layer].w + at);
}

void nb_block_soften(nb_block_problem *p)
{
    for (int32_t l = 0; l < p->run->n_layers; l++)
        nb_parallel_for(p->codes[l].filters, soften_filter, &(job){.p = p, .layer = l});
}

static void descend_filter(void *arg, int64_t f, int32_t thread)
{
    (void)thread;
    const job *j = arg;
    const nb_block_codes *c = &j->p->codes[j->layer];
    const int64_t at = f * c->size;
    nb_soft_descend(&c->soft, &j->move, at, at + c->size, j->p->run->layer[j->layer].grad + at, c->step[f]);
}

/* Adam on the logarithms of the scales: LSQ's divisor cancels out of it. */
static void move_scales(nb_block_problem *p, const nb_soft_move *m, int32_t iteration)
{
    const double left = 0.5 * (1 + cos(PI * iteration / p->keys->soft.iterations));
    const float rate = (float)(left * (double)p->keys->scale_lr / (double)p->keys->soft.lr);
    for (int32_t i = 0; i < p->run->n_values; i++) {
        nb_block_value *v = &p->run->value[i];
        float *m1 = p->moment + 2 * i;
        if (v->scalable && rate > 0)
            v->scale *= expf(-rate * nb_soft_adam(m1, m1 + 1, m, v->scale * (float)v->by_scale));
    }
}

static void shuffle(nb_block_problem *p, uint64_t round)
{
    nb_rng r = nb_rng_make(p->keys->seed, round);
    for (int32_t i = p->data->n - 1; i > 0; i--) {
        const int32_t k = (int32_t)nb_rng_below(&r, (uint32_t)i + 1), was = p->order[i];
        p->order[i] = p->order[k];
        p->order[k] = was;
    }
}

/* The next batch is brought to the front. */
static void next_batch(nb_block_problem *p, int32_t iteration)
{
    const int32_t each = p->data->n / p->batch, at = iteration % each * p->batch;
    if (at == 0)
        shuffle(p, (uint64_t)(iteration / each));
    for (int32_t i = 0; at > 0 && i < p->batch; i++) {
        const int32_t was = p->order[i];
        p->order[i] = p->order[at + i];
        p->order[at + i] = was;
    }
}

static void iterate(nb_block_problem *p, int32_t iteration)
{
    const nb_soft_move m = nb_soft_move_at(&p->keys->soft, iteration);
    const nb_block_pass pass = {
        .train = true, .drop = p->keys->drop, .seed = p->keys->seed, .at = (uint64_t)iteration + 1};
    next_batch(p, iteration);
    nb_block_soften(p);
    nb_block_loss(p, &pass);
    for (int32_t l = 0; l < p->run->n_layers; l++)
        nb_parallel_for(p->codes[l].filters, descend_filter, &(job){.p = p, .layer = l, .move = m});
    move_scales(p, &m, iteration);
}

static void learn(nb_block_problem *p, const nb_block_watch *watch)
{
    const int32_t all = p->keys->soft.iterations;
    for (int32_t i = 0; i < all; i++) {
        iterate(p, i);
        if (watch && ((i + 1) % SEGMENT == 0 || i + 1 == all))
            watch->done(watch->ud, (double)(i + 1) / all);
    }
    for (int32_t l = 0; l < p->run->n_layers; l++)
        for (int64_t i = 0; i < p->run->layer[l].n; i++)
            p->codes[l].code[i] = nb_soft_code(&p->codes[l].soft, i);
}

static double total_wanted(const nb_block_data *d)
{
    double sum = 0;
    for (int64_t i = 0; i < d->n * d->out; i++)
        sum += (double)d->y[i] * (double)d->y[i] * (d->weight ? (double)d->weight[i % d->out] : 1);
    return sum;
}

static void take_back(nb_block_problem *p)
{
    for (int32_t l = 0; l < p->run->n_layers; l++)
        memcpy(p->codes[l].code, p->codes[l].start, (size_t)p->run->layer[l].n * sizeof *p->codes[l].code);
    for (int32_t i = 0; i < p->run->n_values; i++)
        p->run->value[i].scale = p->start[i];
}

void nb_block_solve(nb_block_problem *p, const nb_block_watch *watch, nb_block_gain *gain)
{
    *gain = (nb_block_gain){.wanted = total_wanted(p->data), .before = nb_block_error(p, true)};
    gain->after = gain->before;
    if (gain->before > 0) {
        p->unit = (float)(p->filters * ((double)p->data->n / p->batch) / gain->before);
        learn(p, watch);
        gain->after = nb_block_error(p, false);
    }
    gain->better = gain->after < gain->before;
    if (!gain->better) {
        gain->after = gain->before;
        take_back(p);
    }
    for (int32_t l = 0; l < p->run->n_layers; l++)
        for (int64_t i = 0; i < p->run->layer[l].n; i++)
            gain->flipped += p->codes[l].code[i] != p->codes[l].start[i];
}
