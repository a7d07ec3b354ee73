/* model.h - from the config's `model` section to a graph.
 *
 * The section is a list; a layer reads the one above unless `in` names another. An entry is a word ("relu") or a map
 * with one key
 * ("conv2d: {out: 16, name: c1}"). Blocks (resblock, branches) expand to layers here and leave no trace in the graph. A
 * softmax_xent is appended when the list does not end in one. */
#ifndef NIBBLE_MODEL_H
#define NIBBLE_MODEL_H

#include <nibble/config.h>
#include <nibble/dataset.h>
#include <nibble/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Keys every layer and block has beside its own. */
extern NB_API const nb_key nb_model_common_keys[];
/* Keys of the `quant` section, and of what its `weights` and `activations` hold. */
extern NB_API const nb_key nb_quant_section_keys[], nb_quant_weight_keys[], nb_quant_act_keys[];

/* The float graph, not frozen, parameters not initialised; freeze may fuse it (g->fusions). exp and its config must
 * outlive the graph. */
NB_API nb_status nb_model_build(nb_ctx *ctx, const nb_experiment *exp, const nb_dsinfo *info, int32_t max_batch,
                                nb_graph **out);
/* The same, but weights of convolutions and linear layers that lender has are lender's own: it must outlive *out, and
 * none of both may change them; NULL: as above. shared: of a batch it holds the images of this rank, see train.h. */
NB_API nb_status nb_model_build_lent(nb_ctx *ctx, const nb_experiment *exp, const nb_dsinfo *info, int32_t max_batch,
                                     bool shared, const nb_graph *lender, nb_graph **out);
/* How many images, at most `most`, such a network should take at a time where any number gives a result: `most`, halved
 * until what its widest layer reads and writes is at most NB_BATCH_BYTES of floats. It depends on the network alone, so
 * that what depends on the size of batches (ranges that are averages over them) is the same on every machine. */
#define NB_BATCH_BYTES ((int64_t)64 << 20)
NB_API nb_status nb_model_batch(nb_ctx *ctx, const nb_experiment *exp, const nb_dsinfo *info, int32_t most,
                                int32_t *batch);
/* The part of it that moves values: folds batch norms when the section says so. What remains is a float graph. */
NB_API nb_status nb_model_fold(nb_graph *g, const nb_conf *quant);
/* Does it move any? */
NB_API nb_status nb_model_folds(nb_ctx *ctx, const nb_conf *quant, bool *yes);
/* Turns a float graph into a quantized one as the `quant` section says: static fold if asked (moves values: load float
 * parameters before), then fake-quant placement. */
NB_API nb_status nb_model_quantize(nb_graph *g, const nb_conf *quant);

#ifdef __cplusplus
}
#endif
#endif
