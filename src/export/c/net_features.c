/* net_features.c - exported programs: numbers that were measured to the codes that the network takes as pixels. The arrays are
 * an example's here. */
#include "net_program.h"

static const float net_center[NET_FEATURE_COLUMNS] = {0.5f, -2.0f};
static const float net_gain[NET_FEATURE_COLUMNS] = {10.0f, 0.25f};

/* The operations of nb_feature_code in core/feature_map.c, in the same order. */
/* ==== cgen_text_features ==== */
void net_features(const float *x, uint8_t *codes)
{
    int32_t i;
    for (i = 0; i < NET_INPUT_BYTES; i++) {
        const int32_t k = i % NET_FEATURE_COLUMNS;
        const volatile float scaled = (x[i] - net_center[k]) * net_gain[k]; /* volatile: rounded before it goes on */
        float v = scaled, rest;
        int32_t q;
        v = v != v ? 0.0f : v < -512.0f ? -512.0f : v > 512.0f ? 512.0f : v;
        q = (int32_t)v;
        rest = v - (float)q;
        if (rest > 0.5f || (rest == 0.5f && (q & 1)))
            q++;
        if (rest < -0.5f || (rest == -0.5f && (q & 1)))
            q--;
        q += NET_FEATURE_ZERO;
        codes[i] = (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
    }
}
/* ==== */
