/* qgrad_isa.h - what a variant of the 16-bit gradients provides, and the plan; for qgrad.c, its variants and their
 * tests. */
#ifndef NB_KERNELS_QGRAD_ISA_H
#define NB_KERNELS_QGRAD_ISA_H

#include "kernels/float/fconv_plan.h"
#include "kernels/grad16/qgrad.h"

enum {
    NB_QGRAD_MAX = 32767, /* largest code */
    NB_QGRAD_BLOCK = 256, /* pixels of a sum for dw: 32767 * 255 * 256 < 2^31; its operands fit the first-level cache */
    NB_QGRAD_INF = 0x7f800000 /* bits of |v| from here on are infinity or NaN */
};

/* One panel of at most NB_PANEL columns of "rows times pairs", all products and sums in 32 bits and exact:
 *   acc[i][j] = sum over s of in[row_off[i] + sum_off[s] + k] * b[(s * NB_PANEL + j) * 2 + k], k = 0, 1
 *   out[out_off[i] + j] = or += scale[j] * acc[i][j]
 * Offsets count s16 values. scale: NB_PANEL floats are read, as are all of b's columns; n_cols are written. */
typedef struct {
    float *out;
    const int16_t *in, *b;
    const float *scale;
    const int32_t *out_off, *row_off, *sum_off;
    int32_t n_rows, n_sum, n_cols;
    bool add;
} nb_qrows;

typedef struct { /* one pass over an image for dx, see qgrad_winograd.h */
    float *dx;
    bool add;
    const float *dy, *w_scale; /* [oh, ow, oc], [oc] */
    float times, scale;
} nb_qgrad_dx;

typedef struct { /* and for dw */
    float *slot;
    const nb_fconv_image *x;         /* codes */
    const float *dy, *times, *scale; /* [oh, ow, oc], [oc] both */
} nb_qgrad_dw;

/* What a row of tiles reads, of one group of 16 channels: columns 0, 2, 4, ... of padded codes, 16 values each, `odd`
 * values further columns 1, 3, ...; rows of pixels are `row` values apart. */
typedef struct {
    const int16_t *codes;
    int64_t row, odd;
} nb_qtile_row;

typedef struct
{ /* where sums of a row of tiles of dx go, 16 channels of pixels in two rows, or what of them is there */
    float *dx;
    int64_t row; /* floats from row to row */
    int32_t c, rows, cols;
    float scale; /* of sums NB_QGRAD_TILE_GAIN times too large, its share included */
    bool add;
} nb_qtile;

/* Winograd's transforms for tiles of 2x2 pixels (qgrad_winograd.c). 16 points; those of a place are `plane` values
 * apart. Channels come in groups of 16. Up to one tile more than asked for may be read and written. */
typedef struct {
    /* [n][16] codes of pixels `stride` floats apart, as `codes` makes them. */
    void (*round_codes)(int16_t *q, const float *x, int32_t stride, const float *a, float b, int32_t n);
    /* dx: 4x4 codes of dy's of each tile to v, [tiles][16] per point. */
    void (*input)(int16_t *v, int64_t plane, const nb_qtile_row *r, int32_t tiles);
    /* One point: m [tiles][16] = v [blocks][tiles][16] times u [blocks][8][16][2], modulo 2^32; blocks of v are `apart`
     * values apart. */
    void (*multiply)(int32_t *m, const int16_t *v, int64_t apart, const int16_t *u, int32_t blocks, int32_t tiles);
    void (*output)(const nb_qtile *t, const int32_t *m, int64_t plane);
    /* dw: points of two tiles side by side, [pairs of tiles][16][2] per point: of 4x4 input codes of each tile, and of
     * 2x2 pixels of dy's, [tile][row][column], rounded as by `codes`. tiles: even. */
    void (*widen)(int16_t *to, const uint8_t *x, int32_t stride, const nb_fconv_image *like, int32_t n);
    void (*pair_x)(int16_t *v, int64_t plane, const nb_qtile_row *r, int32_t tiles);
    void (*pair_dy)(int16_t *v, int64_t plane, const float *const *pixel, const float *times);
    /* slot, rows of 16 floats per input channel, kernel positions c rows apart, += scale / NB_QGRAD_TILE_GAIN * the sum
     * over n pairs for 16 input times 16 output channels. */
    void (*weights)(float *slot, int32_t c, const int16_t *x, const int16_t *dy, int64_t plane, int32_t n,
                    const float *scale);
} nb_qgrad_winograd;

typedef struct {
    const nb_qgrad_winograd *winograd; /* NULL: `rows` is as fast */
    void (*rows)(const nb_qrows *r);
    /* max[j] = max(max[j], bits of |x[i][j]|), i < rows, j < c: as numbers, NaN above infinity above the rest. */
    void (*max)(int32_t *max, const float *x, int64_t rows, int32_t c);
    /* q[i][j] = round_half_even(x[i][j] * a[j] * b), in this order; the results must fit. */
    void (*codes)(int16_t *q, const float *x, const float *a, float b, int64_t rows, int32_t c);
    /* q[i / 2][j][i % 2] = round_half_even(x[i * stride + j] * a[j]) for i < n, j < cols <= NB_PANEL; zeros up to
     * NB_PANEL columns and to an even n. */
    void (*pairs)(int16_t *q, const float *x, const float *a, int32_t n, int32_t stride, int32_t cols);
    /* q[i] = a[i], b[i] for i < n: codes of the kind of `like`, less its zero point. */
    void (*beside)(int16_t *q, const uint8_t *a, const uint8_t *b, int64_t n, const nb_fconv_image *like);
} nb_qgrad_isa;

#define VARIANT(name, needs) extern const nb_qgrad_isa nb_qgrad_##name;
#include "kernels/grad16/qgrad.def"
#undef VARIANT

#ifdef NB_WITH_AVX2 /* sweeps wait for memory: one form serves all x86 variants */
void nb_qgrad_max__avx2(int32_t *max, const float *x, int64_t rows, int32_t c);
void nb_qgrad_codes__avx2(int16_t *q, const float *x, const float *a, float b, int64_t rows, int32_t c);
void nb_qgrad_pairs__avx2(int16_t *q, const float *x, const float *a, int32_t n, int32_t stride, int32_t cols);
void nb_qgrad_beside__avx2(int16_t *q, const uint8_t *a, const uint8_t *b, int64_t n, const nb_fconv_image *like);
void nb_qgrad_widen__avx2(int16_t *to, const uint8_t *x, int32_t stride, const nb_fconv_image *like, int32_t n);
#endif

extern const nb_variant nb_qgrad_variants[]; /* kernels: nb_qgrad_isa */

struct nb_qgrad_plan {
    const nb_fconv_plan *f;
    const nb_qgrad_isa *isa; /* chosen once; tests put others here */
    int32_t depth_pairs;     /* pairs of output channels of a group, the last one may be half */
    int32_t row_pairs;       /* pairs of pixels of an output row, likewise */
    bool tiles;              /* nb_qgrad_winograd_fits: smaller codes, blocks of whole rows */
    int32_t block;           /* pairs of pixels of a sum for dw */
    int32_t *tap_off;        /* [n_taps] in the paired image */
    int32_t *pair_off;       /* [oh * row_pairs] in the paired image */
    int32_t *dy_off;         /* [kh * kw * depth_pairs] in the padded gradient, phase by phase */
};

#endif
