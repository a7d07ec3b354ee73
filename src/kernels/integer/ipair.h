/* ipair.h - two tensors of codes, value by value: their sum or their product. A side of 1 where the output has more is
 * repeated (broadcast). Pure, integer, no libc beyond memcpy/memset. Codes are bytes: u8, or s8 as their bit pattern. */
#ifndef NB_KERNELS_IPAIR_H
#define NB_KERNELS_IPAIR_H

#include <stdint.h>

/* sum      y = clamp(rescale_wide((a - zero[0]) * mult[0] + (b - zero[1]) * mult[1], shift) + y_zero, lo, hi)
 *          |mult| < 2^31, so |sum| < 2^40 and nothing can overflow.
 * product  y = clamp(rescale((a - zero[0]) * (b - zero[1]), mult[0], shift) + y_zero, lo, hi)
 *          mult[0] in [2^30, 2^31); the product of two codes is below 2^16. */
typedef struct {
    int32_t product; /* 0: sum */
    int32_t x_signed[2], zero[2], mult[2];
    int32_t shift; /* [1, 62] */
    int32_t y_zero, lo, hi;
} nb_ipair;

typedef struct {
    int32_t h, w, c;
} nb_isize;

/* n values of each. */
void nb_k_pair_codes(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p);
/* Rows y0 <= row < y1 of y [out]; every side of size[k] is out's or 1. */
void nb_k_pair_rows(uint8_t *y, const uint8_t *const x[2], const nb_isize size[2], const nb_isize *out, int32_t y0,
                    int32_t y1, const nb_ipair *p);

#endif
