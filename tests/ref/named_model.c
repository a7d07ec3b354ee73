/* named_model.c - see named_model.h. */
#include "ref/named_model.h"

#include "base/check.h"
#include "engine/engine_check.h"
#include "lower/intbuild.h"

#include <stdio.h>

/* The fewest bits that the weights of every channel fit in. */
static int32_t width_of(const nb_estep *s)
{
    const int64_t n = s->weights ? nb_estep_weights(s) : 0, row = n ? n / s->geom.oc : 0;
    int32_t bits = 2, lo = 0, hi = 0;
    for (int64_t i = 0; i < n; i++) {
        lo = i % row == 0 || s->weights[i] < lo ? s->weights[i] : lo;
        hi = i % row == 0 || s->weights[i] > hi ? s->weights[i] : hi;
        while (hi - lo >= 1 << bits)
            bits++;
    }
    return bits;
}

nb_status ref_named_model(nb_ctx *ctx, const ref_model *r, nb_intmodel **out)
{
    const nb_emodel *e = &r->e;
    const float scale = 0.5f;
    nb_intbuilder *b;
    nb_status st = nb_intbuilder_create(ctx, "random", &b);
    char name[32];
    int32_t index;
    for (int32_t i = 0; st == NB_OK && i < e->n_tensors; i++) {
        const nb_etensor *t = &e->tensors[i];
        snprintf(name, sizeof name, "t%d", i);
        st = nb_intbuilder_tensor(b, t, &(nb_tinfo){name, scale, t->type == NB_EI_S32 ? 32 : 8}, &index);
    }
    for (int32_t i = 0; st == NB_OK && i < e->n_steps; i++) {
        const ref_levels *l = &r->levels[i];
        snprintf(name, sizeof name, "s%d", i);
        nb_sinfo info = {.name = name, .weight_bits = width_of(&e->steps[i]), .weight_scale = &scale, .n_scale = 1};
        if (l->n > 0) {
            info.weight_bits = l->bits;
            info.level = l->level;
            info.n_levels = l->n;
            info.n_tables = l->tables;
        }
        st = nb_intbuilder_step(b, &e->steps[i], &info);
    }
    const nb_etensor *last = &e->tensors[e->steps[e->n_steps - 1].out];
    const nb_intmeta meta = {.classes = last->h * last->w * last->c, .accuracy = -1};
    if (st == NB_OK)
        st = nb_intbuilder_finish(b, NB_INT_PLACED, &meta, out);
    nb_intbuilder_free(b);
    return st;
}

static void read_indices(uint8_t *index, const uint8_t *bytes, int32_t bits, const nb_geom *g)
{
    const int64_t row = (int64_t)g->kh * g->kw * (g->c / g->groups), row_bytes = (row * bits + 7) / 8;
    for (int32_t c = 0; c < g->oc; c++)
        for (int64_t i = 0; i < row; i++) {
            *index = 0;
            for (int32_t b = 0; b < bits; b++) {
                const int64_t k = i * bits + b;
                *index = (uint8_t)(*index | (bytes[c * row_bytes + k / 8] >> (k % 8) & 1) << b);
            }
            index++;
        }
}

void ref_read_levels(int8_t *weights, const uint8_t *bytes, const int8_t *level, int32_t apart, int32_t bits,
                     const nb_geom *g)
{
    const int64_t row = (int64_t)g->kh * g->kw * (g->c / g->groups);
    read_indices((uint8_t *)weights, bytes, bits, g);
    for (int64_t i = 0; i < row * g->oc; i++)
        weights[i] = level[i / row * apart + (uint8_t)weights[i]];
}

void ref_read_offsets(int8_t *weights, const uint8_t *bytes, const int8_t *low, int32_t apart, int32_t bits,
                      const nb_geom *g)
{
    const int64_t row = (int64_t)g->kh * g->kw * (g->c / g->groups);
    read_indices((uint8_t *)weights, bytes, bits, g);
    for (int64_t i = 0; i < row * g->oc; i++)
        weights[i] = (int8_t)(low[i / row * apart] + (uint8_t)weights[i]);
}
