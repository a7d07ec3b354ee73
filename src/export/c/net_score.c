/* net_score.c - exported programs that reconstruct: how far what came out is away from what went in. Table and scale are an
 * example's here. */
#include "net_program.h"

static const uint8_t net_t0[256] = {3, 4, 5};
#define NET_INPUT_SCALE ((float)0.5)
#define NET_INPUT_ZERO 2
#define NET_INPUT_TABLES 1
#define NET_INPUT_CODE uint8_t

/* ==== cgen_text_score ==== */
float net_score(const uint8_t *pixels, const int32_t *logits)
{
    float sum = 0;
    int32_t i;
    for (i = 0; i < NET_CLASSES; i++) {
        const int32_t code = (NET_INPUT_CODE)net_t0[i % NET_INPUT_TABLES * 256 + pixels[i]] - NET_INPUT_ZERO;
        const float off = (float)logits[i] * NET_LOGIT_SCALE - (float)code * NET_INPUT_SCALE;
        sum += off * off;
    }
    return sum / (float)NET_CLASSES;
}
/* ==== */
