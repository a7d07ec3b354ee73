/* iconv_isa.h - what a variant of the integer convolution provides; for iconv.c, its variants, their tests and
 * benchmarks.
 *
 * All variants share one memory layout, so a blob packed by one runs on any other. One panel serves 16 output channels:
 *   dense       (panels of a group follow each other)  s16 [n_runs][pairs][16 channels][2 consecutive k]
 *   depthwise                                          s16 [pairs of taps][16 channels][2 taps]
 * Missing channels, the second half of an odd run and of the last odd tap are zero weights; what they multiply is read,
 * but does not matter. */
#ifndef NB_KERNELS_ICONV_ISA_H
#define NB_KERNELS_ICONV_ISA_H

#include "kernels/iconv.h"
#include "kernels/ipool.h"

enum { NB_ICONV_LANES = 16, NB_ICONV_SLACK = 32 }; /* channels per panel; s16 values readable behind the padded image */

typedef struct {        /* one panel: its channels of n output pixels */
    int32_t *acc;       /* first pixel, first channel of the panel */
    int64_t acc_stride; /* elements from pixel to pixel */
    const int16_t *x;   /* padded image, first channel of the group (depthwise: of the panel) */
    const int32_t *px;  /* [n] offsets of the pixels' windows */
    int32_t n;
    const int32_t *runs; /* dense: [n_runs] offsets of runs in the window; depthwise: [2 * pairs] offsets of taps */
    int32_t n_runs, pairs;
    const int16_t *panel;
    int32_t lanes; /* channels to store, 1..16 */
} nb_iconv_job;

typedef struct {
    const char *name;
    uint32_t needs; /* NB_CPU_... bits */
    void (*widen)(int16_t *to, const uint8_t *from, int32_t is_signed, int64_t n);
    void (*dense)(const nb_iconv_job *j);
    void (*depthwise)(const nb_iconv_job *j);
    void (*requantize)(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c);
    void (*add)(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_iadd *p); /* nb_k_add_codes */
} nb_iconv_isa;

#define ICONV(name, needs) extern const nb_iconv_isa nb_iconv_##name;
#include "kernels/iconv.def"
#undef ICONV

extern const nb_iconv_isa *const nb_iconv_isas[]; /* all that were compiled, best last, ends with NULL */
const nb_iconv_isa *nb_iconv_best(void);          /* the one used here: last whose needs are met */

/* nb_iconv_load and nb_iconv_pixels on a given variant. */
void nb_iconv_load_on(const nb_iconv_isa *isa, void *scratch, const void *x, int32_t x_signed, int32_t zero,
                      const nb_geom *g);
void nb_iconv_pixels_on(const nb_iconv_isa *isa, int32_t *acc, int32_t first, int32_t n, const void *packed,
                        const nb_geom *g, const void *scratch);

#endif
