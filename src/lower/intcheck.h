/* intcheck.h - what an integer model must be, each rule with its sentence. nb_engine_check proves soundness for the
 * engine and returns a number; this says what is wrong, and also looks at what the engine never sees (names, bits,
 * scales). */
#ifndef NB_LOWER_INTCHECK_H
#define NB_LOWER_INTCHECK_H

#include "lower/intbuild.h"

enum {
    NB_INT_MAX_TENSORS = 4096,
    NB_INT_MAX_STEPS = 4096,
    NB_INT_MAX_NAME = 200,
    NB_INT_MAX_CLASSES = 1 << 20,
    NB_INT_MAX_SIZE = 1 << 14, /* rows, columns */
    NB_INT_MAX_CHANNELS = 1 << 20,
    NB_INT_MAX_WINDOW = 1 << 10, /* kernel, stride, padding, dilation: 2^10 * 2^10 + 2^14 cannot overflow */
    NB_INT_MAX_VALUES = 1 << 26, /* of one tensor */
    NB_INT_MAX_WEIGHTS = 1 << 28 /* of one step */
};

/* Where a check happens, for its sentence. */
typedef struct {
    nb_ctx *ctx;
    const char *where; /* file or "" */
    int32_t index;     /* of the tensor or step */
} nb_intplace;

extern const char *const nb_step_names[NB_STEP_KINDS]; /* "table", "conv", ... */
extern const char *const nb_etype_names[3];            /* "u8", "s8", "s32" */

typedef struct {
    int64_t lo, hi;
} nb_intrange;

/* First and last code of a tensor's grid. */
nb_intrange nb_int_grid(const nb_inttensor *t);
static inline int64_t nb_int_values(const nb_inttensor *t)
{
    return (int64_t)t->h * t->w * t->c;
}
static inline uint64_t nb_int_bytes(const nb_inttensor *t)
{
    return (uint64_t)nb_int_values(t) * (t->type == NB_EI_S32 ? 4 : 1);
}
/* Lengths of a step's arrays; only after nb_intcheck_shape. Multipliers of a CONV with int32 output may be absent. */
int64_t nb_int_weights(const nb_intstep *s);
int32_t nb_int_mults(const nb_intstep *s);
int32_t nb_int_shifts(const nb_intstep *s);
int64_t nb_int_macs(const nb_intstep *s);

nb_status nb_intcheck_tensor(const nb_intplace *p, const nb_inttensor *t);
/* Indices, geometry against the tensors, clamp: after this the lengths above are small positive numbers. No array is
 * looked at. */
nb_status nb_intcheck_shape(const nb_intplace *p, const nb_intstep *s, const nb_inttensor *tensors, int32_t n_tensors);
/* Codes, multipliers, shifts, scales, and the accumulator bound (CONV, else 0). x: the codes the input can hold. */
nb_status nb_intcheck_values(const nb_intplace *p, const nb_intstep *s, const nb_inttensor *out, nb_intrange x,
                             int64_t *acc_bound);

#endif
