/* iconv.h - integer convolution of one NHWC image of codes: int32 accumulators, bit-equal on every instruction set.
 *
 * acc[p][oc] = sum over the window of w * x, codes as they are; outside the image x is the code `zero`. Padding with
 * the zero point and folding -zero * sum(w) into the bias makes this sum(w * (x - zero)). No float, no malloc, no libc
 * beyond memcpy/memset: the engine runs on it too.
 *
 * Like the float convolution (fconv.h) it is "rows times taps": the image is copied once into a padded scratch, widened
 * to s16; a kernel row is then one contiguous run of kw * c values, so nothing is gathered, and a tile of output pixels
 * may cross the end of an image row. Preparation unpacks OHWI codes into panels and writes the tables (offsets of
 * pixels and runs) into the same blob.
 *
 * The caller proves that sum |w| * max |x| + |bias| < 2^31 for every output channel; then no sum here can overflow, in
 * any order. */
#ifndef NB_KERNELS_ICONV_H
#define NB_KERNELS_ICONV_H

#include <nibble/geom.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False when the geometry is not one (sizes < 1, groups do not divide, oh/ow are not what nb_geom_out says, the window
 * does not fit) or is absurdly large (over 2^28 elements of padded image, weights or output). Everything below may be
 * called when it is true. */
bool nb_iconv_supports(const nb_geom *g);

size_t nb_iconv_packed_bytes(const nb_geom *g);  /* a multiple of 64 */
size_t nb_iconv_scratch_bytes(const nb_geom *g); /* per concurrent call, a multiple of 64 */
/* packed is 64-byte aligned. May be called again with new weights (training does, every step). */
void nb_iconv_pack(void *packed, const int8_t *w, const nb_geom *g);
/* x: [h, w, c] codes, x_signed = 0: u8, 1: s8. acc: [oh, ow, oc]. */
void nb_iconv_run(int32_t *acc, const void *x, int32_t x_signed, int32_t zero, const void *packed, const nb_geom *g,
                  void *scratch);
/* The same in two halves, so that accumulators can be used while they are in the cache: load fills scratch, pixels
 * computes n output pixels from the first-th on (row by row, 0 <= first, first + n <= oh * ow) into acc [n, oc]. */
void nb_iconv_load(void *scratch, const void *x, int32_t x_signed, int32_t zero, const nb_geom *g);
void nb_iconv_pixels(int32_t *acc, int32_t first, int32_t n, const void *packed, const nb_geom *g, const void *scratch);
/* The plain loops, used as the oracle and on request: same result, weights as OHWI codes. */
void nb_iconv_reference(int32_t *acc, const void *x, int32_t x_signed, int32_t zero, const int8_t *w, const nb_geom *g);

typedef struct {                        /* how accumulators become codes: per channel multiplier and shift, one grid */
    const int32_t *bias, *mult, *shift; /* [c]; mult in [2^30, 2^31), shift in [1, 62] */
    int32_t zero, lo, hi;               /* of the output: lo <= zero <= hi within u8 or s8 */
} nb_irequant;

/* codes[r][i] = nb_rescale(acc[r][i] + bias[i], mult[i], shift[i], zero, lo, hi), stored as one byte (u8 or s8 bit
 * pattern). acc + bias must fit in 32 bits. */
void nb_iconv_requantize(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c);
/* The same kept as int32 (logits): zero is 0, lo and hi any int32; mult == NULL: acc + bias as it is, clamped. codes
 * may be acc. */
void nb_iconv_requantize_s32(int32_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c);

#endif
