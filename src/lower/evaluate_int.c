/* evaluate_int.c - the integer model on images: accuracy and loss over a data set, logits of one image.
 *
 * Images go through the engine in chunks of fixed size; each chunk has its own sums, added in chunk order, so the
 * result is the same for any number of threads. One arena and one image per thread are allocated before the first image
 * runs. */
#include <nibble/lower.h>

#include "base/check.h"
#include "base/parallel.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 32 }; /* images: a millisecond of work or more, and fine enough to balance */

typedef struct {
    int32_t correct, unlike;
    double loss;
} chunk_sum;

typedef struct {
    const nb_intmodel *m;
    const nb_data *data;
    const int32_t *indices;
    int32_t n;
    size_t arena_bytes, image_bytes; /* per thread, multiples of 64 */
    uint8_t *memory;                 /* [threads][arena_bytes + image_bytes] */
    chunk_sum *sums;                 /* [chunks] */
    void *first;                     /* the first image's output */
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

static double cross_entropy(const nb_intmodel *m, const void *out, int32_t label)
{
    double max = logit(m, out, 0);
    double sum = 0;
    for (int32_t i = 1; i < m->classes; i++)
        max = fmax(max, logit(m, out, i));
    for (int32_t i = 0; i < m->classes; i++)
        sum += exp(logit(m, out, i) - max);
    return log(sum) - (logit(m, out, label) - max);
}

static const void *run_image(const job *j, int64_t i, int32_t thread, int32_t *label)
{
    uint8_t *arena = j->memory + (size_t)thread * (j->arena_bytes + j->image_bytes), *pixels = arena + j->arena_bytes;
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

static void run_chunk(void *arg, int64_t chunk, int32_t thread)
{
    const job *j = arg;
    chunk_sum sum = {0};
    for (int64_t i = chunk * CHUNK, end = nb_chunk_end(j->n, CHUNK, chunk); i < end; i++) {
        int32_t label;
        const void *out = run_image(j, i, thread, &label);
        sum.unlike += memcmp(out, j->first, j->out_bytes) != 0;
        const int32_t answer = nb_engine_argmax(&j->m->e, out);
        keep_answer(j, i, out, answer, label);
        sum.correct += answer == label;
        sum.loss += cross_entropy(j->m, out, label);
    }
    j->sums[chunk] = sum;
}

static nb_status check_fit(nb_ctx *ctx, const nb_intmodel *m, const nb_dsinfo *info)
{
    const nb_etensor *in = &m->e.tensors[nb_intmodel_input(m)];
    if (in->h != info->h || in->w != info->w || in->c != info->c)
        return nb_fail(ctx, NB_E_SHAPE, "the data set has images of %dx%dx%d, the model takes %dx%dx%d", info->h,
                       info->w, info->c, in->h, in->w, in->c);
    if (m->classes != info->classes)
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

static nb_eval run_all(job *j, int64_t chunks)
{
    nb_eval e = {.n = j->n};
    int32_t label;
    if (j->n > 0)
        memcpy(j->first, run_image(j, 0, 0, &label), j->out_bytes);
    nb_parallel_for(chunks, run_chunk, j);
    for (int64_t i = 0; i < chunks; i++) {
        e.correct += j->sums[i].correct;
        e.unlike += j->sums[i].unlike;
        e.loss += j->sums[i].loss;
    }
    e.accuracy = j->n ? (double)e.correct / j->n : 0;
    e.loss = j->n ? e.loss / j->n : 0;
    return e;
}

nb_status nb_intmodel_evaluate_each(nb_ctx *ctx, const nb_intmodel *m, const nb_data *data, const int32_t *indices,
                                    int32_t n, nb_eval *out, const nb_answers *each)
{
    const nb_dsinfo *info = nb_data_info(data);
    NB_TRY(check_fit(ctx, m, info));
    for (int32_t i = 0; i < n; i++)
        NB_ASSERT((indices ? indices[i] : i) >= 0 && (indices ? indices[i] : i) < info->count);
    const int64_t chunks = nb_chunks(n, CHUNK);
    job j = {.m = m, .data = data, .indices = indices, .n = n, .each = *each};
    j.arena_bytes = nb_round64(nb_engine_arena_bytes(&m->e));
    j.image_bytes = nb_round64((size_t)info->h * (size_t)info->w * (size_t)info->c);
    j.out_bytes = (size_t)m->classes * (m->e.tensors[nb_intmodel_output(m)].type == NB_EI_S32 ? sizeof(int32_t) : 1);
    j.memory = nb_alloc(ctx, (size_t)nb_threads() * (j.arena_bytes + j.image_bytes));
    j.first = j.memory ? nb_alloc(ctx, j.out_bytes) : NULL;
    j.sums = j.first ? nb_alloc(ctx, (size_t)chunks * sizeof *j.sums) : NULL;
    nb_status st = j.sums ? NB_OK : NB_E_NOMEM;
    if (st == NB_OK) {
        const nb_eval e = run_all(&j, chunks);
        st = each->logits ? check_logits(ctx, m, each->logits, (int64_t)n * m->classes) : NB_OK;
        if (st == NB_OK)
            *out = e;
    }
    nb_free(ctx, j.sums);
    nb_free(ctx, j.first);
    nb_free(ctx, j.memory);
    return st;
}

nb_status nb_intmodel_evaluate(nb_ctx *ctx, const nb_intmodel *m, const nb_data *data, const int32_t *indices,
                               int32_t n, nb_eval *out)
{
    return nb_intmodel_evaluate_each(ctx, m, data, indices, n, out, &(nb_answers){0});
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
