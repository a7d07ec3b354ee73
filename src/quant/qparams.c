/* qparams.c - grids and scales: from a real range to scale and zero point. */
#include <nibble/extend/quant.h>

#include "base/check.h"

#include <math.h>
#include <string.h>

/* A range below this was never used (a dead layer, pruned weights): any scale represents its zeros, and a huge one
 * keeps the units of accumulators, and with them int32 biases, in proportion. What is used may be small as long as its
 * scale can: where biases would not fit, fakequant.c takes coarser weights. */
static const float RANGE_MIN = 0x1p-32f;
/* A scale outside these would make products of scales leave the range of normal floats: 2^-40 * 2^-40 * 2^-40 is still
 * normal. */
static const float SCALE_MIN = 0x1p-40f, SCALE_MAX = 0x1p40f;

#define NB_QUANTIZER(name) extern const nb_quantizer nb_quantizer_##name;
#include "quant/quantizers.def"
#undef NB_QUANTIZER
#define NB_QUANTIZER(name) &nb_quantizer_##name,
const nb_quantizer *const nb_quantizers[] = {
#include "quant/quantizers.def"
    NULL};
#undef NB_QUANTIZER

const nb_quantizer *nb_quantizer_find(const char *name)
{
    for (const nb_quantizer *const *q = nb_quantizers; *q; q++)
        if (strcmp((*q)->name, name) == 0)
            return *q;
    return NULL;
}

void nb_grid(nb_qparams *q, int32_t bits, nb_scheme scheme, bool weights)
{
    NB_ASSERT(bits >= 2 && bits <= 8);
    bool sign = weights || scheme == NB_SCHEME_SYMMETRIC;
    q->bits = bits;
    q->dtype = sign ? NB_S8 : NB_U8;
    q->hi = sign ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
    q->lo = weights ? -q->hi : sign ? -q->hi - 1 : 0;
}

static float sound_scale(float s)
{
    return s >= SCALE_MIN ? (s <= SCALE_MAX ? s : SCALE_MAX) : SCALE_MIN; /* NaN becomes SCALE_MIN */
}

void nb_qparams_set(nb_qparams *q, int32_t c, nb_scheme scheme, float lo, float hi)
{
    lo = fminf(lo, 0.0f); /* real 0 is always a code; fminf and fmaxf drop a NaN */
    hi = fmaxf(hi, 0.0f);
    if (hi - lo < RANGE_MIN)
        hi = 1.0f;
    if (q->lo == 0 && scheme == NB_SCHEME_ASYMMETRIC) {
        float s = sound_scale((hi - lo) / (float)q->hi);
        float z = nearbyintf(-lo / s);
        q->scale[c] = s;
        q->zero[c] = z < 0.0f ? 0 : z > (float)q->hi ? q->hi : (int32_t)z;
        return;
    }
    q->scale[c] = sound_scale((q->lo == 0 ? hi : fmaxf(-lo, hi)) / (float)q->hi);
    q->zero[c] = 0;
}
