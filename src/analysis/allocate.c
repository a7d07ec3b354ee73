/* allocate.c - see allocate.h.
 *
 * Classes that a common one multiplies are made into one first: for every option of that one all choices of its members, of
 * which those stay that no other beats. What is left are independent groups. A state is a node that knows the state it
 * came from; picks are read along that way. */
#include "analysis/allocate.h"

#include "base/arena.h"
#include "base/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct node {
    int64_t cost;
    double loss;
    const struct node *before; /* of the classes before; NULL: none */
    const struct node *group;  /* what was added: of a whole group; NULL: option `pick` of class `of` */
    int32_t of, pick;
} node;

/* Costs ascend, losses descend. */
typedef struct {
    node *at;
    int32_t n;
} front;

/* A step along the convex hull of a group's front: dearer by cost, better by gain. */
typedef struct {
    int32_t group;
    int64_t cost;
    double gain;
} rise;

typedef struct {
    nb_ctx *ctx;
    nb_arena *arena;
    const nb_alloc_class *c;
    int32_t n_classes;
    front *group; /* [n_groups] */
    int32_t n_groups;
    rise *rises; /* the steepest first */
    int32_t n_rises;
    int64_t *least_from; /* [n_groups + 1]: cheapest options of groups i.. */
    double *loss_from;   /* and their loss */
    bool *stuck;         /* [n_groups] scratch */
} work;

static int by_cost(const void *a, const void *b)
{
    const node *x = a, *y = b;
    if (x->cost != y->cost)
        return x->cost < y->cost ? -1 : 1;
    return x->loss < y->loss ? -1 : x->loss > y->loss;
}

/* Keeps what no other beats. */
static void keep_best(front *f)
{
    int32_t n = 0;
    qsort(f->at, (size_t)f->n, sizeof *f->at, by_cost);
    for (int32_t i = 0; i < f->n; i++)
        if (n == 0 || f->at[i].loss < f->at[n - 1].loss)
            f->at[n++] = f->at[i];
    f->n = n;
}

/* The arena's copy of f, whose memory is then freed. */
static nb_status settle(work *w, front *f)
{
    keep_best(f);
    node *kept = nb_arena_array(w->arena, (size_t)f->n + 1, sizeof *kept);
    for (int32_t i = 0; kept && i < f->n; i++)
        kept[i] = f->at[i];
    nb_free(w->ctx, f->at);
    f->at = kept;
    return kept ? NB_OK : NB_E_NOMEM;
}

static node *room(work *w, int64_t n)
{
    return n < INT32_MAX ? nb_alloc(w->ctx, ((size_t)n + 1) * sizeof(node)) : NULL;
}

/* ---- groups ---- */

/* f with every option of class k, whose costs are multiplied. */
static nb_status add_class(work *w, front *f, int32_t k, int32_t times)
{
    const nb_alloc_class *c = &w->c[k];
    front more = {.at = room(w, (int64_t)f->n * c->n)};
    if (!more.at)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < f->n; i++)
        for (int32_t j = 0; j < c->n; j++)
            more.at[more.n++] = (node){.cost = f->at[i].cost + c->option[j].cost * times,
                                       .loss = f->at[i].loss + c->option[j].loss,
                                       .before = &f->at[i],
                                       .of = k,
                                       .pick = j};
    NB_TRY(settle(w, &more));
    *f = more;
    return NB_OK;
}

/* All choices of class k and of those it multiplies. */
static nb_status make_group(work *w, int32_t k, front *out)
{
    const nb_alloc_class *c = &w->c[k];
    front all = {0};
    for (int32_t j = 0; j < c->n; j++) {
        front f = {.at = nb_arena_array(w->arena, 1, sizeof(node)), .n = 1};
        if (!f.at)
            return NB_E_NOMEM;
        f.at[0] = (node){.cost = c->option[j].cost, .loss = c->option[j].loss, .of = k, .pick = j};
        for (int32_t i = 0; i < w->n_classes; i++)
            if (w->c[i].by == k)
                NB_TRY(add_class(w, &f, i, c->option[j].bits));
        front both = {.at = room(w, (int64_t)all.n + f.n), .n = all.n + f.n};
        if (!both.at)
            return NB_E_NOMEM;
        for (int32_t i = 0; i < both.n; i++)
            both.at[i] = i < all.n ? all.at[i] : f.at[i - all.n];
        NB_TRY(settle(w, &both));
        all = both;
    }
    *out = all;
    return NB_OK;
}

static int by_slope(const void *a, const void *b)
{
    const rise *x = a, *y = b;
    const double s = x->gain / (double)x->cost, t = y->gain / (double)y->cost;
    if (s != t)
        return s > t ? -1 : 1;
    return x->group != y->group ? (x->group < y->group ? -1 : 1) : x->cost < y->cost ? -1 : x->cost > y->cost;
}

/* Steps between the corners of the lower convex hull: each the steepest from where the last one ended. */
static void add_rises(work *w, int32_t g)
{
    const front *f = &w->group[g];
    for (int32_t at = 0, best; at < f->n - 1; at = best) {
        double steepest = -1;
        best = at + 1;
        for (int32_t i = at + 1; i < f->n; i++) {
            const double s = (f->at[at].loss - f->at[i].loss) / (double)(f->at[i].cost - f->at[at].cost);
            if (s >= steepest) {
                steepest = s;
                best = i;
            }
        }
        w->rises[w->n_rises++] = (rise){g, f->at[best].cost - f->at[at].cost, f->at[at].loss - f->at[best].loss};
    }
}

static nb_status make_groups(work *w)
{
    const size_t n = (size_t)w->n_classes + 1;
    int64_t corners = 0;
    w->group = nb_arena_array(w->arena, n, sizeof *w->group);
    w->least_from = nb_arena_array(w->arena, n, sizeof *w->least_from);
    w->loss_from = nb_arena_array(w->arena, n, sizeof *w->loss_from);
    w->stuck = nb_arena_array(w->arena, n, sizeof *w->stuck);
    if (!w->group || !w->least_from || !w->loss_from || !w->stuck)
        return NB_E_NOMEM;
    for (int32_t k = 0; k < w->n_classes; k++) {
        NB_ASSERT(w->c[k].n >= 1 && (w->c[k].by < 0 || w->c[w->c[k].by].by < 0));
        if (w->c[k].by >= 0)
            continue;
        NB_TRY(make_group(w, k, &w->group[w->n_groups]));
        corners += w->group[w->n_groups++].n;
    }
    w->rises = nb_arena_array(w->arena, (size_t)corners + 1, sizeof *w->rises);
    if (!w->rises)
        return NB_E_NOMEM;
    for (int32_t g = w->n_groups - 1; g >= 0; g--) {
        w->least_from[g] = w->least_from[g + 1] + w->group[g].at[0].cost;
        w->loss_from[g] = w->loss_from[g + 1] + w->group[g].at[0].loss;
        add_rises(w, g);
    }
    qsort(w->rises, (size_t)w->n_rises, sizeof *w->rises, by_slope);
    return NB_OK;
}

/* ---- bounds ---- */

/* No choice for groups from.. that costs at most `left` has a smaller loss. */
static double bound(const work *w, int32_t from, int64_t left)
{
    left -= w->least_from[from];
    if (left < 0)
        return INFINITY;
    double loss = w->loss_from[from];
    for (int32_t i = 0; i < w->n_rises; i++) {
        const rise *r = &w->rises[i];
        if (r->group < from)
            continue;
        if (r->cost > left)
            return loss - r->gain * ((double)left / (double)r->cost);
        left -= r->cost;
        loss -= r->gain;
    }
    return loss;
}

/* The loss of a choice that fits: the steepest steps, of each group up to its first that does not fit. */
static double reached(work *w, int64_t left)
{
    double loss = w->loss_from[0];
    left -= w->least_from[0];
    for (int32_t g = 0; g < w->n_groups; g++)
        w->stuck[g] = false;
    for (int32_t i = 0; i < w->n_rises; i++) {
        const rise *r = &w->rises[i];
        w->stuck[r->group] = w->stuck[r->group] || r->cost > left;
        if (w->stuck[r->group])
            continue;
        left -= r->cost;
        loss -= r->gain;
    }
    return loss;
}

/* ---- all groups ---- */

static nb_status add_group(work *w, front *f, int32_t g, int64_t budget, double known)
{
    const front *own = &w->group[g];
    front more = {.at = room(w, (int64_t)f->n * own->n)};
    if (!more.at)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < f->n; i++)
        for (int32_t j = 0; j < own->n; j++) {
            const int64_t cost = f->at[i].cost + own->at[j].cost;
            const double loss = f->at[i].loss + own->at[j].loss;
            if (loss + bound(w, g + 1, budget - cost) <= known)
                more.at[more.n++] =
                    (node){.cost = cost, .loss = loss, .before = &f->at[i], .group = &own->at[j], .of = -1};
        }
    NB_TRY(settle(w, &more));
    *f = more;
    return NB_OK;
}

static void read_picks(const node *s, int32_t *pick)
{
    for (; s; s = s->before) {
        for (const node *k = s->group; k; k = k->before)
            pick[k->of] = k->pick;
    }
}

static nb_status solve(work *w, int64_t budget, nb_allocation *out, int32_t *pick)
{
    NB_TRY(make_groups(w));
    *out = (nb_allocation){.least = w->least_from[0], .fits = w->least_from[0] <= budget};
    if (!out->fits)
        return NB_OK;
    /* sums in another order end in other last digits: nothing may be dropped for these */
    double known = reached(w, budget);
    known += 1e-9 * (fabs(known) + fabs(w->loss_from[0]));
    node none = {.of = -1};
    front f = {.at = &none, .n = 1};
    for (int32_t g = 0; g < w->n_groups; g++)
        NB_TRY(add_group(w, &f, g, budget, known));
    NB_ASSERT(f.n > 0);
    const node *best = &f.at[f.n - 1];
    out->cost = best->cost;
    out->loss = best->loss;
    read_picks(best, pick);
    return NB_OK;
}

nb_status nb_allocate(nb_ctx *ctx, const nb_alloc_class *c, int32_t n, int64_t budget, nb_allocation *out,
                      int32_t *pick)
{
    work w = {.ctx = ctx, .c = c, .n_classes = n};
    NB_TRY(nb_arena_create(ctx, &w.arena));
    const nb_status st = solve(&w, budget, out, pick);
    nb_arena_free(w.arena);
    return st;
}

const char *nb_alloc_off(const nb_alloc_outcome *o, char buf[NB_ALLOC_OFF])
{
    enum { TIMES = 4, ENOUGH_IMAGES = 16 };
    static const double LEAST = 1e-3; /* nats: hardly an answer differs */
    char times[32] = "many";
    buf[0] = '\0';
    if (o->images < ENOUGH_IMAGES || o->measured <= LEAST || o->measured <= TIMES * o->predicted)
        return buf;
    if (o->predicted > o->measured * 1e-3)
        snprintf(times, sizeof times, "%.0f", o->measured / o->predicted);
    snprintf(
        buf, NB_ALLOC_OFF, "that is %s times the predicted divergence: %s", times,
        o->estimated
            ? "the estimates do not hold here; choose by --sensitivity measured, the default"
            : "errors of the quantizers add up to more than each alone; give a larger budget, or train the network");
    return buf;
}
