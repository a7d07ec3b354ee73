/* adaround.c - the weights of a filter are step * clamp(floor(w / step) + h(v), first, last) with the rectified sigmoid
 *
 *   h(v) = clamp(sigmoid(v) * (ZETA - GAMMA) + GAMMA, 0, 1)
 *
 * v starts where h is the fraction that rounding takes away. Adam makes smaller, over batches of rows,
 *
 *   error / error of rounding to nearest + lambda * sum(1 - |2h - 1|^beta)
 *
 * whose second part is left out at first and then drives every h to 0 or 1, as beta falls from 20 to 2. The paper does
 * not divide; with it lambda means the same at every width and for values of every size. What is left then is refined:
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

#define ZETA       1.1
#define GAMMA      (-0.1)
#define BETA_FIRST 20.0
#define BETA_LAST  2.0
#define MOMENT_1   0.9 /* of Adam */
#define MOMENT_2   0.999
#define TINY       1e-8
#define ENOUGH     1e-6 /* share of the error by which another code must be better */
#define PI         3.14159265358979323846

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
    float *out;                                     /* [batch][n] */
    float *sums, *wanted, *column;                  /* [n][rows] twice, [rows]: to refine */
    float *base, *room, *v, *m1, *m2, *soft, *grad; /* [n][size]; base and room in units of the step; room: 1, or 0
                                                       where there is one code only */
    int32_t *code;                                  /* [n][size] learned */
    double *nearest, *learned;                      /* [n] squared errors */
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
    float **const arrays[] = {&t->base, &t->room, &t->v, &t->m1, &t->m2, &t->soft, &t->grad};
    const nb_geom g = nb_geom_pixels(1, w->batch, t->cols, t->n, groups);
    size_t bytes;
    if (!nb_fconv_plan_bytes(&g, &bytes))
        return NB_E_SHAPE;
    void *mem = nb_arena_array(w->arena, bytes, 1);
    if (!mem)
        return NB_E_NOMEM;
    t->plan = nb_fconv_plan_init(mem, &g);
    t->panels = nb_arena_array(w->arena, nb_fconv_panel_bytes(t->plan), 1);
    t->slot = nb_arena_array(w->arena, nb_fconv_slot_bytes(t->plan), 1);
    t->scratch = nb_arena_array(w->arena, nb_fconv_scratch_bytes(t->plan), 1);
    t->out = nb_arena_array(w->arena, (size_t)w->batch * (size_t)t->n, sizeof *t->out);
    t->sums = nb_arena_array(w->arena, (size_t)t->n * (size_t)p->rows, sizeof *t->sums);
    t->wanted = nb_arena_array(w->arena, (size_t)t->n * (size_t)p->rows, sizeof *t->wanted);
    t->column = nb_arena_array(w->arena, (size_t)p->rows, sizeof *t->column);
    t->code = nb_arena_array(w->arena, weights, sizeof *t->code);
    t->nearest = nb_arena_array(w->arena, (size_t)t->n, sizeof *t->nearest);
    t->learned = nb_arena_array(w->arena, (size_t)t->n, sizeof *t->learned);
    bool all = t->panels && t->slot && t->scratch && t->out && t->sums && t->wanted && t->column && t->code &&
               t->nearest && t->learned;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        *arrays[i] = nb_arena_array(w->arena, weights, sizeof(float));
        all = all && *arrays[i];
    }
    return all ? NB_OK : NB_E_NOMEM;
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

/* h, and its derivative by v. */
static inline float rectified(float v, float *slope)
{
    const float s = 1.0f / (1.0f + expf(-v)), h = s * (float)(ZETA - GAMMA) + (float)GAMMA;
    *slope = h > 0.0f && h < 1.0f ? (float)(ZETA - GAMMA) * s * (1.0f - s) : 0.0f;
    return h > 1.0f ? 1.0f : h > 0.0f ? h : 0.0f;
}

static void soften(const work *w, part *t)
{
    const int32_t size = w->p->size;
    for (int32_t f = 0; f < t->n; f++) {
        const float step = w->p->step[t->first + f];
        for (int64_t i = (int64_t)f * size; i < (int64_t)(f + 1) * size; i++) {
            float slope;
            t->soft[i] = step * (t->base[i] + t->room[i] * rectified(t->v[i], &slope));
        }
    }
}

/* Adam's step from t->grad, the gradient of half the error by the weights. beta 0: without the regularizer. */
static void descend(const work *w, part *t, int32_t iteration, float beta)
{
    const int32_t size = w->p->size;
    const double t1 = 1 - pow(MOMENT_1, iteration + 1), t2 = 1 - pow(MOMENT_2, iteration + 1);
    const float lr = (float)((double)w->k->lr / t1), root = (float)(1 / sqrt(t2)), push = 2 * w->k->lambda * beta;
    for (int32_t f = 0; f < t->n; f++) {
        const double share = t->nearest[f] > 0 ? batches(w) / t->nearest[f] : 0;
        const float by_h = (float)(2 * share * (double)w->p->step[t->first + f]);
        for (int64_t i = (int64_t)f * size; i < (int64_t)(f + 1) * size; i++) {
            float slope;
            const float u = 2.0f * rectified(t->v[i], &slope) - 1.0f;
            const float press = beta > 0.0f && u != 0.0f ? -push * powf(fabsf(u), beta - 1.0f) * copysignf(1, u) : 0.0f;
            const float g = t->room[i] * slope * (by_h * t->grad[i] + press);
            t->m1[i] += (float)(1 - MOMENT_1) * (g - t->m1[i]);
            t->m2[i] += (float)(1 - MOMENT_2) * (g * g - t->m2[i]);
            t->v[i] -= lr * t->m1[i] / (sqrtf(t->m2[i]) * root + (float)TINY);
        }
    }
}

/* Falls along half a cosine; 0 during the warm-up. */
static float beta_at(const nb_adaround_keys *k, int32_t iteration)
{
    const double at = (double)iteration / k->iterations, start = (double)k->warmup;
    if (at < start)
        return 0;
    return (float)(BETA_LAST + 0.5 * (BETA_FIRST - BETA_LAST) * (1 + cos(PI * (at - start) / (1 - start))));
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
    nb_fconv_weight_grad_finish(t->plan, t->grad, 1.0f, &slot, 1);
    descend(w, t, iteration, beta_at(w->k, iteration));
}

/* ---- parts, by threads ---- */

static int32_t clamp(double v, int32_t low, int32_t high)
{
    return v < low ? low : v > high ? high : (int32_t)v;
}

static int32_t *codes_of(const work *w, const part *t)
{
    return w->code + (int64_t)t->first * w->p->size;
}

/* v where h is the fraction. Below the first code and above the last there is no choice. */
static void begin(const work *w, part *t, int64_t i, int32_t first, int32_t last, double units)
{
    const double fraction = units - floor(units);
    codes_of(w, t)[i] = clamp(nearbyint(units), first, last);
    t->base[i] = (float)clamp(floor(units), first, last);
    t->room[i] = units >= first && units < last ? 1.0f : 0.0f;
    t->v[i] = (float)-log((ZETA - GAMMA) / (fraction - GAMMA) - 1);
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
            begin(w, t, (int64_t)f * p->size + i, p->first[c], p->last[c],
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
    const bool up = t->code[at] > (int32_t)t->base[at];
    const float by = up ? -p->step[t->first + f] : p->step[t->first + f];
    const double error = t->room[at] > 0.0f ? moved_error(w, t, f, by) : INFINITY;
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
    for (int64_t i = 0; i < (int64_t)t->n * size; i++) {
        float slope;
        const bool up = t->room[i] > 0.0f && rectified(t->v[i], &slope) >= 0.5f;
        t->code[i] = (int32_t)t->base[i] + up;
    }
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
    const int32_t all = w->k->iterations;
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
                w->code[i] != clamp(nearbyint((double)p->w[i] / (double)p->step[c]), p->first[c], p->last[c]);
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
