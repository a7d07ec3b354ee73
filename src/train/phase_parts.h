/* phase_parts.h - a phase whose widths step down, as several phases with one learning-rate curve. */
#ifndef NB_TRAIN_PHASE_PARTS_H
#define NB_TRAIN_PHASE_PARTS_H

#include <nibble/extend/keys.h>
#include <nibble/train.h>

enum { NB_MOST_PARTS = 8 }; /* as there are widths */

/* Widths of the parts of an entry of train.phases, whose keys are bound: bits[at][0..n-1], at as in nb_phase_keys. n is 1
 * where it does not step. NB_E_CONFIG: a width that is none, parts that do not fit. */
typedef struct {
    int32_t n, bits[2][NB_MOST_PARTS];
} nb_phase_widths;
nb_status nb_phase_widths_bind(nb_ctx *ctx, const nb_phase *entry, nb_phase_widths *out);

/* whole, an entry of train.phases, as w->n phases: part[0..n-1], in the plan's arena. */
nb_status nb_phase_split(nb_train_plan *p, const nb_phase *whole, const nb_phase_widths *w, nb_phase *part);

#endif
