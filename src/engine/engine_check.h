/* engine_check.h - what an integer model must be: one checker, for the engine alone, for the builder and for the loader.
 *
 * Every rule stands in engine_check.c with its sentence; src/lower/intcheck.c writes it out. Shape comes before values,
 * because only a checked shape gives the arrays' lengths. */
#ifndef NB_ENGINE_ENGINE_CHECK_H
#define NB_ENGINE_ENGINE_CHECK_H

#include <nibble/engine.h>

enum {
    NB_EMAX_SIZE = 1 << 14, /* rows, columns */
    NB_EMAX_CHANNELS = 1 << 20,
    NB_EMAX_WINDOW = 1 << 10, /* kernel, stride, padding, dilation: 2^10 * 2^10 + 2^14 cannot overflow */
    NB_EMAX_VALUES = 1 << 26, /* of one tensor */
    NB_EMAX_WEIGHTS = 1 << 28 /* of one step */
};

typedef struct {
    int32_t where;   /* 0: sound; else as nb_engine_check says */
    const char *why; /* in it, # stands for the next of n, @ for the name of the tensor with that index */
    int64_t n[8];
} nb_everdict;

typedef struct {
    int64_t lo, hi;
} nb_erange;

static inline int64_t nb_etensor_values(const nb_etensor *t)
{
    return (int64_t)t->h * t->w * t->c;
}
static inline uint64_t nb_etensor_bytes(const nb_etensor *t)
{
    return (uint64_t)nb_etensor_values(t) * (t->type == NB_EI_S32 ? 4 : 1);
}
/* Lengths of a step's arrays: after nb_engine_check_shape small positive numbers, or 0 where a kind has none. */
int64_t nb_estep_weights(const nb_estep *s);
int32_t nb_estep_mults(const nb_estep *s); /* may be absent when a CONV gives int32 */
int32_t nb_estep_shifts(const nb_estep *s);
int32_t nb_estep_indices(const nb_emodel *m, const nb_estep *s, int32_t axis);
int32_t nb_estep_tables(const nb_estep *s, const nb_etensor *out); /* of 256 codes; 0 where there are none */
/* The step that writes a tensor, or -1. */
int32_t nb_engine_writer(const nb_emodel *m, int32_t tensor);
/* What a reader of the tensor may see: its writer's clamp, and the zero point, which pads. */
nb_erange nb_engine_codes(const nb_emodel *m, int32_t tensor);

nb_everdict nb_engine_check_tensor(const nb_emodel *m, int32_t tensor);
/* Indices, geometry against the tensors (checked before), clamp. No array is looked at, no step behind this one. */
nb_everdict nb_engine_check_shape(const nb_emodel *m, int32_t step);
/* The arrays of a step whose shape is sound. *bound: largest magnitude a channel's sum can have, with or without its
 * bias, whatever codes come; 0 when the step is no CONV. */
nb_everdict nb_engine_check_values(const nb_emodel *m, int32_t step, int64_t *bound);
nb_everdict nb_engine_judge(const nb_emodel *m); /* everything */

#endif
