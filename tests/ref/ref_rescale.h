/* ref_rescale.h - the rescale of the arithmetic contract in 128-bit integers, with its floor spelled out as a division.
 */
#ifndef NB_REF_RESCALE_H
#define NB_REF_RESCALE_H

#include <stdint.h>

/* clamp(floor((acc * mult + 2^(shift-1)) / 2^shift) + zero, lo, hi) */
int32_t ref_rescale(int32_t acc, int32_t mult, int32_t shift, int32_t zero, int32_t lo, int32_t hi);
/* floor((product + 2^(shift-1)) / 2^shift) */
int64_t ref_rescale_wide(int64_t product, int32_t shift);

#endif
