/* unit.c - what one accumulator unit is worth: biases are int32 at this scale, in the integers and therefore in every
 * float pass that claims to show them. */
#include <nibble/extend/quant.h>

#include "kernels/sweeps/sweep.h"

#include <math.h>

bool nb_accumulator_unit(const nb_node *n, double *unit, double *mul, double *add)
{
    int32_t channels = nb_channels(&n->out);
    if (n->n_in > 0 && n->in[0]->out.q && n->in[0]->out.dtype == NB_F32)
        return false; /* simulated: sums of floats */
    if (n->op->role == NB_ROLE_MAC) {
        const nb_qparams *x = n->in[0]->out.q, *w = n->in[1]->out.q;
        for (int32_t c = 0; x && w && c < channels; c++)
            unit[c] = (double)x->scale[0] * (double)w->scale[w->n > 1 ? c : 0];
        return x && w;
    }
    if (n->op == &nb_op_dequantize) { /* lowered as a depthwise convolution with this weight */
        for (int32_t c = 0; c < channels; c++)
            unit[c] = (double)n->in[0]->out.q->scale[0] / NB_IDENTITY_WEIGHT;
        return true;
    }
    if (n->op->role != NB_ROLE_AFFINE || !n->op->affine || !nb_accumulator_unit(n->in[0], unit, mul, add))
        return false;
    n->op->affine(n, mul, add);
    for (int32_t c = 0; c < channels; c++)
        unit[c] *= mul[c];
    return true;
}

void nb_code_reals(float *real, float scale, int32_t zero, bool is_signed)
{
    uint8_t bytes[256];
    for (int32_t i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    nb_k_dequantize(real, bytes, 256, scale, zero, is_signed);
}

double nb_round_to_unit(double v, double unit)
{
    double units = v / unit;
    return fabs(units) < 0x1p30 ? nearbyint(units) * unit : v; /* a NaN or a channel with no weight to speak of stays */
}
