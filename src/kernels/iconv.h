/* iconv.h - integer convolution of one NHWC image of codes: int32 accumulators, bit-equal on every instruction set.
 *
 * acc[p][oc] = sum over the window of w * x, codes as they are; outside the image x is the code `zero`. Padding with the zero point and folding
 * -zero * sum(w) into the bias makes this sum(w * (x - zero)). No float, no malloc, no libc beyond memcpy/memset: the engine runs on it too.
 * Preparation unpacks OHWI codes into panels and writes the tables (offsets of pixels and runs) into the same blob. */
#ifndef NB_KERNELS_ICONV_H
#define NB_KERNELS_ICONV_H

#include <nibble/geom.h>
#include <stddef.h>

size_t nb_iconv_packed_bytes(const nb_geom *g);  /* a multiple of 64 */
size_t nb_iconv_scratch_bytes(const nb_geom *g); /* per concurrent call, a multiple of 64 */
/* packed is 64-byte aligned. May be called again with new weights (training does, every step). */
void nb_iconv_pack(void *packed, const int8_t *w, const nb_geom *g);
/* x: [h, w, c] codes, x_signed = 0: u8, 1: s8. acc: [oh, ow, oc]. */
void nb_iconv_run(int32_t *acc, const void *x, int32_t x_signed, int32_t zero, const void *packed, const nb_geom *g, void *scratch);
/* The plain loops, used as the oracle and on request: same result, weights as OHWI codes. */
void nb_iconv_reference(int32_t *acc, const void *x, int32_t x_signed, int32_t zero, const int8_t *w, const nb_geom *g);

/* codes[r][c] = nb_rescale(acc[r][c] + bias[c], mult[c], shift[c], zero, lo, hi), stored as one byte (u8 or s8 bit pattern). */
void nb_iconv_requantize(uint8_t *codes, const int32_t *acc, const int32_t *bias, const int32_t *mult, const int32_t *shift, int32_t zero,
                         int32_t lo, int32_t hi, int64_t rows, int32_t c);

#endif
