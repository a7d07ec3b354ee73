/* evaluate_int.c - the integer model on images: accuracy and loss over a data set, logits of one image.
 *
 * Images go through the engine in chunks of fixed size; each chunk has its own sums, added in chunk order, so the
 * result is the same for any number of threads. One arena and one image per thread are allocated before the first image
 * runs. */
#include <nibble/lower.h>

#include "base/check.h"
#include "base/parallel.h"
#include "base/ranks.h"
#include "base/spread.h"
#include "core/score.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 32 }; /* images: a millisecond of work or more, and fine enough to balance */

typedef struct {
    int32_t correct, unlike;
    double loss, energy;
} chunk_sum;

typedef struct {
    const nb_intmodel *m;
    const nb_data *data;
    const int32_t *indices;
    int32_t n;
    size_t arena_bytes, image_bytes; /* per thread, multiples of 64 */
    uint8_t *memory;                 /* [threads][arena_bytes + image_bytes] */
    double *real;                    /* [threads][2][classes]: outputs and targets of one image */
    double *losses;                  /* [n] and */
    int32_t *labels;                 /* [n] where there are targets, else NULL */
    chunk_sum *sums;                 /* [chunks] */
    bool shared;                     /* this rank does [first_chunk, end_chunk) and the others the rest */
    int64_t first_chunk, end_chunk;
    void *first; /* the first image's output */
    size_t out_bytes;
    nb_answers each;
} job;

/* The whole number that a logit is of its scale; only codes, which are small, have a zero point. */
static int32_t integer(const nb_intmodel *m, const void *out, int32_t i)
{
    const nb_etensor *e = &m->e.tensors[nb_intmodel_output(m)];
    return e->type == NB_EI_S32  ? ((const int32_t *)out)[i]
           : e->type == NB_EI_S8 ? ((const int8_t *)out)[i] - e->zero
                                 : ((const uint8_t *)out)[i] - e->zero;
}

static double logit(const nb_intmodel *m, const void *out, int32_t i)
{
    return (double)m->tensors[nb_intmodel_output(m)].scale * integer(m, out, i);
}

/* The real values that the input's codes stand for, by the table alone: their tensor may be overwritten by now. */
static void find_target(const nb_intmodel *m, const uint8_t *pixels, double *target)
{
    const nb_estep *s = &m->e.steps[0];
    const nb_etensor *in = &m->e.tensors[s->out];
    const double scale = (double)m->tensors[s->out].scale;
    for (int32_t i = 0; i < m->classes; i++) {
        const uint8_t byte = s->table[(s->one_table ? 0 : i % in->c * 256) + pixels[i]];
        target[i] = scale * ((in->type == NB_EI_S8 ? (int8_t)byte : byte) - in->zero);
    }
}

/* Of thread's image. */
static uint8_t *pixels_of(const job *j, int32_t thread)
{
    return j->memory + (size_t)thread * (j->arena_bytes + j->image_bytes) + j->arena_bytes;
}

static const void *run_image(const job *j, int64_t i, int32_t thread, int32_t *label)
{
    uint8_t *pixels = pixels_of(j, thread), *arena = pixels - j->arena_bytes;
    nb_data_get(j->data, j->indices ? j->indices[i] : (int32_t)i, pixels, label);
    return nb_engine_run(&j->m->e, arena, pixels);
}

static void keep_answer(const job *j, int64_t i, const void *out, int32_t answer, int32_t label)
{
    const nb_answers *a = &j->each;
    const int32_t classes = j->m->classes;
    if (a->labels)
        a->labels[i] = label;
    if (a->answers)
        a->answers[i] = answer;
    for (int32_t c = 0; a->logits && c < classes; c++)
        a->logits[i * classes + c] = (float)logit(j->m, out, c);
    for (int32_t c = 0; a->integers && c < classes; c++)
        a->integers[i * classes + c] = integer(j->m, out, c);
}

static nb_score score(const job *j, const void *out, int32_t thread, int32_t label)
{
    const nb_intmodel *m = j->m;
    double *real = j->real + (size_t)thread * 2 * (size_t)m->classes, *target = real + m->classes;
    for (int32_t c = 0; c < m->classes; c++)
        real[c] = logit(m, out, c);
    if (j->losses)
        find_target(m, pixels_of(j, thread), target);
    return nb_score_of(m->task, real, target, m->classes, label);
}

static void run_chunk(void *arg, int64_t own, int32_t thread)
{
    const job *j = arg;
    const int64_t chunk = j->first_chunk + own;
    chunk_sum sum = {0};
    for (int64_t i = chunk * CHUNK, end = nb_chunk_end(j->n, CHUNK, chunk); i < end; i++) {
        int32_t label;
        const void *out = run_image(j, i, thread, &label);
        sum.unlike += memcmp(out, j->first, j->out_bytes) != 0;
        const nb_score one = score(j, out, thread, label);
        keep_answer(j, i, out, one.answer, label);
        sum.correct += one.right;
        sum.loss += one.loss;
        sum.energy += one.energy;
        if (j->losses) {
            j->losses[i] = one.loss;
            j->labels[i] = label;
        }
    }
    j->sums[chunk] = sum;
}

static nb_status check_fit(nb_ctx *ctx, const nb_intmodel *m, const nb_dsinfo *info)
{
    const nb_etensor *in = &m->e.tensors[nb_intmodel_input(m)];
    if (in->h != info->h || in->w != info->w || in->c != info->c)
        return nb_fail(ctx, NB_E_SHAPE, "the data set has images of %dx%dx%d, the model takes %dx%dx%d", info->h,
                       info->w, info->c, in->h, in->w, in->c);
    if (m->task == NB_TASK_CLASSES && m->classes != info->classes)
        return nb_fail(ctx, NB_E_SHAPE, "the data set has %d classes, the model %d", info->classes, m->classes);
    if (!nb_features_equal(m->features, info->features))
        return nb_fail(ctx, NB_E_SHAPE, "the data set's numbers become codes in another way than the model's input");
    return NB_OK;
}

static nb_status check_logits(nb_ctx *ctx, const nb_intmodel *m, const float *logits, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(logits[i]))
            return nb_fail(ctx, NB_E_RANGE, "logit %d leaves the floats: the scale of the logits, %g, cannot be right",
                           (int)(i % m->classes), (double)m->tensors[nb_intmodel_output(m)].scale);
    return NB_OK;
}

/* What the other ranks have found. */
static void bring(const job *j, int64_t chunks)
{
    const size_t classes = (size_t)j->m->classes;
    const nb_spread_row row[] = {
        {j->sums, sizeof *j->sums, 1, chunks},
        {j->losses, sizeof *j->losses, CHUNK, j->n},
        {j->labels, sizeof *j->labels, CHUNK, j->n},
        {j->each.labels, sizeof *j->each.labels, CHUNK, j->n},
        {j->each.answers, sizeof *j->each.answers, CHUNK, j->n},
        {j->each.logits, classes * sizeof *j->each.logits, CHUNK, j->n},
        {j->each.integers, classes * sizeof *j->each.integers, CHUNK, j->n},
    };
    nb_spread_bring(chunks, row, sizeof row / sizeof *row);
}

static nb_status run_all(nb_ctx *ctx, job *j, int64_t chunks, nb_eval *out)
{
    nb_eval e = {.n = j->n};
    nb_score_sums sums = {.losses = j->losses, .labels = j->labels};
    int32_t label;
    if (j->n > 0)
        memcpy(j->first, run_image(j, 0, 0, &label), j->out_bytes);
    j->first_chunk = j->shared ? nb_spread_at(chunks, nb_rank()) : 0;
    j->end_chunk = j->shared ? nb_spread_at(chunks, nb_rank() + 1) : chunks;
    nb_parallel_for(j->end_chunk - j->first_chunk, run_chunk, j);
    NB_TRY(nb_data_check(ctx, j->data));
    if (j->shared)
        bring(j, chunks);
    for (int64_t i = 0; i < chunks; i++) {
        e.correct += j->sums[i].correct;
        e.unlike += j->sums[i].unlike;
        sums.loss += j->sums[i].loss;
        sums.energy += j->sums[i].energy;
    }
    NB_TRY(nb_score_finish(ctx, j->m->task, &sums, &e));
    *out = e;
    return NB_OK;
}

static nb_status alloc_job(nb_ctx *ctx, job *j, int64_t chunks)
{
    const size_t threads = (size_t)nb_threads(), n = (size_t)j->n;
    j->memory = nb_alloc(ctx, threads * (j->arena_bytes + j->image_bytes));
    j->first = nb_alloc(ctx, j->out_bytes);
    j->sums = nb_alloc(ctx, (size_t)chunks * sizeof *j->sums);
    j->real = nb_alloc(ctx, threads * 2 * (size_t)j->m->classes * sizeof *j->real);
    if (!j->memory || !j->first || !j->sums || !j->real)
        return NB_E_NOMEM;
    if (!nb_task_has_target(j->m->task))
        return NB_OK;
    j->losses = nb_alloc(ctx, n * sizeof *j->losses);
    j->labels = nb_alloc(ctx, n * sizeof *j->labels);
    return j->losses && j->labels ? NB_OK : NB_E_NOMEM;
}

static void free_job(nb_ctx *ctx, job *j)
{
    nb_free(ctx, j->labels);
    nb_free(ctx, j->losses);
    nb_free(ctx, j->real);
    nb_free(ctx, j->sums);
    nb_free(ctx, j->first);
    nb_free(ctx, j->memory);
}

static nb_status evaluate(nb_ctx *ctx, const nb_intmodel *m, const nb_data *data, const int32_t *indices, int32_t n,
                          bool shared, nb_eval *out, const nb_answers *each)
{
    const nb_dsinfo *info = nb_data_info(data);
    NB_TRY(check_fit(ctx, m, info));
    for (int32_t i = 0; i < n; i++)
        NB_ASSERT((indices ? indices[i] : i) >= 0 && (indices ? indices[i] : i) < info->count);
    const int64_t chunks = nb_chunks(n, CHUNK);
    job j = {.m = m, .data = data, .indices = indices, .n = n, .each = *each, .shared = shared};
    nb_eval e = {0};
    j.arena_bytes = nb_round64(nb_engine_arena_bytes(&m->e));
    j.image_bytes = nb_round64((size_t)info->h * (size_t)info->w * (size_t)info->c);
    j.out_bytes = (size_t)m->classes * (m->e.tensors[nb_intmodel_output(m)].type == NB_EI_S32 ? sizeof(int32_t) : 1);
    nb_status st = alloc_job(ctx, &j, chunks);
    if (st == NB_OK)
        st = run_all(ctx, &j, chunks, &e);
    if (st == NB_OK && each->logits)
        st = check_logits(ctx, m, each->logits, (int64_t)n * m->classes);
    if (st == NB_OK)
        *out = e;
    free_job(ctx, &j);
    return st;
}

nb_status nb_intmodel_evaluate_each(nb_ctx *ctx, const nb_intmodel *m, const nb_data *data, const int32_t *indices,
                                    int32_t n, nb_eval *out, const nb_answers *each)
{
    return evaluate(ctx, m, data, indices, n, false, out, each);
}

nb_status nb_intmodel_evaluate(nb_ctx *ctx, const nb_intmodel *m, const nb_data *data, const int32_t *indices,
                               int32_t n, nb_eval *out)
{
    return evaluate(ctx, m, data, indices, n, false, out, &(nb_answers){0});
}

nb_status nb_intmodel_evaluate_shared(nb_ctx *ctx, const nb_intmodel *m, const nb_data *data, const int32_t *indices,
                                      int32_t n, nb_eval *out, const nb_answers *each)
{
    return evaluate(ctx, m, data, indices, n, nb_ranks() > 1, out, each);
}

size_t nb_intmodel_arena_bytes(const nb_intmodel *m)
{
    return nb_round64(nb_engine_parts_bytes(&m->e, nb_threads()));
}

typedef struct {
    const nb_intmodel *m;
    void *arena;
    const uint8_t *pixels;
    int32_t parts;
} one_image;

static void run_part(void *arg, int32_t step, int32_t part)
{
    const one_image *j = arg;
    nb_engine_run_part(&j->m->e, j->arena, step, part, j->parts, j->pixels);
}

const void *nb_intmodel_run(const nb_intmodel *m, void *arena, const uint8_t *pixels)
{
    one_image j = {.m = m, .arena = arena, .pixels = pixels, .parts = nb_threads()};
    nb_parallel_steps(m->e.n_steps, j.parts, run_part, &j);
    return nb_engine_tensor(&m->e, arena, nb_intmodel_output(m));
}

nb_status nb_intmodel_logits(nb_ctx *ctx, const nb_intmodel *m, const uint8_t *pixels, float *logits)
{
    void *arena = nb_alloc(ctx, nb_intmodel_arena_bytes(m));
    if (!arena)
        return NB_E_NOMEM;
    const void *out = nb_intmodel_run(m, arena, pixels);
    for (int32_t i = 0; i < m->classes; i++)
        logits[i] = (float)logit(m, out, i);
    nb_free(ctx, arena);
    return check_logits(ctx, m, logits, m->classes);
}

nb_status nb_intmodel_error(nb_ctx *ctx, const nb_intmodel *m, const uint8_t *pixels, const float *outputs,
                            double *error)
{
    double *target = nb_alloc(ctx, 2 * (size_t)m->classes * sizeof *target), *out = target + (target ? m->classes : 0);
    if (!target)
        return NB_E_NOMEM;
    find_target(m, pixels, target);
    for (int32_t i = 0; i < m->classes; i++)
        out[i] = (double)outputs[i];
    *error = nb_score_of(NB_TASK_RECONSTRUCT, out, target, m->classes, 0).loss;
    nb_free(ctx, target);
    return NB_OK;
}
