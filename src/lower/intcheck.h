/* intcheck.h - the engine's verdicts as sentences, and the rules for what the engine never sees: names, bits, scales.
 *
 * Messages read "file: conv step 3 "c2": sentence". */
#ifndef NB_LOWER_INTCHECK_H
#define NB_LOWER_INTCHECK_H

#include <nibble/intmodel.h>

#include "engine/engine_check.h"

enum { NB_INT_MAX_NAME = 200, NB_INT_MAX_CLASSES = 1 << 20 };
/* Nothing a CPU runs image by image needs more; a hostile file must not make us ask for more. */
static const uint64_t NB_INT_MAX_BYTES = (uint64_t)1 << 30;

/* A model that is being put together: its last tensor or step may be the one that is looked at. */
typedef struct {
    nb_ctx *ctx;
    const char *where; /* file or "" */
    const nb_intmodel *m;
} nb_intcheck;

extern const char *const nb_step_names[NB_STEP_KINDS]; /* "table", "conv", ... */
extern const char *const nb_etype_names[3];            /* "u8", "s8", "s32" */
extern const char *const nb_index_names[3];            /* "rows", "columns", "channels" */

/* First and last code of a tensor's grid. */
nb_erange nb_int_grid(int32_t type, int32_t bits);

nb_status nb_intcheck_tensor(const nb_intcheck *p, int32_t tensor);
/* No array is looked at: after this nb_estep_weights and so on say how long they must be. */
nb_status nb_intcheck_shape(const nb_intcheck *p, int32_t step);
nb_status nb_intcheck_values(const nb_intcheck *p, int32_t step, int64_t *acc_bound);
nb_status nb_intcheck_whole(const nb_intcheck *p);

#endif
