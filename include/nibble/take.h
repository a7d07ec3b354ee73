/* take.h - moving values: which values of one NHWC image make another (slice, pad, shuffle, nearest upsample), or which
 * two rows and columns it lies between (bilinear upsample). */
#ifndef NIBBLE_TAKE_H
#define NIBBLE_TAKE_H

#include <stdint.h>

enum { NB_BLEND_BITS = 11, NB_BLEND_ONE = 1 << NB_BLEND_BITS /* positions count in 2048ths of a row or column */ };

/* Axes are rows, columns, channels.
 * A take:  y[i][j][k] = x[index[0][i]][index[1][j]][index[2][k]], and real 0 where one of the three is -1.
 * A blend: index[2] is NULL, channels stay; y[i][j] lies at row index[0][i] / 2048 and column index[1][j] / 2048 of x,
 *          between the four pixels around it: a row (column) p / 2048 that is no whole number takes (2048 - p % 2048) /
 *          2048 of the one before it and the rest of the one behind. */
typedef struct {
    int32_t in[3], out[3];
    const int32_t *index[3]; /* [out[axis]]: -1..in - 1; of a blend 0..(in - 1) * 2048 */
} nb_take;

#endif
