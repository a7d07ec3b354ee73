/* fuse.c - the list of fusions, and what they share. */
#include "fuse.h"

#include <nibble/extend/quant.h>

#include "layer.h"
#include "relu.h"

#include "quant/fakequant.h"

#include <math.h>

#define NB_FUSION(x) extern const nb_fusion nb_fusion_##x;
#include "fusions.def"
#undef NB_FUSION
const nb_fusion *const nb_fusions[] = {
#define NB_FUSION(x) &nb_fusion_##x,
#include "fusions.def"
#undef NB_FUSION
    NULL};

nb_tail nb_fuse_tail(const nb_step *s, int32_t from)
{
    nb_tail t = {.clamp = {.cap = INFINITY}, .out = nb_step_last(s)};
    for (int32_t i = from; i < s->n; i++) {
        if (s->node[i]->op == &nb_op_relu)
            t.clamp = (nb_kclamp){.relu = 1, .cap = nb_relu_cap(s->node[i])};
        if (nb_is_quantizer(s->node[i]))
            t.fq = s->node[i];
    }
    return t;
}

bool nb_fuse_tail_fits(const nb_step *s, int32_t from)
{
    nb_tail t = nb_fuse_tail(s, from);
    return !t.fq || nb_fakequant_fusible(t.fq);
}

nb_kgrid nb_fuse_grid(const nb_node *fq)
{
    const nb_qparams *q = fq->out.q;
    return (nb_kgrid){.scale = q->scale[0], .zero = q->zero[0], .lo = q->lo, .hi = q->hi};
}

void nb_fuse_extend(float *lo, float *hi, float min, float max)
{
    if (isnan(*lo))
        return;
    *lo = !(min >= *lo) ? min : *lo;
    *hi = !(max <= *hi) ? max : *hi;
}

float nb_fuse_clamp(const nb_kclamp *k, float v)
{
    if (!k->relu)
        return v;
    v = v < 0.0f ? 0.0f : v;
    return v > k->cap ? k->cap : v;
}
