/* intfile.h - what the writer and the reader of the integer checkpoint share. The format is specified in intfile.c. */
#ifndef NB_LOWER_INTFILE_H
#define NB_LOWER_INTFILE_H

#include <nibble/intmodel.h>
#include <stdbool.h>

#define NB_INTFILE_FAMILY "nibble-int "
enum { NB_INTFILE_VERSION = 1 };

static inline bool nb_step_has_geom(int32_t kind)
{
    return kind == NB_STEP_CONV || kind == NB_STEP_MAXPOOL || kind == NB_STEP_AVGPOOL;
}

#endif
