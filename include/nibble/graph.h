/* graph.h - a network to run, forward and backward; made by nb_graph_open (train.h) or nb_model_build (model.h).
 *
 * Inside is an array of nodes in execution order: forward is a loop up, backward a loop down. What a node is, is for who
 * adds layers: extend/op.h. */
#ifndef NIBBLE_GRAPH_H
#define NIBBLE_GRAPH_H

#include <nibble/dataset.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nb_graph nb_graph;

/* What softmax_xent compares with beside one label an image. */
typedef struct {
    const float *teacher;     /* [batch, classes] logits of another network; NULL: none */
    float share, temperature; /* of the loss; of the softmax of both, whose KL divergence times temperature^2 it is */
    const int32_t *other;     /* [batch]: labels of what was mixed into the images; NULL: nothing was */
    const float *mixed;       /* [batch]: its share of the target, 0..1 */
    const float *weight;      /* [classes]: what an image counts by its label, in a weighted mean; NULL: all the same */
} nb_loss_terms;

/* One execution of the graph. Borrowed pointers; nothing is written through them. */
typedef struct nb_run {
    bool train;                 /* batch statistics, dropout and observers are active; false = evaluation */
    bool freeze_bn;             /* batch norm uses its running statistics and leaves them alone */
    bool freeze_ranges;         /* observers stand still */
    int32_t calibration;        /* this is the so-manieth batch, from 1, of a calibration (nb_calibrate); 0: training */
    uint64_t seed, step;        /* key of everything random in this step */
    const uint8_t *pixels;      /* [batch, h, w, c] */
    const int32_t *labels;      /* [batch]; NULL in evaluation without a loss: the loss node then does nothing */
    const nb_loss_terms *terms; /* NULL: the labels alone */
} nb_run;

/* What the backward pass of layers that multiply codes with codes computes with. INT16: the output gradient is rounded
 * to 16 bits per image and the products are exact integers (kernels/grad16/qgrad.h has the bounds), where the layer has such
 * kernels. AUTO: the same, if this processor runs them faster than floats. Everything else, and everything under F32,
 * is float. */
typedef enum { NB_COMPUTE_F32, NB_COMPUTE_INT16, NB_COMPUTE_AUTO } nb_compute;

/* What a graph is. steps and planned_bytes are of a frozen one. */
typedef struct {
    const nb_dsinfo *info; /* of the data set: input shape, classes, normalisation */
    int64_t params;        /* values that training changes */
    size_t param_bytes;    /* leaves: values and gradients */
    size_t planned_bytes;  /* everything that lives within one step: the peak */
    int32_t steps;         /* nodes, or fused chains of nodes */
    bool quantized;
    /* Why a quantized network cannot become integers and is simulated in floats: "weights of c1: format fp8_e4m3 does
     * not fit -127..127", and what would do instead; NULL: it can. They live as long as the graph. */
    const char *simulated, *instead;
} nb_graph_facts;
NB_API nb_graph_facts nb_graph_about(const nb_graph *g); /* info lives as long as g */

NB_API void nb_graph_free(nb_graph *g); /* NULL is fine */

typedef enum { NB_PLAN_INFER, NB_PLAN_TRAIN } nb_plan_mode;
/* Steps, dtypes, memory. A frozen graph may be frozen again, with another mode or table of fusions: leaves and their
 * gradients keep their values, everything else is lost. When it fails, the graph can only be frozen again or freed. */
NB_API nb_status nb_graph_freeze(nb_graph *g, nb_plan_mode mode);
NB_API void nb_graph_init(nb_graph *g, uint64_t seed);      /* every layer's own initial values */
NB_API void nb_graph_set_batch(nb_graph *g, int32_t batch); /* 1..max_batch */

NB_API void nb_forward(nb_graph *g, const nb_run *r);
NB_API void nb_backward(nb_graph *g, const nb_run *r); /* d(loss)/d(loss) = 1; clears parameter gradients first */
/* Both in pieces, for who wants to look in between: steps 0 .. nb_graph_about(g).steps - 1; begin, then the
 * same down to 0. */
NB_API void nb_forward_step(nb_graph *g, int32_t i, const nb_run *r);
NB_API void nb_backward_begin(nb_graph *g);
NB_API void nb_backward_step(nb_graph *g, int32_t i, const nb_run *r);
/* After a forward: mean loss and number of correct answers of the batch. */
NB_API float nb_graph_loss(const nb_graph *g);
NB_API int32_t nb_graph_correct(const nb_graph *g);
NB_API const float *nb_graph_logits(const nb_graph *g); /* [batch, classes]; valid after a forward */

/* ---- what the quantizers of a quantized network are like ---- */

/* "weights mse (2 bits), minmax (8 bits); activations ema (8 bits)": which ranges they have, the input's aside. */
NB_API void nb_quant_ranges_text(const nb_graph *g, char *buf, size_t size);
/* Can every range be found without images (nb_calibrate with n = 0)? */
NB_API bool nb_quant_data_free(const nb_graph *g);
/* Are weights stored in the same number of bytes whatever training makes of them? Not on a grid that is not symmetric: its
 * ends may be one pair or one for each channel. */
NB_API bool nb_quant_storage_settled(const nb_graph *g);
/* Does a range leave most codes of a layer's weights unused: more than 60 % of its nonzero weights become 0, or fewer than a
 * quarter of the levels are used that could be? Then one sentence in buf, on the worst such layer and what would help; else
 * "". What has not been observed yet is passed over. */
NB_API nb_status nb_quant_unused_text(const nb_graph *g, char *buf, size_t size);

#ifdef __cplusplus
}
#endif
#endif
