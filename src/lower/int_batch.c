/* int_batch.c - the engine on many images in memory, an arena for each thread: for who asks again and again. */
#include <nibble/lower.h>

#include "base/check.h"
#include "base/parallel.h"

enum { ALIGN = 64 };

struct nb_int_batch {
    const nb_intmodel *m;
    size_t arena_bytes, image_bytes;
    uint8_t *arenas; /* [threads][arena_bytes] */
    const uint8_t *pixels;
    float *logits; /* one of the two */
    int32_t *integers;
};

nb_status nb_int_batch_create(nb_ctx *ctx, const nb_intmodel *m, nb_int_batch **out)
{
    const nb_etensor *in = &m->e.tensors[nb_intmodel_input(m)];
    nb_int_batch *b = nb_alloc(ctx, sizeof *b);
    if (!b)
        return NB_E_NOMEM;
    *b = (nb_int_batch){.m = m, .image_bytes = (size_t)in->h * (size_t)in->w * (size_t)in->c};
    b->arena_bytes = (nb_engine_arena_bytes(&m->e) + ALIGN - 1) / ALIGN * ALIGN;
    b->arenas = nb_alloc(ctx, b->arena_bytes * (size_t)nb_threads());
    if (!b->arenas) {
        nb_int_batch_free(ctx, b);
        return NB_E_NOMEM;
    }
    *out = b;
    return NB_OK;
}

void nb_int_batch_free(nb_ctx *ctx, nb_int_batch *b)
{
    if (b)
        nb_free(ctx, b->arenas);
    nb_free(ctx, b);
}

/* Only codes, which are small, have a zero point. */
static int32_t integer(const nb_etensor *e, const void *out, int32_t i)
{
    return e->type == NB_EI_S32  ? ((const int32_t *)out)[i]
           : e->type == NB_EI_S8 ? ((const int8_t *)out)[i] - e->zero
                                 : ((const uint8_t *)out)[i] - e->zero;
}

static void run_image(void *arg, int64_t i, int32_t thread)
{
    const nb_int_batch *b = arg;
    const int32_t output = nb_intmodel_output(b->m), classes = b->m->classes;
    const nb_etensor *e = &b->m->e.tensors[output];
    const double scale = (double)b->m->tensors[output].scale;
    const void *out =
        nb_engine_run(&b->m->e, b->arenas + (size_t)thread * b->arena_bytes, b->pixels + (size_t)i * b->image_bytes);
    for (int32_t c = 0; c < classes; c++)
        if (b->integers)
            b->integers[i * classes + c] = integer(e, out, c);
        else
            b->logits[i * classes + c] = (float)(scale * integer(e, out, c));
}

void nb_int_batch_logits(nb_int_batch *b, const uint8_t *pixels, int32_t n, float *logits)
{
    b->pixels = pixels;
    b->logits = logits;
    b->integers = NULL;
    nb_parallel_for(n, run_image, b);
}

void nb_int_batch_integers(nb_int_batch *b, const uint8_t *pixels, int32_t n, int32_t *integers)
{
    b->pixels = pixels;
    b->integers = integers;
    nb_parallel_for(n, run_image, b);
}
