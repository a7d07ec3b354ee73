/* fakequant.h - the attributes of a fake-quant node, filled by the policy, and its parts for fused chains. */
#ifndef NB_QUANT_FAKEQUANT_H
#define NB_QUANT_FAKEQUANT_H

#include <nibble/extend/quant.h>

typedef struct {
    const nb_quantizer *method;
    const void *method_attr; /* in the graph's arena */
    int32_t bits;
    nb_scheme scheme;
    bool weights;     /* narrow symmetric grid */
    bool per_channel; /* along axis 0; weights only */
} nb_fakequant_attr;

/* Can a chain compute n's codes itself? One grid for all values, found from their extremes. */
bool nb_fakequant_fusible(const nb_node *n);
/* This step looks at the values before it quantizes them. */
bool nb_fakequant_observes(const nb_run *r);
/* What comes before quantizing: takes in the extremes of the values and what the observer asks of them (when this step
 * observes; NaN or infinite extremes are passed over), then sets n's scale and zero point. */
void nb_fakequant_settle(nb_node *n, const nb_run *r, float min, float max, const nb_values *values);
/* Can one row of the state be what the observer left: nothing seen yet, or a range the right way around? Its values are
 * finite. */
bool nb_fakequant_state_sound(const nb_node *n, const float *state);

/* In mac's prepare: fq's weights are what mac multiplies with, see nb_weight_use. */
void nb_fakequant_read_by(const nb_node *fq, const nb_node *mac);

#endif
