/* net_program.h - exported programs: the header. Its numbers are the network's; those here are an example's. */
#ifndef NET_H
#define NET_H

#include <stdint.h>

#define NET_INPUT_BYTES 48
#define NET_CLASSES 3
#define NET_RAM_BYTES 64
#define NET_FEATURE_COLUMNS 2
#define NET_FEATURE_ZERO 128
#define NET_LOGIT_SCALE ((float)0.25)

/* ==== cgen_text_declarations ==== */
#ifdef __cplusplus
extern "C" {
#endif

/* One image: NET_INPUT_BYTES pixels -> NET_CLASSES logits. Not reentrant: tensors live in one static arena. */
void net_run(const uint8_t *pixels, int32_t *logits);
/* Index of the largest logit, ties to the lowest index. */
int32_t net_argmax(const int32_t *logits);
/* 0 when this build gives the logits that Nibble's engine gave, else 1 + the number of the first image
 * that differs. pixels: NET_INPUT_BYTES bytes to make images in, logits: NET_CLASSES. */
int32_t net_selftest(uint8_t *pixels, int32_t *logits);

#ifdef __cplusplus
}
#endif
/* ==== */

/* ==== cgen_text_score_declared ==== */
#ifdef __cplusplus
extern "C" {
#endif
/* How much of an anomaly a sample is: the mean square of what net_run's outputs are away from its input. */
float net_score(const uint8_t *pixels, const int32_t *logits);
#ifdef __cplusplus
}
#endif
/* ==== */

/* ==== cgen_text_features_declared ==== */
#ifdef __cplusplus
extern "C" {
#endif
/* NET_INPUT_BYTES numbers as they were measured -> the codes that net_run takes as pixels:
 * clamp(round((x - center) * gain) + NET_FEATURE_ZERO, 0, 255), center and gain of column i % NET_FEATURE_COLUMNS.
 * The one function here that uses floats; who has codes already does without. */
void net_features(const float *x, uint8_t *codes);
#ifdef __cplusplus
}
#endif
/* ==== */
#endif
