/* adaround.c - soft weights (soft_round.h) of one filter are learned to make smaller, over batches of rows,
 *
 *   error / error of rounding to nearest + regularizer.
 *
 * The paper does not divide; with it lambda means the same at every width and for values of every size. What is left then is refined:
 * weight by weight over all rows, the other code is taken where it is better, until there is none. A thousand iterations
 * and this are as good as ten thousand without (tests/adaround).
 *
 * Filters do not know of each other: a part is some of them, and one thread does all of it, whatever the number of
 * threads. Products are those of fconv.h on an "image" of one row of pixels. */
#include "post/adaround.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/parallel.h"
#include "kernels/float/fconv.h"

#include <nibble/extend/tensor.h>

#include <math.h>
#include <string.h>

#define ENOUGH 1e-6 /* share of the error by which another code must be better */

enum {
    WIDE = 16,   /* filters of a part: as many as kernels do at once */
    SEGMENT = 50 /* iterations between two reports */
};

/* Filters [first, first + n). */
typedef struct {
    int32_t first, n, cols; /* cols: inputs in a row of x */
    const float *x;         /* [rows][cols] */
    nb_fconv_plan *plan;
    void *panels, *slot, *scratch;
    float *out;                    /* [batch][n] */
    float *sums, *wanted, *column; /* [n][rows] twice, [rows]: to refine */
    nb_soft s;                     /* [n][size] */
    float *soft, *grad;            /* [n][size] */
    int32_t *code;                 /* [n][size] learned */
    double *nearest, *learned;     /* [n] squared errors */
} part;

typedef struct {
    const nb_adaround_problem *p;
    const nb_adaround_keys *k;
    struct nb_arena *arena;
    part *part;
    int32_t batch, n_parts;
    int32_t from, to; /* iterations under way */
    int32_t *code;
} work;

/* ---- parts ---- */

/* Groups of a part. Filters of one group are cut into parts only where it is the only one: x is shared then. */
static int32_t part_groups(const nb_adaround_problem *p)
{
    const int32_t each = p->filters / p->groups;
    return each >= WIDE ? 1 : WIDE / each < p->groups ? WIDE / each : p->groups;
}

int64_t nb_adaround_input(const nb_adaround_problem *p, int32_t row, int32_t group)
{
    const int32_t most = part_groups(p), first = group / most * most;
    const int32_t here = p->groups - first < most ? p->groups - first : most;
    return ((int64_t)first * p->rows + (int64_t)row * here + (group - first)) * p->size;
}

static nb_status make_part(work *w, part *t, int32_t groups)
{
    const nb_adaround_problem *p = w->p;
    const size_t weights = (size_t)t->n * (size_t)p->size;
    const nb_geom g = nb_geom_pixels(1, w->batch, t->cols, t->n, groups);
    size_t bytes;
    if (!nb_fconv_plan_bytes(&g, NB_FCONV_FAST, &bytes))
        return NB_E_SHAPE;
    void *mem = nb_arena_array(w->arena, bytes, 1);
    if (!mem)
        return NB_E_NOMEM;
    t->plan = nb_fconv_plan_init(mem, &g, NB_FCONV_FAST);
    t->panels = nb_arena_array(w->arena, nb_fconv_panel_bytes(t->plan), 1);
    t->slot = nb_arena_array(w->arena, nb_fconv_slot_bytes(t->plan), 1);
    t->scratch = nb_arena_array(w->arena, nb_fconv_scratch_bytes(t->plan), 1);
    t->out = nb_arena_array(w->arena, (size_t)w->batch * (size_t)t->n, sizeof *t->out);
    t->sums = nb_arena_array(w->arena, (size_t)t->n * (size_t)p->rows, sizeof *t->sums);
    t->wanted = nb_arena_array(w->arena, (size_t)t->n * (size_t)p->rows, sizeof *t->wanted);
    t->column = nb_arena_array(w->arena, (size_t)p->rows, sizeof *t->column);
    t->soft = nb_arena_array(w->arena, weights, sizeof *t->soft);
    t->grad = nb_arena_array(w->arena, weights, sizeof *t->grad);
    t->code = nb_arena_array(w->arena, weights, sizeof *t->code);
    t->nearest = nb_arena_array(w->arena, (size_t)t->n, sizeof *t->nearest);
    t->learned = nb_arena_array(w->arena, (size_t)t->n, sizeof *t->learned);
    const bool all = t->panels && t->slot && t->scratch && t->out && t->sums && t->wanted && t->column && t->soft &&
                     t->grad && t->code && t->nearest && t->learned;
    return all ? nb_soft_open(w->arena, (int64_t)weights, &t->s) : NB_E_NOMEM;
}

static nb_status make_parts(work *w)
{
    const nb_adaround_problem *p = w->p;
    const int32_t each = p->filters / p->groups, most = p->groups == 1 ? WIDE : part_groups(p) * each;
    w->n_parts = (p->filters + most - 1) / most;
    w->part = nb_arena_array(w->arena, (size_t)w->n_parts, sizeof *w->part);
    if (!w->part)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < w->n_parts; i++) {
        part *t = &w->part[i];
        t->first = i * most;
        t->n = p->filters - t->first < most ? p->filters - t->first : most;
        const int32_t groups = p->groups == 1 ? 1 : t->n / each;
        t->cols = groups * p->size;
        t->x = p->x + nb_adaround_input(p, 0, t->first / each);
        NB_TRY(make_part(w, t, groups));
    }
    return NB_OK;
}

/* ---- a pass over rows ---- */

/* What the filters give with weights `soft` in the batch that begins at row `at`: adds squared errors to error [n], if asked
 * for, and leaves the gradient of half their sum in `out`; it is 0 where the clamp holds a value. */
static void pass(const work *w, const part *t, int32_t at, double *error)
{
    const nb_adaround_problem *p = w->p;
    const nb_fconv_image image = {.data = t->x + (int64_t)at * t->cols, .dtype = NB_F32};
    const float *mul = p->mul + t->first, *add = p->add + t->first;
    nb_fconv_forward(t->plan, t->out, &image, t->panels, NULL, t->scratch);
    for (int32_t r = 0; r < w->batch; r++) {
        float *out = t->out + (int64_t)r * t->n;
        const float *y = p->y + (int64_t)(at + r) * p->filters + t->first;
        for (int32_t f = 0; f < t->n; f++) {
            const float v = mul[f] * out[f] + add[f], low = v > p->low ? v : p->low;
            const float held = low < p->high ? low : p->high, d = held - y[f];
            if (error)
                error[f] += (double)d * (double)d;
            out[f] = held == v ? mul[f] * d : 0.0f;
        }
    }
}

static int32_t batches(const work *w)
{
    return w->p->rows / w->batch;
}

/* Squared errors of the filters with these codes, over all batches. */
static void measure(const work *w, const part *t, const int32_t *code, double *error)
{
    const nb_adaround_problem *p = w->p;
    for (int32_t f = 0; f < t->n; f++)
        for (int64_t i = (int64_t)f * p->size; i < (int64_t)(f + 1) * p->size; i++)
            t->soft[i] = p->step[t->first + f] * (float)code[i];
    nb_fconv_pack(t->plan, t->panels, t->soft);
    for (int32_t b = 0; b < batches(w); b++)
        pass(w, t, b * w->batch, error);
}

/* ---- one iteration ---- */

/* By t->grad, the gradient of half the error by the weights. */
static void descend(const work *w, part *t, int32_t iteration)
{
    const int32_t size = w->p->size;
    const nb_soft_move m = nb_soft_move_at(&w->k->soft, iteration);
    for (int32_t f = 0; f < t->n; f++) {
        const double share = t->nearest[f] > 0 ? batches(w) / t->nearest[f] : 0;
        const int64_t at = (int64_t)f * size;
        nb_soft_descend(&t->s, &m, at, at + size, t->grad + at, (float)(2 * share * (double)w->p->step[t->first + f]));
    }
}

static void soften(const work *w, const part *t)
{
    const int32_t size = w->p->size;
    for (int32_t f = 0; f < t->n; f++) {
        const int64_t at = (int64_t)f * size;
        nb_soft_weights(&t->s, at, at + size, w->p->step[t->first + f], t->soft + at);
    }
}

static void iterate(const work *w, part *t, int32_t iteration)
{
    const int32_t at = iteration % batches(w) * w->batch;
    const nb_fconv_image image = {.data = t->x + (int64_t)at * t->cols, .dtype = NB_F32};
    void *slot = t->slot;
    soften(w, t);
    nb_fconv_pack(t->plan, t->panels, t->soft);
    pass(w, t, at, NULL);
    memset(t->slot, 0, nb_fconv_slot_bytes(t->plan));
    memset(t->grad, 0, (size_t)t->n * (size_t)w->p->size * sizeof *t->grad);
    nb_fconv_weight_grad(t->plan, t->slot, &image, t->out, t->scratch);
    nb_fconv_weight_grad_finish(t->plan, t->grad, &(nb_fconv_slots){&slot, 1, 1.0f});
    descend(w, t, iteration);
}

/* ---- parts, by threads ---- */

static int32_t *codes_of(const work *w, const part *t)
{
    return w->code + (int64_t)t->first * w->p->size;
}

static void start_part(void *arg, int64_t index, int32_t thread)
{
    (void)thread;
    const work *w = arg;
    const nb_adaround_problem *p = w->p;
    part *t = &w->part[index];
    for (int32_t f = 0; f < t->n; f++) {
        const int32_t c = t->first + f;
        for (int32_t i = 0; i < p->size; i++)
            codes_of(w, t)[(int64_t)f * p->size + i] =
                nb_soft_begin(&t->s, (int64_t)f * p->size + i, p->first[c], p->last[c],
                              (double)p->w[(int64_t)c * p->size + i] / (double)p->step[c]);
    }
    measure(w, t, codes_of(w, t), t->nearest);
}

static void learn_part(void *arg, int64_t index, int32_t thread)
{
    (void)thread;
    const work *w = arg;
    for (int32_t i = w->from; i < w->to; i++)
        iterate(w, &w->part[index], i);
}

/* ---- refining ---- */

/* Squared error of filter f when its sums are moved by `by` times the column. Lanes: the same order on every machine, and
 * one that compilers make vectors of. */
static double moved_error(const work *w, const part *t, int32_t f, float by)
{
    enum { LANES = 16, RUN = 1024 }; /* floats are added up so far */
    const nb_adaround_problem *p = w->p;
    const int32_t c = t->first + f, n = batches(w) * w->batch;
    const float *sums = t->sums + (int64_t)f * p->rows, *wanted = t->wanted + (int64_t)f * p->rows;
    const float mul = p->mul[c], add = p->add[c], low = p->low, high = p->high;
    double error = 0;
    for (int32_t from = 0; from < n; from += RUN) {
        const int32_t end = n - from < RUN ? n : from + RUN;
        float lane[LANES] = {0};
        int32_t r = from;
        for (; r + LANES <= end; r += LANES)
            for (int32_t k = 0; k < LANES; k++) {
                const float v = mul * (sums[r + k] + by * t->column[r + k]) + add, a = v > low ? v : low;
                const float d = (a < high ? a : high) - wanted[r + k];
                lane[k] += d * d;
            }
        for (int32_t k = 0; r < end; r++, k++) {
            const float v = mul * (sums[r] + by * t->column[r]) + add, a = v > low ? v : low;
            const float d = (a < high ? a : high) - wanted[r];
            lane[k] += d * d;
        }
        for (int32_t k = 0; k < LANES; k++)
            error += (double)lane[k];
    }
    return error;
}

/* Input i of group g of the part in all rows. */
static void read_column(const work *w, part *t, int32_t g, int32_t i)
{
    const float *x = t->x + (int64_t)g * w->p->size + i;
    for (int32_t r = 0; r < batches(w) * w->batch; r++)
        t->column[r] = x[(int64_t)r * t->cols];
}

/* Sums of the codes, and what is wanted, filter by filter. */
static void start_refining(const work *w, part *t)
{
    const nb_adaround_problem *p = w->p;
    nb_fconv_pack(t->plan, t->panels, t->soft);
    for (int32_t b = 0; b < batches(w); b++) {
        const int32_t at = b * w->batch;
        const nb_fconv_image image = {.data = t->x + (int64_t)at * t->cols, .dtype = NB_F32};
        nb_fconv_forward(t->plan, t->out, &image, t->panels, NULL, t->scratch);
        for (int32_t r = 0; r < w->batch; r++)
            for (int32_t f = 0; f < t->n; f++) {
                t->sums[(int64_t)f * p->rows + at + r] = t->out[(int64_t)r * t->n + f];
                t->wanted[(int64_t)f * p->rows + at + r] = p->y[(int64_t)(at + r) * p->filters + t->first + f];
            }
    }
}

/* Takes the other code of weight i, if the error is smaller with it. */
static bool turn(const work *w, part *t, int32_t f, int32_t i)
{
    const nb_adaround_problem *p = w->p;
    const int64_t at = (int64_t)f * p->size + i;
    const bool up = t->code[at] > (int32_t)t->s.base[at];
    const float by = up ? -p->step[t->first + f] : p->step[t->first + f];
    const double error = t->s.room[at] > 0.0f ? moved_error(w, t, f, by) : INFINITY;
    if (error >= t->learned[f] * (1 - ENOUGH))
        return false;
    float *sums = t->sums + (int64_t)f * p->rows;
    for (int32_t r = 0; r < batches(w) * w->batch; r++)
        sums[r] += by * t->column[r];
    t->code[at] += up ? -1 : 1;
    t->learned[f] = error;
    return true;
}

/* What learning left, weight by weight, until no single one is better the other way: t->code, their errors t->learned. */
static void refine(const work *w, part *t)
{
    const int32_t groups = t->cols / w->p->size, each = t->n / groups;
    bool better = true;
    start_refining(w, t);
    for (int32_t sweep = 0; better && sweep < w->k->refine; sweep++) {
        better = false;
        for (int32_t g = 0; g < groups; g++)
            for (int32_t i = 0; i < w->p->size; i++) {
                read_column(w, t, g, i);
                for (int32_t f = g * each; f < (g + 1) * each; f++)
                    better = turn(w, t, f, i) || better;
            }
    }
}

/* Up or down, where that is better than the nearest. */
static void settle_part(void *arg, int64_t index, int32_t thread)
{
    (void)thread;
    const work *w = arg;
    const int32_t size = w->p->size;
    part *t = &w->part[index];
    int32_t *code = codes_of(w, t);
    for (int64_t i = 0; i < (int64_t)t->n * size; i++)
        t->code[i] = nb_soft_code(&t->s, i);
    measure(w, t, t->code, t->learned);
    refine(w, t);
    memset(t->learned, 0, (size_t)t->n * sizeof *t->learned); /* what refining has kept is rounded more */
    measure(w, t, t->code, t->learned);
    for (int32_t f = 0; f < t->n; f++) {
        if (t->learned[f] < t->nearest[f])
            memcpy(code + (int64_t)f * size, t->code + (int64_t)f * size, (size_t)size * sizeof *code);
        else
            t->learned[f] = t->nearest[f];
    }
}

/* ---- all of it ---- */

static void learn(work *w, const nb_adaround_watch *watch)
{
    const int32_t all = w->k->soft.iterations;
    for (w->from = 0; w->from < all; w->from = w->to) {
        w->to = all - w->from < SEGMENT ? all : w->from + SEGMENT;
        nb_parallel_for(w->n_parts, learn_part, w);
        if (watch)
            watch->done(watch->ud, (double)w->to / all);
    }
}

static void count_flips(const work *w, nb_adaround_gain *gain)
{
    const nb_adaround_problem *p = w->p;
    for (int32_t c = 0; c < p->filters; c++)
        for (int64_t i = (int64_t)c * p->size; i < (int64_t)(c + 1) * p->size; i++)
            gain->flipped +=
                w->code[i] != nb_soft_nearest(p->first[c], p->last[c], (double)p->w[i] / (double)p->step[c]);
}

static void count_wanted(const work *w, nb_adaround_gain *gain)
{
    const int64_t all = (int64_t)batches(w) * w->batch * w->p->filters;
    for (int64_t i = 0; i < all; i++)
        gain->wanted += (double)w->p->y[i] * (double)w->p->y[i];
}

nb_status nb_adaround_solve(nb_ctx *ctx, const nb_adaround_problem *p, const nb_adaround_keys *k,
                            const nb_adaround_watch *watch, int32_t *code, nb_adaround_gain *gain)
{
    NB_ASSERT(p->rows >= 1 && k->batch >= 1 && p->filters % p->groups == 0);
    work w = {.p = p, .k = k, .batch = k->batch < p->rows ? k->batch : p->rows, .code = code};
    *gain = (nb_adaround_gain){0};
    NB_TRY(nb_arena_create(ctx, &w.arena));
    nb_status st = make_parts(&w);
    if (st == NB_OK) {
        nb_parallel_for(w.n_parts, start_part, &w);
        learn(&w, watch);
        nb_parallel_for(w.n_parts, settle_part, &w);
        for (int32_t i = 0; i < w.n_parts; i++)
            for (int32_t f = 0; f < w.part[i].n; f++) {
                gain->nearest += w.part[i].nearest[f];
                gain->learned += w.part[i].learned[f];
            }
        count_flips(&w, gain);
        count_wanted(&w, gain);
    }
    nb_arena_free(w.arena);
    return st;
}
