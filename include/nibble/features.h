/* features.h - samples that are no image: how their numbers become the 8-bit codes that a network takes as pixels.
 *
 * A network's input is 8 bits wide, whatever was measured: the loader maps every number of a sample once,
 *
 *   code = clamp(round((x - center) * gain) + zero, 0, 255)      ties to even; center and gain are of that number's column
 *
 * and from there on a code is a pixel: batches, the input layer's table, the engine and exported C see bytes alone. A code
 * stands for the normalised value step * (code - zero), the same for all columns, so one table of 256 entries serves them
 * all. The map belongs to the model: a checkpoint and an integer checkpoint carry it, evaluation takes it from there
 * instead of measuring anew, nibble info prints it, exported C has it as a function. What the map clamps or rounds away is
 * lost before the first layer, in training as on the device. */
#ifndef NIBBLE_FEATURES_H
#define NIBBLE_FEATURES_H

#include <nibble/context.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    const char *dtype; /* what the numbers were: "float32", "int16", ... */
    int32_t zero;      /* 0..255: the code of center */
    float step;        /* > 0 */
    int32_t n; /* columns: 1 for all numbers, one for each channel, or one for each number of a sample: that of number i
                  is i % n */
    const float *center, *gain; /* [n]; gain > 0 */
} nb_features;

/* The code of number i of a sample; NaN is the center. */
NB_API uint8_t nb_feature_code(const nb_features *f, int64_t i, float x);

/* Are they the same? Two NULLs are: pixels. */
NB_API bool nb_features_equal(const nb_features *a, const nb_features *b);

#ifdef __cplusplus
}
#endif
#endif
