/* iconv.h - integer convolution of one NHWC image of codes: int32 accumulators, bit-equal on every instruction set.
 *
 * acc[p][oc] = sum over the window of w * x, codes as they are; outside the image x is the code `zero`. Padding with
 * the zero point and folding -zero * sum(w) into the bias makes this sum(w * (x - zero)). No float, no malloc, no libc
 * beyond memcpy/memset: the engine runs on it too.
 *
 * How a layer is computed is chosen when its weights are packed, from the instruction set, the geometry, the codes of
 * the weights and the range of the input's codes (iconv_isa.h): some methods are exact only for some of these, which is
 * proven there. The packed blob remembers the choice.
 *
 * The caller proves that sum |w| * max |x| + |bias| < 2^31 for every output channel. Sums on the way may wrap around:
 * all arithmetic is modulo 2^32, so a sum that fits comes out right. */
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

typedef struct { /* all codes of a tensor, zero point included: -128 <= lo <= hi <= 255, hi - lo <= 255 */
    int32_t lo, hi;
} nb_icodes;

size_t nb_iconv_packed_bytes(const nb_geom *g);  /* for any weights; a multiple of 64 */
size_t nb_iconv_scratch_bytes(const nb_geom *g); /* per concurrent call, a multiple of 64 */
/* w: OHWI codes; x: what the input may hold. packed is 64-byte aligned. May be called again with new weights (training
 * does, every step). */
void nb_iconv_pack(void *packed, const int8_t *w, nb_icodes x, const nb_geom *g);
/* x: [h, w, c] codes, x_signed = 0: u8, 1: s8. acc: [oh, ow, oc]. */
void nb_iconv_run(int32_t *acc, const void *x, int32_t x_signed, int32_t zero, const void *packed, const nb_geom *g,
                  void *scratch);

typedef struct {                        /* how accumulators become codes: per channel multiplier and shift, one grid */
    const int32_t *bias, *mult, *shift; /* [c]; mult in [2^30, 2^31), shift in [1, 62] */
    int32_t zero, lo, hi;               /* of the output: lo <= zero <= hi within u8 or s8 */
} nb_irequant;

typedef struct {
    const void *x; /* [h, w, c] codes */
    int32_t is_signed, zero;
} nb_iconv_input;

typedef struct { /* where sums go: to acc [oh, ow, oc], or through q to codes [oh, ow, oc] while they are in the cache
                  */
    int32_t *acc;
    uint8_t *codes; /* used when acc is NULL */
    const nb_irequant *q;
} nb_iconv_output;

/* Output rows y0 to y1 - 1 (0 <= y0 <= y1 <= oh); nothing else is written. Rows may be shared out over threads at will,
 * each with its own scratch. */
void nb_iconv_rows(const nb_iconv_output *out, const nb_iconv_input *in, const void *packed, const nb_geom *g,
                   int32_t y0, int32_t y1, void *scratch);

/* codes[r][i] = nb_rescale(acc[r][i] + bias[i], mult[i], shift[i], zero, lo, hi), stored as one byte (u8 or s8 bit
 * pattern). acc + bias must fit in 32 bits. */
void nb_iconv_requantize(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c);
/* The same kept as int32 (logits): zero is 0, lo and hi any int32; mult == NULL: acc + bias as it is, clamped. codes
 * may be acc. */
void nb_iconv_requantize_s32(int32_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c);

#endif
