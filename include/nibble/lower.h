/* lower.h - from a trained graph to an integer model, and the integer model on data. */
#ifndef NIBBLE_LOWER_H
#define NIBBLE_LOWER_H

#include <nibble/dataset.h>
#include <nibble/graph.h>
#include <nibble/intmodel.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Lowers a quantized graph (frozen or not; it is only read, nothing is run): proves per output channel that no accumulator can overflow, or refuses.
 * config: the experiment's text, stored in the model; "" is fine. */
NB_API nb_status nb_lower(const nb_graph *g, const char *config, nb_intmodel **out);

/* Runs the engine over images indices[0..n-1] of data (NULL: images 0..n-1), in parallel; the result does not depend on
 * the number of threads. The data's image size and number of classes must be the model's. */
NB_API nb_status nb_intmodel_evaluate(nb_ctx *ctx, const nb_intmodel *m, const nb_data *data, const int32_t *indices,
                                      int32_t n, nb_eval *out);
/* One image: u8 pixels [h, w, c] of the input tensor's size -> dequantized logits [classes]. */
NB_API nb_status nb_intmodel_logits(nb_ctx *ctx, const nb_intmodel *m, const uint8_t *pixels, float *logits);

#ifdef __cplusplus
}
#endif
#endif
