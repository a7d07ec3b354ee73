/* lower.h - from a trained graph to an integer model, and the integer model on data. */
#ifndef NIBBLE_LOWER_H
#define NIBBLE_LOWER_H

#include <nibble/dataset.h>
#include <nibble/graph.h>
#include <nibble/intmodel.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Lowers a quantized graph (frozen or not; it is only read, nothing is run): proves per output channel that no
 * accumulator can overflow, giving weights a coarser scale where one could. config: the experiment's text, stored in
 * the model; "" is fine. */
NB_API nb_status nb_lower(const nb_graph *g, const char *config, nb_intmodel **out);

/* Runs the engine over images indices[0..n-1] of data (NULL: images 0..n-1), in parallel; the result does not depend on
 * the number of threads. The data's image size and number of classes must be the model's. */
NB_API nb_status nb_intmodel_evaluate(nb_ctx *ctx, const nb_intmodel *m, const nb_data *data, const int32_t *indices,
                                      int32_t n, nb_eval *out);
/* As nb_intmodel_evaluate, and what the engine said of every image. NB_E_RANGE: a logit is no float. */
NB_API nb_status nb_intmodel_evaluate_each(nb_ctx *ctx, const nb_intmodel *m, const nb_data *data,
                                           const int32_t *indices, int32_t n, nb_eval *out, const nb_answers *each);
/* The same, called by all ranks that mpirun started: each looks at a part of the images, all have the result. */
NB_API nb_status nb_intmodel_evaluate_shared(nb_ctx *ctx, const nb_intmodel *m, const nb_data *data,
                                             const int32_t *indices, int32_t n, nb_eval *out, const nb_answers *each);
/* One image on all threads: nb_engine_run with the steps shared out, the same bytes. arena: 64-byte aligned, of
 * nb_intmodel_arena_bytes, which depends on the number of threads. */
NB_API size_t nb_intmodel_arena_bytes(const nb_intmodel *m);
NB_API const void *nb_intmodel_run(const nb_intmodel *m, void *arena, const uint8_t *pixels);
/* One image: u8 pixels [h, w, c] of the input tensor's size -> dequantized logits [classes]. */
/* What a sample's reconstruction, outputs [classes], is away from its input as the model takes it: mean squared error. */
NB_API nb_status nb_intmodel_error(nb_ctx *ctx, const nb_intmodel *m, const uint8_t *pixels, const float *outputs,
                                   double *error);
NB_API nb_status nb_intmodel_logits(nb_ctx *ctx, const nb_intmodel *m, const uint8_t *pixels, float *logits);

/* Many images in parallel, into memory that is there already; the same for any number of threads (which must not grow). m is
 * borrowed. */
typedef struct nb_int_batch nb_int_batch;
NB_API nb_status nb_int_batch_create(nb_ctx *ctx, const nb_intmodel *m, nb_int_batch **out);
NB_API void nb_int_batch_free(nb_ctx *ctx, nb_int_batch *b); /* NULL is fine */
/* pixels [n, h, w, c] -> dequantized logits [n, classes]. */
NB_API void nb_int_batch_logits(nb_int_batch *b, const uint8_t *pixels, int32_t n, float *logits);
/* The same as whole numbers of the output's scale. */
NB_API void nb_int_batch_integers(nb_int_batch *b, const uint8_t *pixels, int32_t n, int32_t *integers);

/* One step of the integer model against the quantized graph it was lowered from, in codes (units of the output's scale for int32
 * logits). A difference is a rounding when the value before rounding, in double, is so near to a tie that the proven
 * errors of both sides' arithmetic (single precision; a 31-bit multiplier) can have tipped it over; else it is a
 * fault. */
typedef struct {
    const char *name;         /* the layer */
    int64_t outputs;          /* values compared */
    int64_t rounding, faults; /* that differ, when the step is fed the reference's codes: its own differences only */
    int32_t largest;
    int64_t differ_run; /* the engine running on its own codes from the pixels on */
    int32_t largest_run;
} nb_verify_row;

typedef struct {
    nb_verify_row *rows; /* [m->e.n_steps]; nb_free */
    int32_t images, same_top1;
} nb_verify_report;

/* Runs the first n images through the graph (quantized, frozen, the one m was lowered from: node by node in floats, in
 * evaluation mode) and through the engine. A sound step has no faults, on any images. */
NB_API nb_status nb_verify(nb_graph *g, const nb_intmodel *m, const nb_data *data, int32_t n, nb_verify_report *out);

#ifdef __cplusplus
}
#endif
#endif
