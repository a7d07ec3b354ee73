/* soft_round.c - see soft_round.h. */
#include "post/soft_round.h"

#define BETA_FIRST 20.0
#define BETA_LAST  2.0
#define PI         3.14159265358979323846

nb_status nb_soft_open(nb_arena *arena, int64_t n, nb_soft *s)
{
    float **const arrays[] = {&s->base, &s->room, &s->v, &s->m1, &s->m2};
    bool all = true;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        *arrays[i] = nb_arena_array(arena, (size_t)n, sizeof(float));
        all = all && *arrays[i];
    }
    return all ? NB_OK : NB_E_NOMEM;
}

static int32_t clamp(double v, int32_t low, int32_t high)
{
    return v < low ? low : v > high ? high : (int32_t)v;
}

int32_t nb_soft_nearest(int32_t first, int32_t last, double units)
{
    return clamp(nearbyint(units), first, last);
}

/* Where h is this. */
static float v_of(double share)
{
    return (float)-log((NB_SOFT_ZETA - NB_SOFT_GAMMA) / (share - NB_SOFT_GAMMA) - 1);
}

int32_t nb_soft_begin(const nb_soft *s, int64_t i, int32_t first, int32_t last, double units)
{
    s->base[i] = (float)clamp(floor(units), first, last);
    s->room[i] = units >= first && units < last ? 1.0f : 0.0f;
    s->v[i] = v_of(units - floor(units));
    return nb_soft_nearest(first, last, units);
}

void nb_soft_lean(const nb_soft *s, int64_t i, int32_t code)
{
    float slope;
    const double share = (double)nb_soft_share(s->v[i], &slope);
    s->v[i] = v_of(0.5 * (share + ((float)code > s->base[i] ? 1 : 0)));
}

void nb_soft_weights(const nb_soft *s, int64_t from, int64_t end, float step, float *w)
{
    for (int64_t i = from; i < end; i++) {
        float slope;
        w[i - from] = step * (s->base[i] + s->room[i] * nb_soft_share(s->v[i], &slope));
    }
}

int32_t nb_soft_code(const nb_soft *s, int64_t i)
{
    float slope;
    return (int32_t)s->base[i] + (s->room[i] > 0.0f && nb_soft_share(s->v[i], &slope) >= 0.5f);
}

/* Falls along half a cosine; 0 during the warm-up: without the regularizer. */
static float beta_at(const nb_soft_keys *k, int32_t iteration)
{
    const double at = (double)iteration / k->iterations, start = (double)k->warmup;
    if (at < start)
        return 0;
    return (float)(BETA_LAST + 0.5 * (BETA_FIRST - BETA_LAST) * (1 + cos(PI * (at - start) / (1 - start))));
}

nb_soft_move nb_soft_move_at(const nb_soft_keys *k, int32_t iteration)
{
    const double t1 = 1 - pow(NB_ADAM_1, iteration + 1), t2 = 1 - pow(NB_ADAM_2, iteration + 1);
    const float beta = beta_at(k, iteration);
    return (nb_soft_move){(float)((double)k->lr / t1), (float)(1 / sqrt(t2)), beta, 2 * k->lambda * beta};
}

void nb_soft_descend(const nb_soft *s, const nb_soft_move *m, int64_t from, int64_t end, const float *grad, float by_h)
{
    const float beta = m->beta;
    for (int64_t i = from; i < end; i++) {
        float slope;
        const float u = 2.0f * nb_soft_share(s->v[i], &slope) - 1.0f;
        const float press = beta > 0.0f && u != 0.0f ? -m->push * powf(fabsf(u), beta - 1.0f) * copysignf(1, u) : 0.0f;
        const float g = s->room[i] * slope * (by_h * grad[i - from] + press);
        s->v[i] -= nb_soft_adam(&s->m1[i], &s->m2[i], m, g);
    }
}
