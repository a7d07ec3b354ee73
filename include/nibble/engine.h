/* engine.h - the integer run time: no float, no malloc, no stdio, no libc beyond memcpy/memset. Builds freestanding, on
 * its own (tests/e2e/engine_freestanding.sh).
 *
 * A model is a list of steps on integer tensors that live in one arena. Every step clamps to its lo..hi, which lie on the
 * grid of its output. x, a, b: input codes; zx, za, zb: their zero points; zy: the output's. rescale: src/kernels/rescale.h.
 *
 *   table    y = table[c][x], or with one table for all channels table[x]
 *            x is a byte, of an s8 code its bit pattern; c is y's channel, and x has as many values in any shape. Step 0,
 *            and no other, reads the pixels and has no input tensor.
 *   conv     acc = sum w*x + bias[c];  y = clamp(rescale(acc, mult[c], shift[c]) + zy)
 *            Sums are over codes; bias already holds -zx * sum w, and padding holds zx. Output s32 (last step only): zy = 0,
 *            and without mult and shift y = acc.
 *   add      y = clamp((((a - za) * m0 + (b - zb) * m1 + half) >> shift) + zy)
 *            One 64-bit sum, one rounding; m0 >= 0, m1 > -2^31: a difference has a negative m1. A side of a or b may be 1
 *            where y's is more: it is repeated.
 *   concat   y = clamp(rescale(x - zx, mult[k], shift[k]) + zy) for every input k
 *            All inputs have the same rows and columns.
 *   maxpool  y = clamp(max x)
 *            Codes stay on their grid (same type and zero point); padding is ignored, every window holds a pixel; no
 *            dilation.
 *   avgpool  y = clamp(rescale(sum (x - zx), mult[0], shift[0]) + zy)
 *            Padding adds nothing; every window holds a pixel; no dilation.
 *   avgpool_inside
 *            the same, but mult[0], shift[0] are of windows that lie inside; one that reaches over the edge and holds n
 *            pixels takes the multiplier nearest to 1 / n in [2^30, 2^31).
 *   take     y[i][j][k] = x[rows[i]][columns[j]][channels[k]], and zy where one of the three is -1
 *   blend    y = floor((sum w*x + 2^21) / 2^22) over the four pixels around a place: rows[i] / 2048 and columns[j] / 2048;
 *            w is the product of a row's and a column's share in 2048ths (nibble/take.h)
 *            Both keep type and zero point, and their clamp holds every code that comes in.
 *   mul      y = clamp(rescale((a - za) * (b - zb), mult[0], shift[0]) + zy)
 *            Sides of 1 as for add.
 *
 * mult is in [2^30, 2^31) except for add, shift in [1, 62]. Conv and pools may read a tensor as another shape of the same
 * number of values (flatten): their geom counts. A tensor is written by one step, read by later ones, and keeps its bytes
 * until its last reader has run. The last step's output are the logits: codes, or int32 with one common scale. */
#ifndef NIBBLE_ENGINE_H
#define NIBBLE_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include <nibble/geom.h>
#include <nibble/take.h>

#if defined(__GNUC__)
#    define NB_ENGINE_API __attribute__((visibility("default")))
#else
#    define NB_ENGINE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum { NB_ENGINE_MAX_IN = 8, NB_ENGINE_MAX_STEPS = 4096, NB_ENGINE_MAX_TENSORS = 4096 };

typedef enum { NB_EI_U8, NB_EI_S8, NB_EI_S32 } nb_etype;
typedef enum {
    NB_STEP_TABLE, /* pixels -> codes, which must be first; codes -> codes: activations */
    NB_STEP_CONV,  /* conv (any groups) and linear (1x1 on a 1x1 image) */
    NB_STEP_ADD,
    NB_STEP_CONCAT,
    NB_STEP_MAXPOOL, /* also a plain clamp, as a 1x1 window */
    NB_STEP_AVGPOOL,
    NB_STEP_AVGPOOL_INSIDE, /* padding does not count */
    NB_STEP_TAKE,
    NB_STEP_BLEND,
    NB_STEP_MUL,
    NB_STEP_KINDS
} nb_step_kind;

typedef struct {
    int32_t h, w, c;
    int32_t type;    /* nb_etype */
    int32_t zero;    /* zero point; 0 for s32 */
    uint64_t offset; /* bytes into the arena, multiple of 64 */
} nb_etensor;

typedef struct {
    int32_t kind;                            /* nb_step_kind */
    int32_t n_in, in[NB_ENGINE_MAX_IN], out; /* tensor indices */
    int32_t lo, hi;                          /* clamp of the output codes (fused relu included) */
    nb_geom geom;                            /* conv and pools */
    const uint8_t *table;                    /* TABLE: [c][256] codes (reinterpreted for s8), */
    int32_t one_table;                       /* or [1][256], of all channels */
    const void *packed;                      /* CONV: prepared weights, from nb_engine_prepare */
    const int8_t *weights;                   /* CONV: one code per byte, OHWI */
    const int32_t *bias;                     /* CONV: [oc] */
    const int32_t *mult;     /* CONV: [oc], may be NULL for s32 output; ADD, CONCAT: [n_in]; AVGPOOL, MUL: [1] */
    const int32_t *shift;    /* same length; ADD: one common shift [0] */
    const int32_t *index[3]; /* TAKE, BLEND: rows, columns, and of TAKE channels, of the output's sizes */
} nb_estep;

typedef struct {
    int32_t n_tensors, n_steps;
    const nb_etensor *tensors;
    nb_estep *steps;       /* prepare writes `packed` */
    uint64_t tensor_bytes; /* arena for tensors; scratch comes on top */
    size_t scratch_bytes;  /* of one part, from nb_engine_prepare */
} nb_emodel;

/* 0 when the model is sound (indices, shapes, types, arena bounds and overlaps of live tensors, shifts, grids,
 * accumulator bounds), else 1 + the index of the first bad step or 1 + n_steps + the index of the first bad tensor.
 * After a 0, run() needs no checks. Trusts only that the arrays are as long as the geometry says; looks at every weight
 * once. */
NB_ENGINE_API int32_t nb_engine_check(const nb_emodel *m);
/* Bytes for the prepared weights of all conv steps, and the preparation into caller's 64-byte aligned memory. The model
 * must be sound. */
NB_ENGINE_API size_t nb_engine_packed_bytes(const nb_emodel *m);
NB_ENGINE_API void nb_engine_prepare(nb_emodel *m, void *mem);
/* Bytes of arena one concurrent run needs: tensors + scratch. SIZE_MAX (as for packed bytes): more than this machine
 * can address. */
NB_ENGINE_API size_t nb_engine_arena_bytes(const nb_emodel *m);
NB_ENGINE_API size_t nb_engine_parts_bytes(const nb_emodel *m, int32_t parts); /* for nb_engine_run_part, parts >= 1 */
/* One image: u8 pixels [h, w, c] -> the output tensor (inside the arena; valid until the next run). arena is 64-byte
 * aligned; its contents do not matter. Several threads may run one prepared model at once, each with its own arena. */
NB_ENGINE_API const void *nb_engine_run(const nb_emodel *m, void *arena, const uint8_t *pixels);
/* One step only, on what its input tensors hold now; returns its output tensor. pixels is read by step 0 alone.
 * Running all steps in order is nb_engine_run; verify and profile look inside, or put codes of their own into
 * nb_engine_tensor first. Codes must be on their grid. */
NB_ENGINE_API const void *nb_engine_run_step(const nb_emodel *m, void *arena, int32_t step, const uint8_t *pixels);
/* Part 0..parts - 1 of one step, for running one image on several threads: parts of a step may run at the same time on
 * one arena of nb_engine_parts_bytes, all of them before any part of the next step. Any number of parts gives the same
 * bytes; some parts may have nothing to do. */
NB_ENGINE_API const void *nb_engine_run_part(const nb_emodel *m, void *arena, int32_t step, int32_t part, int32_t parts,
                                             const uint8_t *pixels);
/* Where a tensor lives. Tensors share memory: valid from its step until a later step overwrites it. */
NB_ENGINE_API void *nb_engine_tensor(const nb_emodel *m, void *arena, int32_t tensor);
/* Index of the largest output, ties to the lowest index. */
NB_ENGINE_API int32_t nb_engine_argmax(const nb_emodel *m, const void *out);

#ifdef __cplusplus
}
#endif
#endif
