/* intfile.h - what the writer and the reader of the integer checkpoint share. The format is specified in intfile.c. */
#ifndef NB_LOWER_INTFILE_H
#define NB_LOWER_INTFILE_H

#include <nibble/intmodel.h>
#include <stdbool.h>

#include "lower/pack.h"

#define NB_INTFILE_FAMILY      "nibble-int "
#define NB_INTFILE_RECONSTRUCT "reconstruct"
/* A file has the smallest version that can say what it holds. */
enum {
    NB_INTFILE_PLAIN = 1,
    NB_INTFILE_LEVELS = 2,
    NB_INTFILE_GRIDS = 3,
    NB_INTFILE_BLOCKS = 4,
    NB_INTFILE_WINDOWS = 5,
    NB_INTFILE_STEPS = 6, /* and features */
    NB_INTFILE_VERSION = NB_INTFILE_STEPS
};

/* A step's weights as a stream of indices. */
static inline nb_stream nb_stream_of(const nb_estep *s, const nb_sinfo *info)
{
    return (nb_stream){.rows = s->geom.oc,
                       .row = (int64_t)s->geom.kh * s->geom.kw * (s->geom.c / s->geom.groups),
                       .bits = info->weight_bits,
                       .level = info->level,
                       .n_levels = info->n_levels,
                       .n_tables = info->n_tables,
                       .low = info->low,
                       .n_low = info->n_low,
                       .block = info->block};
}

/* The version that a step's weights ask for. */
static inline int nb_intfile_version(const nb_sinfo *info)
{
    if (info->packing == NB_PACKING_BLOCKS)
        return NB_INTFILE_BLOCKS;
    if (info->packing == NB_PACKING_OFFSET || info->n_tables > 1)
        return NB_INTFILE_GRIDS;
    return info->packing == NB_PACKING_LEVELS ? NB_INTFILE_LEVELS : NB_INTFILE_PLAIN;
}

/* The version that a step asks for, its weights aside: 5 where rows and columns of a window differ, and for means that reach
 * over the edge; 6 for kinds that came with it, for tables of codes and for one that channels share. */
static inline int nb_intfile_of_step(const nb_estep *s)
{
    const nb_geom *g = &s->geom;
    if (s->kind > NB_STEP_AVGPOOL_INSIDE || (s->kind == NB_STEP_TABLE && (s->n_in || s->one_table)))
        return NB_INTFILE_STEPS;
    const bool mean = s->kind == NB_STEP_AVGPOOL_INSIDE || (s->kind == NB_STEP_AVGPOOL && !nb_geom_inside(g));
    const bool even = g->stride.h == g->stride.w && g->dilation.h == g->dilation.w && g->pad.top == g->pad.left &&
                      g->pad.top == g->pad.bottom && g->pad.top == g->pad.right;
    return mean || !even ? NB_INTFILE_WINDOWS : NB_INTFILE_PLAIN;
}

/* The version that a sum asks for: a difference, or one that repeats an input. */
static inline int nb_intfile_of_sum(const nb_emodel *m, const nb_estep *s)
{
    bool later = s->kind == NB_STEP_ADD && s->mult && s->mult[1] < 0;
    for (int32_t k = 0; s->kind == NB_STEP_ADD && k < s->n_in; k++) {
        const nb_etensor *x = &m->tensors[s->in[k]], *y = &m->tensors[s->out];
        later = later || x->h != y->h || x->w != y->w || x->c != y->c;
    }
    return later ? NB_INTFILE_STEPS : NB_INTFILE_PLAIN;
}

static inline bool nb_step_has_geom(int32_t kind)
{
    return kind == NB_STEP_CONV || kind == NB_STEP_MAXPOOL || kind == NB_STEP_AVGPOOL || kind == NB_STEP_AVGPOOL_INSIDE;
}

#endif
