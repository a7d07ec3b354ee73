/* intfile.h - what the writer and the reader of the integer checkpoint share. The format is specified in intfile.c. */
#ifndef NB_LOWER_INTFILE_H
#define NB_LOWER_INTFILE_H

#include <nibble/intmodel.h>
#include <stdbool.h>

#include "lower/pack.h"

#define NB_INTFILE_FAMILY "nibble-int "
enum { NB_INTFILE_PLAIN = 1, NB_INTFILE_LEVELS = 2, NB_INTFILE_VERSION = NB_INTFILE_LEVELS };

/* How a step's weights are packed when they have levels. */
static inline nb_level_packing nb_packing_of(const nb_estep *s, const nb_sinfo *info)
{
    return (nb_level_packing){.rows = s->geom.oc,
                              .row = (int64_t)s->geom.kh * s->geom.kw * (s->geom.c / s->geom.groups),
                              .bits = info->weight_bits,
                              .level = info->level,
                              .n_levels = info->n_levels};
}

static inline bool nb_step_has_geom(int32_t kind)
{
    return kind == NB_STEP_CONV || kind == NB_STEP_MAXPOOL || kind == NB_STEP_AVGPOOL;
}

#endif
