/* qgrad_winograd_tile.h - the transforms and products of qgrad_winograd.c, once per instruction set: a variant's file
 * includes qgrad_tile.h, which wants the same macros, then this. No include guard.
 *
 * Rows and columns go through the same one-dimensional transform. 16-bit values of a row of tiles stand in groups of 16
 * channels, those of neighbouring tiles side by side, so that a vector of 512 bits holds two tiles; where the last is
 * not there, what is computed for it is never read. */
#include "kernels/grad16/qgrad_winograd.h"

enum { POINTS = 16, IN = 4, OUT = 2, LANES = 2 * V_WIDTH };

/* t = B'd, 16 bits. */
TILE_INLINE void to_points(V *t, const V *d)
{
    t[0] = V_SUB16(d[0], d[2]);
    t[1] = V_ADD16(d[1], d[2]);
    t[2] = V_SUB16(d[2], d[1]);
    t[3] = V_SUB16(d[1], d[3]);
}

/* t = Gd of two values. */
TILE_INLINE void expand(V *t, V a, V b)
{
    t[0] = V_ADD16(a, a);
    t[1] = V_ADD16(a, b);
    t[2] = V_SUB16(a, b);
    t[3] = V_ADD16(b, b);
}

/* Rows of products: sums[i] += values[0 .. 1] at x + i * apart times the panel's row w, for n rows; n, apart are
 * constants at every call. */
TILE_INLINE void pair_step(V (*sums)[WHOLE], const int16_t *x, const int32_t apart, const int16_t *w, const int n)
{
    V b[WHOLE];
    TILE_UNROLL
    for (int h = 0; h < WHOLE; h++)
        b[h] = V_LOAD(w + h * LANES);
    TILE_UNROLL
    for (int i = 0; i < n; i++) {
        int32_t pair;
        memcpy(&pair, x + i * apart, sizeof pair);
        const V a = V_SET1(pair);
        TILE_UNROLL
        for (int h = 0; h < WHOLE; h++)
            V_DOT(sums[i][h], a, b[h]);
    }
}

/* ---- gradient of the input ---- */

static void TILE_TARGET round_codes(int16_t *q, const float *x, int32_t stride, const float *a, float b, int32_t n)
{
    VF by[WHOLE];
    const VF times = VF_SET1(b);
    for (int h = 0; h < WHOLE; h++)
        by[h] = VF_LOAD(a + h * V_WIDTH);
    for (int32_t i = 0; i < n; i++, x += stride, q += NB_PANEL) {
        V code[WHOLE];
        for (int h = 0; h < WHOLE; h++)
            code[h] = V_ROUND(VF_MUL(VF_MUL(VF_LOAD(x + h * V_WIDTH), by[h]), times));
        V_STORE_CODES(q, code);
    }
}

TILE_TARGET static void input(int16_t *v, int64_t plane, const nb_qtile_row *r, int32_t tiles)
{
    const int16_t *from = r->codes;
    for (int32_t k = 0; k < tiles * NB_PANEL; k += LANES, v += LANES, from += LANES) {
        V t[IN][IN], d[IN], p[IN];
        for (int j = 0; j < IN; j++) {
            for (int i = 0; i < IN; i++)
                d[i] = V_LOAD(from + i * r->row + j % 2 * r->odd + j / 2 * NB_PANEL);
            to_points(p, d);
            for (int i = 0; i < IN; i++)
                t[i][j] = p[i];
        }
        for (int i = 0; i < IN; i++) {
            to_points(p, t[i]);
            for (int j = 0; j < IN; j++)
                V_STORE(v + (i * IN + j) * plane, p[j]);
        }
    }
}

/* n tiles of one point; blocks: groups of 16 channels, those of a tile `apart` values apart. */
TILE_INLINE void some_tiles(int32_t *m, const int16_t *v, int64_t apart, const int16_t *u, int32_t blocks, const int n)
{
    V sums[TILE_MOST][WHOLE];
    TILE_UNROLL
    for (int i = 0; i < n; i++)
        TILE_UNROLL
    for (int h = 0; h < WHOLE; h++)
        sums[i][h] = V_ZERO();
    for (int32_t b = 0; b < blocks; b++, v += apart)
        TILE_UNROLL
    for (int k = 0; k < NB_PANEL; k += 2, u += 2 * NB_PANEL)
        pair_step(sums, v + k, NB_PANEL, u, n);
    TILE_UNROLL
    for (int i = 0; i < n; i++)
        TILE_UNROLL
    for (int h = 0; h < WHOLE; h++)
        V_STORE(m + i * NB_PANEL + h * V_WIDTH, sums[i][h]);
}

typedef void tiles_fn(int32_t *m, const int16_t *v, int64_t apart, const int16_t *u, int32_t blocks);

#define MULTIPLY(n)                                                                                                    \
    TILE_TARGET static void multiply_##n(int32_t *m, const int16_t *v, int64_t apart, const int16_t *u,                \
                                         int32_t blocks)                                                               \
    {                                                                                                                  \
        some_tiles(m, v, apart, u, blocks, n <= TILE_MOST ? n : 1);                                                    \
    }
TILES(MULTIPLY)
MULTIPLY(9)
MULTIPLY(10)
MULTIPLY(11)
MULTIPLY(12)
MULTIPLY(13)
MULTIPLY(14)
MULTIPLY(15)
MULTIPLY(16)

static tiles_fn *const multiply_n[] = {NULL,        multiply_1,  multiply_2,  multiply_3,  multiply_4,  multiply_5,
                                       multiply_6,  multiply_7,  multiply_8,  multiply_9,  multiply_10, multiply_11,
                                       multiply_12, multiply_13, multiply_14, multiply_15, multiply_16};

/* Tiles in shares of nearly the same size. */
static void multiply(int32_t *m, const int16_t *v, int64_t apart, const int16_t *u, int32_t blocks, int32_t tiles)
{
    for (int32_t shares = (tiles + TILE_MOST - 1) / TILE_MOST; shares > 0; shares--) {
        const int32_t n = (tiles + shares - 1) / shares;
        multiply_n[n](m, v, apart, u, blocks);
        m += n * NB_PANEL;
        v += n * NB_PANEL;
        tiles -= n;
    }
}

/* y = A'm, modulo 2^32. */
TILE_INLINE void from_points(V *y, const V *m)
{
    y[0] = V_ADD(V_ADD(m[0], m[1]), m[2]);
    y[1] = V_SUB(V_SUB(m[1], m[2]), m[3]);
}

/* One tile; rows, cols and add are constants at every call but that for tiles on an edge. */
TILE_INLINE void output_tile(const nb_qtile *t, float *dx, const int32_t *m, int64_t plane, const int32_t rows,
                             const int32_t cols, const bool add)
{
    const VF scale = VF_SET1(t->scale);
    for (int h = 0; h < WHOLE; h++, dx += V_WIDTH, m += V_WIDTH) {
        V s[OUT][IN], d[IN], p[OUT];
        for (int j = 0; j < IN; j++) {
            for (int i = 0; i < IN; i++)
                d[i] = V_LOAD(m + (i * IN + j) * plane);
            from_points(p, d);
            s[0][j] = p[0];
            s[1][j] = p[1];
        }
        for (int i = 0; i < rows; i++) {
            from_points(p, s[i]);
            for (int j = 0; j < cols; j++) {
                float *to = dx + i * t->row + (int64_t)j * t->c;
                const VF y = VF_MUL(V_FLOAT(p[j]), scale);
                VF_STORE(to, add ? VF_ADD(VF_LOAD(to), y) : y);
            }
        }
    }
}

TILE_TARGET static void output(const nb_qtile *t, const int32_t *m, int64_t plane)
{
    float *dx = t->dx;
    for (int32_t x = 0; x < t->cols; x += OUT, m += NB_PANEL, dx += (ptrdiff_t)OUT * t->c) {
        const bool all = t->rows == OUT && t->cols - x >= OUT;
        if (all && t->add)
            output_tile(t, dx, m, plane, OUT, OUT, true);
        else if (all)
            output_tile(t, dx, m, plane, OUT, OUT, false);
        else
            output_tile(t, dx, m, plane, t->rows, t->cols - x < OUT ? t->cols - x : OUT, t->add);
    }
}

/* ---- gradient of the weights ---- */

/* Vectors of two neighbouring tiles: half the channels of a group where a register is no larger. */
TILE_TARGET static void pair_x(int16_t *v, int64_t plane, const nb_qtile_row *r, int32_t tiles)
{
    const int16_t *from = r->codes;
    for (int32_t k = 0; k < tiles; k += 2, from += (ptrdiff_t)2 * NB_PANEL)
        for (int h = 0; h < WHOLE; h++, v += LANES) {
            V t[IN][IN], d[IN], p[IN];
            for (int j = 0; j < IN; j++) {
                for (int i = 0; i < IN; i++)
                    d[i] = V_LOAD_TWO(from + i * r->row + j % 2 * r->odd + j / 2 * NB_PANEL, h);
                to_points(p, d);
                for (int i = 0; i < IN; i++)
                    t[i][j] = p[i];
            }
            for (int i = 0; i < IN; i++) {
                to_points(p, t[i]);
                for (int j = 0; j < IN; j++)
                    V_STORE(v + (i * IN + j) * plane, V_INTERLEAVE(p[j]));
            }
        }
}

/* Codes of pixels x and next, side by side. */
TILE_INLINE V code_pair(const float *x, const float *next, VF times)
{
    const V a = V_ROUND(VF_MUL(VF_LOAD(x), times)), b = V_ROUND(VF_MUL(VF_LOAD(next), times));
    return V_PAIR(a, b);
}

/* Two tiles' pixels: [tile][row][column]. */
TILE_TARGET static void pair_dy(int16_t *v, int64_t plane, const float *const *pixel, const float *times)
{
    for (int h = 0; h < WHOLE; h++) {
        const VF by = VF_LOAD(times + h * V_WIDTH);
        V t[OUT][IN], p[IN], d[OUT];
        for (int j = 0; j < OUT; j++) {
            for (int i = 0; i < OUT; i++)
                d[i] = code_pair(pixel[i * OUT + j] + h * V_WIDTH, pixel[(OUT + i) * OUT + j] + h * V_WIDTH, by);
            expand(t[j], d[0], d[1]);
        }
        for (int i = 0; i < IN; i++) {
            expand(p, t[0][i], t[1][i]);
            for (int j = 0; j < IN; j++)
                V_STORE(v + h * LANES + (i * IN + j) * plane, p[j]);
        }
    }
}

/* m [16, 16] of one point, some input channels at a time. */
TILE_INLINE void some_channels(int32_t *m, const int16_t *x, const int16_t *dy, int32_t n, const int rows)
{
    V sums[TILE_MOST][WHOLE];
    TILE_UNROLL
    for (int i = 0; i < rows; i++)
        TILE_UNROLL
    for (int h = 0; h < WHOLE; h++)
        sums[i][h] = V_ZERO();
    for (int32_t i = 0; i < n; i++, x += 2 * NB_PANEL, dy += 2 * NB_PANEL)
        pair_step(sums, x, 2, dy, rows);
    TILE_UNROLL
    for (int i = 0; i < rows; i++)
        TILE_UNROLL
    for (int h = 0; h < WHOLE; h++)
        V_STORE(m + i * NB_PANEL + h * V_WIDTH, sums[i][h]);
}

TILE_TARGET static void products(int32_t *m, const int16_t *x, const int16_t *dy, int32_t n)
{
    enum { MOST = TILE_MOST < NB_PANEL ? 4 : NB_PANEL };
    for (int c = 0; c < NB_PANEL; c += MOST)
        some_channels(m + (ptrdiff_t)c * NB_PANEL, x + 2 * (ptrdiff_t)c, dy, n, MOST);
}

/* y = C'm, modulo 2^32. */
TILE_INLINE void to_weights(V *y, const V *m)
{
    const V sum = V_ADD(m[1], m[2]);
    y[0] = V_ADD(m[0], sum);
    y[1] = V_SUB(m[1], m[2]);
    y[2] = V_SUB(sum, m[3]);
}

/* One input channel; m: points are 16 * 16 values apart. */
TILE_INLINE void weights_of(float *slot, int32_t c, const int32_t *m, VF scale)
{
    V t[3][IN], d[IN], p[3];
    for (int j = 0; j < IN; j++) {
        for (int i = 0; i < IN; i++)
            d[i] = V_LOAD(m + (ptrdiff_t)(i * IN + j) * NB_PANEL * NB_PANEL);
        to_weights(p, d);
        for (int i = 0; i < 3; i++)
            t[i][j] = p[i];
    }
    VF y[9]; /* stored when all are there: where c is 64, rows of slot are 4 KiB apart, and a load waits for such a store */
    for (int i = 0; i < 3; i++) {
        to_weights(p, t[i]);
        for (int j = 0; j < 3; j++)
            y[i * 3 + j] = VF_ADD(VF_LOAD(slot + (int64_t)(i * 3 + j) * c * NB_PANEL), VF_MUL(V_FLOAT(p[j]), scale));
    }
    for (int i = 0; i < 9; i++)
        VF_STORE(slot + (int64_t)i * c * NB_PANEL, y[i]);
}

TILE_TARGET static void weights(float *slot, int32_t c, const int16_t *x, const int16_t *dy, int64_t plane, int32_t n,
                                const float *scale)
{
    int32_t m[POINTS * NB_PANEL * NB_PANEL];
    for (int k = 0; k < POINTS; k++)
        products(m + (ptrdiff_t)k * NB_PANEL * NB_PANEL, x + k * plane, dy + k * plane, n);
    for (int h = 0; h < WHOLE; h++) {
        const VF times = VF_MUL(VF_LOAD(scale + h * V_WIDTH), VF_SET1(1.0f / NB_QGRAD_TILE_GAIN));
        for (int i = 0; i < NB_PANEL; i++)
            weights_of(slot + i * NB_PANEL + h * V_WIDTH, c, m + (ptrdiff_t)i * NB_PANEL + h * V_WIDTH, times);
    }
}

static const nb_qgrad_winograd winograd = {.round_codes = round_codes,
                                           .input = input,
                                           .multiply = multiply,
                                           .output = output,
                                           .widen = nb_qgrad_widen__avx2,
                                           .pair_x = pair_x,
                                           .pair_dy = pair_dy,
                                           .weights = weights};

/* A variant: its own products, and the conversions that all x86 levels share. */
#define QGRAD_TILE_ISA                                                                                                 \
    {                                                                                                                  \
        .winograd = &winograd, .rows = rows, .max = nb_qgrad_max__avx2, .codes = nb_qgrad_codes__avx2,                 \
        .pairs = nb_qgrad_pairs__avx2, .beside = nb_qgrad_beside__avx2                                                 \
    }
