/* fakequant.h - the attributes of a fake-quant node: filled by the policy, read by nothing else. */
#ifndef NB_QUANT_FAKEQUANT_H
#define NB_QUANT_FAKEQUANT_H

#include <nibble/quant.h>

typedef struct {
    const nb_quantizer *method;
    const void *method_attr; /* in the graph's arena */
    int32_t bits;
    nb_scheme scheme;
    bool weights;     /* narrow symmetric grid */
    bool per_channel; /* along axis 0; weights only */
} nb_fakequant_attr;

#endif
