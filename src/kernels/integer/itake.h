/* itake.h - moving values and mixing those that lie next to each other, for the engine and the training graph alike. No
 * libc beyond memcpy/memset. */
#ifndef NB_KERNELS_ITAKE_H
#define NB_KERNELS_ITAKE_H

#include <nibble/take.h>

/* Rows [y0, y1) of the output; y and x point at whole images of values of `size` bytes, 1 or 4, all of whose bytes are
 * `zero` where they are real 0. */
void nb_k_take(void *y, const void *x, const nb_take *t, int32_t size, int32_t zero, int32_t y0, int32_t y1);
/* Of a blend, on codes (u8, or s8 as their bit pattern): y = floor((sum of weight * x + 2^21) / 2^22); the weights of
 * the four are products of two of at most 2048 and add up to 2^22, so that zero points do not matter and no sum reaches
 * 2^31. */
void nb_k_blend_codes(uint8_t *y, const uint8_t *x, int32_t is_signed, const nb_take *t, int32_t y0, int32_t y1);

#endif
