/* iconv_isa.h - what a variant of the integer convolution provides; for iconv.c, its variants, their tests and
 * benchmarks.
 *
 * A new instruction set is one file that defines `const nb_iconv_isa nb_iconv_NAME` and one line in iconv.def. It lists
 * its methods for dense layers, most wanted first; the first whose `choose` accepts the layer is used, and when none
 * does, those of the next worse variant are asked (scalar accepts everything). A method names the form in which it
 * wants its operands and brings the kernel; layout, packing, padding, the padded image and blocking are done for it
 * (iconv_direct.c). Hooks that are NULL are taken from the next worse variant, too. So a variant with one good
 * multiplication is one kernel and a table.
 *
 * Forms of "rows times taps": the rows of the image that are needed are copied into a padded scratch; a kernel row (or
 * a tap, if channels are grouped or taps dilated) is then one contiguous run of values, so nothing is gathered, and a
 * tile of output pixels may cross the end of an image row. The weights of 16 output channels are one panel; panels of a
 * group follow each other, missing channels and taps are zero weights. What a zero weight multiplies may be read.
 *   NB_ICONV_S16    image: s16, codes as they are.   panel: s16 [n_runs][steps][16 channels][2 consecutive k]
 *   NB_ICONV_BYTES  image: bytes, code - base.       panel: s8  [n_runs][steps][16 channels][4 consecutive k]
 * One step of either is 64 bytes. base is the lowest code of the input for method.middle = 0 (multiplicands u8:
 * vpdpbusd, tdpbusd, usdot, vpmaddubsw) and lowest + 128 for middle = 128 (s8: sdot). Sums then begin with job.start =
 * base * sum(w), which undoes it; no caller sees the difference. All sums are modulo 2^32 (wrap, never saturate).
 *   depthwise       image: s16.                      panel: s16 [steps = pairs of taps][16 channels][2 taps]
 *   depthwise3      image: bytes, codes as they are. panel: s16 [5 pairs][16 channels][2 taps]
 * The latter is for windows of 3x3, strides of 1 and 2 and channels in eights. Its pairs are the upper two rows of each
 * column, the lowest row of columns 0 and 1, and nothing beside that of column 2.
 *
 * NB_ICONV_WINOGRAD is the exact integer Winograd transform of 3x3 (iconv_winograd.c): a quarter of the products, but
 * of 16 bits. It brings a function for four tiles instead of a dense kernel. Worth it where products of 16 bits
 * are not much slower than the best there is for bytes. */
#ifndef NB_KERNELS_ICONV_ISA_H
#define NB_KERNELS_ICONV_ISA_H

#include "kernels/integer/iconv.h"
#include "kernels/integer/ipair.h"
#include "kernels/variant.h"

enum { NB_ICONV_LANES = 16, NB_ICONV_SLACK = 64 }; /* channels per panel; bytes readable behind the padded image */

typedef enum { NB_ICONV_S16, NB_ICONV_BYTES, NB_ICONV_WINOGRAD } nb_iconv_form;

typedef struct {        /* n output pixels, all channels of one group */
    int32_t *acc;       /* first pixel, first channel of the group */
    int64_t acc_stride; /* elements from pixel to pixel */
    const void *x;      /* padded image, first channel of the group */
    const int32_t *px;  /* [n] offsets of the pixels' windows, in values */
    int32_t n;
    const int32_t *runs;   /* dense: [n_runs] offsets of runs in the window; depthwise: [2 * steps] offsets of taps */
    int32_t n_runs, steps; /* steps per run: pairs or quads of k */
    const void *panels;    /* 64-byte aligned */
    int32_t channels;      /* to store: (channels + 15) / 16 panels */
    uint8_t *codes;        /* instead of acc, or NULL; then dense layers have a multiple of 16 channels */
    const nb_irequant *q;  /* for codes: of the channels of the group, shifts at least NB_ICONV_LEAST_SHIFT */
    const int32_t *start;  /* NB_ICONV_BYTES: [16 * panels] what the sums begin with */
    int32_t burst;         /* what `choose` returned */
    int32_t is_signed;     /* depthwise3: codes are s8 */
} nb_iconv_job;

typedef struct { /* what is known of a layer when it is packed; proofs of exactness build on it */
    const nb_geom *geom;
    nb_icodes x;
    const int8_t
        *w; /* iconv_direct.h: what two taps, or all of a channel, may come to; a look at all weights, so only where
                        a method is exact or not by it */
} nb_iconv_facts;

enum { NB_ICONV_TILES = 4, NB_ICONV_LEAST_SHIFT = 33 };

typedef struct {                      /* four tiles of NB_ICONV_WINOGRAD, all channels; c and oc are multiples of 16 */
    const uint8_t *x[NB_ICONV_TILES]; /* 6x6 pixels of c codes each, `row` bytes apart */
    int64_t row;
    int32_t c, oc, is_signed;
    int32_t n;        /* tiles to store: the first of them */
    const int16_t *u; /* [oc / 16][6 columns][6 / at_once][c / 2][at_once rows][16 filters][2 consecutive c] */
    int16_t *v;       /* scratch: [c / 16][6 columns][6 rows][4 tiles][16] */
    /* 4x4 pixels of oc int32 sums or, through q, codes; rows `to_row` values apart. Shifts of q are at least
     * NB_ICONV_LEAST_SHIFT. */
    void *to[NB_ICONV_TILES];
    int64_t to_row[NB_ICONV_TILES];
    const nb_irequant *q; /* or NULL */
} nb_iconv_tiles;

typedef struct {
    void (*tiles)(const nb_iconv_tiles *t);
    int32_t at_once; /* 1, 2, 3 or 6 rows, in the order of u */
} nb_iconv_winograd;

typedef struct {
    const char *name;
    nb_iconv_form form;
    int32_t middle;                             /* NB_ICONV_BYTES: 0 or 128 */
    int32_t (*choose)(const nb_iconv_facts *f); /* 0: no; else passed on in job.burst. NULL: always 1 */
    void (*dense)(const nb_iconv_job *j);       /* NULL for NB_ICONV_WINOGRAD */
    bool gives_codes;                           /* heeds job.codes */
    bool reads_quads;                           /* and nothing behind the last of a run */
    const nb_iconv_winograd *winograd;          /* that alone */
} nb_iconv_method;

typedef struct {
    const nb_iconv_method *const *methods; /* ends with NULL */
    void (*widen)(int16_t *to, const uint8_t *from, int32_t is_signed, int64_t n);
    void (*depthwise)(const nb_iconv_job *j);
    void (*depthwise3)(const nb_iconv_job *j); /* NULL everywhere below as well: `depthwise` does it */
    bool depthwise3_gives_codes;               /* heeds job.codes, of any number of channels */
    void (*requantize)(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c);
    /* nb_k_pair_codes: sums, products */
    void (*add)(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p);
    void (*mul)(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p);
} nb_iconv_isa;

#define VARIANT(name, needs) extern const nb_iconv_isa nb_iconv_##name;
#include "kernels/integer/iconv.def"
#undef VARIANT

#ifdef NB_WITH_AVX2 /* the hooks of that name (icodes_avx2.c) */
void nb_icodes_requantize_avx2(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c);
void nb_icodes_add_avx2(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p);
void nb_icodes_mul_avx2(uint8_t *y, const uint8_t *a, const uint8_t *b, int64_t n, const nb_ipair *p);
#endif

#ifdef NB_WITH_VNNI
void nb_iconv_depthwise3_vnni(const nb_iconv_job *j);
#endif

extern const nb_variant nb_iconv_variants[]; /* kernels: nb_iconv_isa */
#define NB_ICONV_FUNCTION(v, function) NB_VARIANT_FUNCTION(nb_iconv_isa, nb_iconv_variants, v, function)

/* The functions of iconv.h on a given variant, and with a given method of it (NULL: as it chooses); a blob runs on the
 * variant that packed it. */
size_t nb_iconv_packed_bytes_on(const nb_variant *v, const nb_geom *g);
size_t nb_iconv_scratch_bytes_on(const nb_variant *v, const nb_geom *g);
void nb_iconv_pack_on(const nb_variant *v, const nb_iconv_method *method, void *packed, const int8_t *w, nb_icodes x,
                      const nb_geom *g);
/* False when the method does not compute this layer exactly (or at all). */
bool nb_iconv_accepts(const nb_iconv_method *method, const int8_t *w, nb_icodes x, const nb_geom *g);
void nb_iconv_requantize_on(const nb_variant *v, uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows,
                            int32_t c);
const nb_iconv_method *nb_iconv_method_of(const void *packed); /* NULL: depthwise */

/* Shifts below (a factor of 1/4 and more) are rare, and kernels that need not heed them are simpler. */
static inline bool nb_iconv_shifts_fit(const nb_irequant *q, int32_t c)
{
    int32_t least = NB_ICONV_LEAST_SHIFT;
    for (int32_t i = 0; i < c; i++)
        least = q->shift[i] < least ? q->shift[i] : least;
    return least == NB_ICONV_LEAST_SHIFT;
}

#endif
