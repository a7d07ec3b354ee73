/* range_ends.c - ranges that are two ends, averaged, and the sample of values that they look at. */
#include "quant/range_ends.h"

#include "base/parallel.h"
#include "base/rng.h"
#include "core/cut_gather.h"

void nb_ends_params(const void *attr, const float *state, const nb_grid *g, float *scale, int32_t *zero)
{
    (void)attr;
    nb_params_cover(g, state[NB_LOW], state[NB_HIGH], scale, zero);
}

bool nb_ends_sound(const float *state)
{
    return state[NB_LOW] <= state[NB_HIGH];
}

float nb_ends_share(const nb_observation *o, float momentum)
{
    return o->first || o->grid->weights ? 1.0f : nb_observation_share(o, momentum);
}

void nb_ends_follow(float *state, const nb_observation *o, float momentum, float low, float high)
{
    const float m = nb_ends_share(o, momentum);
    state[NB_LOW] = (1.0f - m) * state[NB_LOW] + m * low;
    state[NB_HIGH] = (1.0f - m) * state[NB_HIGH] + m * high;
}

nb_sample nb_sample_start(const nb_observation *o, int64_t samples)
{
    return (nb_sample){o, 0, (o->n + samples - 1) / samples};
}

nb_sample nb_sample_usual(const nb_observation *o)
{
    return nb_sample_start(o, o->calibration ? NB_CALIBRATION_SAMPLES : NB_SAMPLES);
}

/* Which value stands for those from `from` on, `stretch` of them at most. */
static int64_t sampled(const nb_observation *o, int64_t from, int64_t stretch)
{
    const int64_t left = o->n - from, width = left < stretch ? left : stretch;
    return from + (int64_t)((nb_mix((uint64_t)o->n, (uint64_t)from) >> 32) * (uint64_t)width >> 32);
}

int32_t nb_sample_next(nb_sample *s, float x[NB_SAMPLE_BLOCK])
{
    const nb_observation *o = s->o;
    const int64_t per_image = o->cut ? o->n / o->cut->batch : 1;
    int32_t n = 0, image[NB_SAMPLE_BLOCK];
    for (; n < NB_SAMPLE_BLOCK && s->at < o->n; n++, s->at += s->stretch) {
        const int64_t i = sampled(o, s->at, s->stretch);
        image[n] = o->cut ? (int32_t)(i / per_image) - o->cut->first : 0;
        if (!o->cut || (image[n] >= 0 && image[n] < o->cut->images))
            x[n] = o->values.at(o->values.arg, o->cut ? i - o->cut->first * per_image : i);
    }
    if (o->cut)
        nb_gather_values(o->cut, x, image, n);
    return n;
}

typedef struct {
    nb_sample all;
    nb_sample_fn *f;
    void *arg;
} block_job;

static void one_block(void *arg, int64_t block, int32_t thread)
{
    const block_job *j = arg;
    float x[NB_SAMPLE_BLOCK];
    nb_sample here = j->all;
    (void)thread;
    here.at = block * NB_SAMPLE_BLOCK * here.stretch;
    j->f(j->arg, (int32_t)block, x, nb_sample_next(&here, x));
}

int32_t nb_sample_each(const nb_observation *o, nb_sample_fn *f, void *arg)
{
    block_job j = {nb_sample_usual(o), f, arg};
    const int64_t blocks = nb_chunks(o->n, NB_SAMPLE_BLOCK * j.all.stretch);
    if (!o->cut || !o->cut->shared)
        nb_parallel_for(blocks, one_block, &j);
    else
        for (int64_t i = 0; i < blocks; i++)
            one_block(&j, i, 0);
    return (int32_t)blocks;
}
