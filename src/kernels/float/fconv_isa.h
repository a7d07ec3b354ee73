/* fconv_isa.h - what a variant of the float convolution provides; for fconv.c and fdepth.c, the variants and tests. */
#ifndef NB_KERNELS_FCONV_ISA_H
#define NB_KERNELS_FCONV_ISA_H

#include "kernels/variant.h"

enum { NB_PANEL = 16 }; /* columns of a weight panel: two AVX2 vectors, one of AVX-512, four of NEON */

/* One block of at most NB_PANEL columns of "rows times taps":
 *   dense:  out[out_off[i] + j] (+)= bias[j] + sum over s of in[row_off[i] + sum_off[s]]     * b[s * ldb + j]
 *   depth:  out[out_off[i] + j] (+)= bias[j] + sum over s of in[row_off[i] + sum_off[s] + j] * b[s * ldb + j]
 * Forward: rows are output pixels, the sum runs over taps. Weight gradient: rows are taps, the sum runs over pixels.
 * NB_PANEL floats are read at every row of b, and by depth also of `in`, whatever n_cols is; only n_cols are written.
 * The sum is taken in the order of s, starting from bias, so a row's value does not depend on its neighbours. */
typedef struct {
    float *out;
    const float *in, *b, *bias; /* bias may be NULL */
    const int32_t *out_off, *row_off, *sum_off;
    int32_t n_rows, n_sum, n_cols, ldb;
    bool add; /* += instead of = */
} nb_frows;

/* One row of a depthwise 3x3 convolution whose image has a border of one zero, channels innermost everywhere:
 *   depth3:        out[x][j] (+)= bias[j] + sum over k, t of in[k][x * stride + t - 1][j] * w[k][t * ldw + j]
 *   depth3_spread: out[x][j] (+)= bias[j] + sum over k, t of in[k][(x + 1 - t) / 2][j] * w[k][t * ldw + j], where that
 *                  is whole: the gradient of stride 2
 * Rows outside the image are not listed in `in`, columns outside are not read. w is padded to NB_PANEL channels. Sums
 * start from the bias and go on by k, then by ascending pixel, so a pixel's value does not depend on its place. */
typedef struct {
    float *out;         /* [n_out][c] */
    const float *in[3]; /* [n_in][c] each */
    const float *w[3];
    const float *bias; /* may be NULL */
    ptrdiff_t ldw;
    int32_t n_rows, n_in, n_out, c, stride;
    uintptr_t in_ahead, out_ahead; /* addresses that will be read and written soon: a hint, nothing need be there */
    bool add;                      /* += instead of = */
} nb_fdepth_row;

/* Rows of the weight gradient: out[(3k + t) * ldw + j] += sum over y, x of dy[y][x][j] * in[y * stride + k][x * stride
 * + t - 1][j], in the order of y and x. out is padded to NB_PANEL channels; what it holds beyond c is not defined. */
typedef struct {
    float *out;
    const float *const *in; /* rows [n_in][c], NULL outside the image */
    const float *dy;        /* [n_rows][n_out][c] */
    ptrdiff_t ldw;
    int32_t n_rows, n_in, n_out, c, stride;
    uintptr_t in_ahead, dy_ahead; /* as above */
} nb_fdepth_sums;

/* One row of Winograd's tiles (fwino.h) between an image and its 16 planes of coefficients. */
typedef struct {
    float *out;
    const float *in, *bias;    /* bias: NB_PANEL floats that a result starts with */
    ptrdiff_t line, pixel;     /* floats between rows and pixels of the image */
    ptrdiff_t plane, tile;     /* floats between planes, and between tiles of one */
    int32_t n_tiles, channels; /* channels: a multiple of NB_PANEL, all of which are read and written */
    bool add;                  /* a result: += instead of = */
} nb_fwino_row;

/* In each of the 16 planes: out[row][j] (+)= sum over s of in[row * in_row + s * in_sum] * b[s][j], NB_PANEL columns. */
typedef struct {
    float *out;
    const float *in, *b;
    ptrdiff_t out_plane, in_plane, b_plane; /* floats between planes */
    ptrdiff_t in_row, in_sum;
    int32_t n_rows, n_sum;
    bool add; /* += instead of = */
} nb_fwino_product;

typedef struct {
    void (*dense)(const nb_frows *r);
    void (*depth)(const nb_frows *r);
    void (*depth3)(const nb_fdepth_row *r);
    void (*depth3_spread)(const nb_fdepth_row *r);
    void (*depth3_weights)(const nb_fdepth_sums *r);
    /* Winograd's tiles; a variant has all of them or none. */
    void (*wino_image)(const nb_fwino_row *r);    /* 4x4 pixels, at steps of 2, to coefficients: all channels */
    void (*wino_gradient)(const nb_fwino_row *r); /* 2x2 pixels to coefficients: all channels */
    void (*wino_result)(const nb_fwino_row *r);   /* sums to 2x2 pixels: NB_PANEL channels */
    void (*wino_product)(const nb_fwino_product *p);
    int32_t width; /* floats of its registers: how wide a BLAS must be to be of use */
} nb_fconv_isa;

#define VARIANT(name, needs) extern const nb_fconv_isa nb_fconv_##name;
#include "kernels/float/fconv.def"
#undef VARIANT

extern const nb_variant nb_fconv_variants[]; /* kernels: nb_fconv_isa, all of it */

#endif
