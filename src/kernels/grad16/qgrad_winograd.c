/* qgrad_winograd.c - 16-bit gradients of 3x3 convolutions with stride 1 by Winograd's F(2x2, 3x3) and F(3x3, 2x2)
 * (Lavin and Gray, arXiv:1509.09308), in integers and exact: 16 multiplications instead of 36.
 *
 * dx   is a convolution of dy's codes d with the filter turned around, g: tiles of 2x2 pixels are A'(GgG' * B'dB)A,
 * dw   a correlation of the input's codes x with d: 3x3 weights per tile of 2x2 pixels are C'(GdG' * B'xB)C, with
 *      B' = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1], A' = [1 1 1 0; 0 1 -1 -1], C' = [1 1 1 0; 0 1 -1 0; 0 1 1 -1],
 *      G = [2 0 0; 1 1 1; 1 -1 1; 0 0 2] of a filter, [2 0; 1 1; 1 -1; 0 2] of a tile of d.
 * G usually has halves of these, so results are 4 times what they should be; the caller's scale takes that off. Points
 * of d are sums of up to four codes, so codes are at most 8191 (32767 elsewhere); points of x are at most 4 * 255,
 * those of w 9 * 128. Sums are modulo 2^32, and right where the result, 4 times a sum of dx or dw, is below 2^31: Q
 * sees to the one, and 8191 * 255 * 256 pixels * 4 < 2^31 to the other.
 *
 * The same codes by rows (qgrad.c) give the same sums, in the same blocks, so variants may choose.
 * Panels: [c / 16][16 points][oc / 2][16 input channels][2 output channels]. */
#include "kernels/grad16/qgrad_winograd.h"

#include <nibble/extend/tensor.h>
#include <string.h>

enum {
    POINTS = 16,
    IN = 4,
    OUT = 2,
    BLOCK = 16 /* tiles of dx together: they stay in the nearest caches */
};

/* An odd number of cache lines, so that the 16 points of one place do not all fall into the same few sets. */
static int64_t plane_of(int64_t values)
{
    return ((values * 2 + 63) / 64 | 1) * 32;
}

bool nb_qgrad_winograd_fits(const nb_geom *g)
{
    return g->kh == 3 && g->kw == 3 && g->stride.h == 1 && g->stride.w == 1 && g->dilation.h == 1 &&
           g->dilation.w == 1 && g->groups == 1 && g->pad.top <= 2 && g->pad.left <= 2 && g->pad.bottom <= 2 &&
           g->pad.right <= 2 && g->c % NB_PANEL == 0 && g->oc % NB_PANEL == 0 && g->oh >= 4 && g->ow >= 4 &&
           g->ow <= NB_QGRAD_BLOCK / OUT && (int64_t)g->c * g->oc <= 1 << 22;
}

int32_t nb_qgrad_winograd_rows(const nb_geom *g)
{
    return NB_QGRAD_BLOCK / g->ow / OUT * OUT;
}

size_t nb_qgrad_winograd_panel_bytes(const nb_geom *g)
{
    return nb_round64((size_t)POINTS * (size_t)g->c * (size_t)g->oc * sizeof(int16_t));
}

/* ---- layouts of the scratch, one per pass; without mem only sizes ----
 *
 * Codes of a padded row of pixels, in either: [channels / 16][even columns, odd columns][16]. */

typedef struct {
    int32_t down, across, band, tiles; /* tiles; rows of tiles computed together, and tiles in them */
    int32_t columns;                   /* even ones; odd ones are as many */
    int64_t row;                       /* of codes */
    int64_t v_plane, m_plane;
    int16_t *codes, *v; /* v: [16 points][oc / 16][tiles][16] */
    int32_t *m;         /* [16 points][tiles][16] */
} dx_layout;

static size_t dx_layout_of(dx_layout *l, const nb_geom *g, char *mem)
{
    *l = (dx_layout){.down = (g->h + 1) / OUT, .across = (g->w + 1) / OUT};
    l->band = BLOCK / l->across < 1 ? 1 : BLOCK / l->across < l->down ? BLOCK / l->across : l->down;
    l->tiles = l->band * l->across;
    l->columns = l->across + 1;
    l->row = (int64_t)2 * l->columns * g->oc;
    l->v_plane = plane_of((int64_t)l->tiles * g->oc + NB_PANEL);
    l->m_plane = plane_of((int64_t)l->tiles * NB_PANEL * 2) / 2;
    const size_t codes = nb_round64(((size_t)(l->down * OUT + 2) * (size_t)l->row + NB_PANEL) * sizeof(int16_t));
    const size_t v = (size_t)(POINTS * l->v_plane) * sizeof(int16_t);
    if (mem) {
        l->codes = (int16_t *)(void *)mem;
        l->v = (int16_t *)(void *)(mem + codes);
        l->m = (int32_t *)(void *)(mem + codes + v);
    }
    return codes + v + nb_round64((size_t)(POINTS * l->m_plane) * sizeof(int32_t));
}

typedef struct {
    int32_t across, rows, pairs; /* tiles beside each other, an even number; rows of pixels of a block; pairs in it */
    int32_t columns;             /* even ones */
    int64_t row;                 /* of codes of the input */
    int64_t plane;
    int16_t *x, *x_points, *dy_points; /* x: a block's rows; points: [channels / 16][16 points][pairs][16][2] */
} dw_layout;

static size_t dw_layout_of(dw_layout *l, const nb_geom *g, char *mem)
{
    const int32_t most = nb_qgrad_winograd_rows(g), even = (g->oh + 1) / OUT * OUT;
    *l = (dw_layout){.across = (g->ow + 2 * OUT - 1) / (2 * OUT) * 2, .rows = most < even ? most : even};
    l->pairs = l->rows / OUT * l->across / 2;
    l->columns = l->across + 1;
    l->row = (int64_t)2 * l->columns * g->c;
    l->plane = plane_of((int64_t)l->pairs * 2 * NB_PANEL);
    const size_t x = nb_round64((size_t)(l->rows + 2) * (size_t)l->row * sizeof(int16_t));
    const size_t x_points = (size_t)(g->c / NB_PANEL * POINTS * l->plane) * sizeof(int16_t);
    if (mem) {
        l->x = (int16_t *)(void *)mem;
        l->x_points = (int16_t *)(void *)(mem + x);
        l->dy_points = (int16_t *)(void *)(mem + x + x_points);
    }
    return x + x_points + (size_t)(g->oc / NB_PANEL * POINTS * l->plane) * sizeof(int16_t);
}

size_t nb_qgrad_winograd_scratch_bytes(const nb_geom *g)
{
    dx_layout dx;
    dw_layout dw;
    const size_t a = dx_layout_of(&dx, g, NULL), b = dw_layout_of(&dw, g, NULL);
    return a > b ? a : b;
}

/* ---- panels ---- */

/* Three values to four points, of 16 channels. */
static void expand(int16_t to[IN][NB_PANEL], int16_t from[3][NB_PANEL])
{
    for (int32_t i = 0; i < NB_PANEL; i++) {
        const int32_t a = from[0][i], b = from[1][i], c = from[2][i];
        to[0][i] = (int16_t)(2 * a);
        to[1][i] = (int16_t)(a + b + c);
        to[2][i] = (int16_t)(a - b + c);
        to[3][i] = (int16_t)(2 * c);
    }
}

/* The points of one output channel's filter for 16 input channels; w: its first position, positions are c apart. */
static void transform_filter(int16_t points[POINTS][NB_PANEL], const int8_t *w, ptrdiff_t c)
{
    int16_t row[3][NB_PANEL], rows[3][IN][NB_PANEL], column[3][NB_PANEL], to[IN][NB_PANEL];
    for (int32_t i = 0; i < 3; i++) {
        for (int32_t j = 0; j < 3; j++) /* turned around */
            for (int32_t k = 0; k < NB_PANEL; k++)
                row[j][k] = w[((2 - i) * 3 + 2 - j) * c + k];
        expand(rows[i], row);
    }
    for (int32_t j = 0; j < IN; j++) {
        for (int32_t i = 0; i < 3; i++)
            memcpy(column[i], rows[i][j], sizeof column[i]);
        expand(to, column);
        for (int32_t i = 0; i < IN; i++)
            memcpy(points[i * IN + j], to[i], sizeof to[i]);
    }
}

static void interleave(int16_t *restrict u, const int16_t *restrict a, const int16_t *restrict b)
{
    for (int32_t i = 0; i < NB_PANEL; i++) {
        u[2 * i] = a[i];
        u[2 * i + 1] = b[i];
    }
}

void nb_qgrad_winograd_pack(int16_t *u, const int8_t *w, const nb_geom *g, int32_t part)
{
    const int64_t plane = (int64_t)NB_PANEL * g->oc, filter = (int64_t)9 * g->c;
    int16_t points[2][POINTS][NB_PANEL];
    u += part * POINTS * plane;
    w += (ptrdiff_t)part * NB_PANEL;
    for (int32_t o = 0; o < g->oc; o += 2) {
        transform_filter(points[0], w + o * filter, g->c);
        transform_filter(points[1], w + (o + 1) * filter, g->c);
        for (int32_t k = 0; k < POINTS; k++)
            interleave(u + k * plane + (ptrdiff_t)o * NB_PANEL, points[0][k], points[1][k]);
    }
}

/* ---- padded codes ---- */

/* Zeros in columns from..to - 1 of a group of 16 channels. */
static void clear_columns(int16_t *group, int32_t columns, int32_t from, int32_t to)
{
    for (int32_t x = from; x < to; x++)
        memset(group + (x % 2 * columns + x / 2) * NB_PANEL, 0, NB_PANEL * sizeof *group);
}

/* One row of dy's codes. dx at a pixel sees those from pixel + pad - 2 to pixel + pad. */
static void pad_row(const nb_qgrad_isa *isa, const nb_geom *g, const nb_qgrad_dx *p, const dx_layout *l, int32_t y)
{
    int16_t *to = l->codes + y * l->row;
    const int32_t left = 2 - g->pad.left, from = y - (2 - g->pad.top);
    if (from < 0 || from >= g->oh) {
        memset(to, 0, (size_t)l->row * sizeof *to);
        return;
    }
    const float *dy = p->dy + (int64_t)from * g->ow * g->oc;
    for (int32_t o = 0; o < g->oc; o += NB_PANEL, to += (int64_t)2 * l->columns * NB_PANEL) {
        clear_columns(to, l->columns, 0, left);
        clear_columns(to, l->columns, left + g->ow, 2 * l->columns);
        for (int32_t i = 0; i < 2; i++) { /* pixels i, i + 2, ... */
            const int32_t x = left + i;
            isa->winograd->round_codes(to + (x % 2 * l->columns + x / 2) * NB_PANEL, dy + (int64_t)i * g->oc + o,
                                       2 * g->oc, p->w_scale + o, p->times, (g->ow - i + 1) / 2);
        }
    }
}

/* One row of the input's codes, less their zero point. */
static void widen_row(const nb_qgrad_isa *isa, const nb_geom *g, const nb_fconv_image *x, const dw_layout *l,
                      int16_t *to, int32_t y)
{
    const int32_t left = g->pad.left, from = y - g->pad.top, room = 2 * l->columns - left;
    const int32_t used = room < g->w ? room : g->w;
    if (from < 0 || from >= g->h) {
        memset(to, 0, (size_t)l->row * sizeof *to);
        return;
    }
    const uint8_t *codes = (const uint8_t *)x->data + (int64_t)from * g->w * g->c;
    for (int32_t c = 0; c < g->c; c += NB_PANEL, to += (int64_t)2 * l->columns * NB_PANEL) {
        clear_columns(to, l->columns, 0, left);
        clear_columns(to, l->columns, left + used, 2 * l->columns);
        for (int32_t i = 0; i < 2; i++) {
            const int32_t at = left + i;
            isa->winograd->widen(to + (at % 2 * l->columns + at / 2) * NB_PANEL, codes + (int64_t)i * g->c + c,
                                 2 * g->c, x, (used - i + 1) / 2);
        }
    }
}

/* ---- gradient of the input ---- */

/* The points of `rows` rows of tiles from row y on. */
static void transform_band(const nb_qgrad_winograd *f, const nb_geom *g, const dx_layout *l, int32_t y, int32_t rows)
{
    nb_qtile_row r = {.row = l->row, .odd = (int64_t)l->columns * NB_PANEL};
    for (int32_t o = 0; o < g->oc; o += NB_PANEL)
        for (int32_t i = 0; i < rows; i++) {
            r.codes = l->codes + (y + i) * OUT * l->row + (int64_t)2 * l->columns * o;
            f->input(l->v + (int64_t)l->tiles * o + (int64_t)i * l->across * NB_PANEL, l->v_plane, &r, l->across);
        }
}

static int32_t at_most(int32_t n, int32_t limit)
{
    return n < limit ? n : limit;
}

/* Share k of POINTS of the pixels that will be written, 16 channels: they come from memory while products are made. */
static void fetch(const float *dx, int32_t c, int32_t pixels, int32_t k)
{
    const int32_t share = (pixels + POINTS - 1) / POINTS, end = at_most((k + 1) * share, pixels);
    for (int32_t i = k * share; i < end; i++)
        __builtin_prefetch(dx + (int64_t)i * c, 1);
}

/* 16 channels of `rows` rows of tiles from row y on; u: their panel. */
static void finish_band(const nb_qgrad_winograd *f, const nb_geom *g, const nb_qgrad_dx *p, const dx_layout *l,
                        const int16_t *u, int32_t c, int32_t y, int32_t rows)
{
    const int64_t row = (int64_t)g->w * g->c;
    const int32_t pixels = at_most(rows * OUT, g->h - y * OUT) * g->w;
    nb_qtile t = {.dx = p->dx + (int64_t)y * OUT * row + c,
                  .row = row,
                  .c = g->c,
                  .cols = g->w,
                  .scale = p->scale / NB_QGRAD_TILE_GAIN,
                  .add = p->add};
    for (int32_t k = 0; k < POINTS; k++, u += (int64_t)NB_PANEL * g->oc) {
        fetch(t.dx, g->c, pixels, k);
        f->multiply(l->m + k * l->m_plane, l->v + k * l->v_plane, (int64_t)l->tiles * NB_PANEL, u, g->oc / NB_PANEL,
                    rows * l->across);
    }
    for (int32_t i = 0; i < rows; i++, t.dx += OUT * row) {
        t.rows = at_most(OUT, g->h - (y + i) * OUT);
        f->output(&t, l->m + (int64_t)i * l->across * NB_PANEL, l->m_plane);
    }
}

void nb_qgrad_winograd_input(const nb_qgrad_isa *isa, const nb_geom *g, const nb_qgrad_dx *p, const int16_t *u,
                             void *scratch)
{
    dx_layout l;
    dx_layout_of(&l, g, scratch);
    const int64_t panel = (int64_t)POINTS * NB_PANEL * g->oc;
    for (int32_t y = 0, padded = 0; y < l.down; y += l.band) {
        const int32_t rows = at_most(l.band, l.down - y);
        for (; padded < (y + rows) * OUT + 2; padded++)
            pad_row(isa, g, p, &l, padded);
        transform_band(isa->winograd, g, &l, y, rows);
        for (int32_t c = 0; c < g->c; c += NB_PANEL)
            finish_band(isa->winograd, g, p, &l, u + c / NB_PANEL * panel, c, y, rows);
    }
}

/* ---- gradient of the weights ---- */

/* Points of dy of the row of tiles that begins with row y, the first pair at `at`. Pixels that are not there are 0. */
static void transform_dy(const nb_qgrad_winograd *f, const nb_geom *g, const nb_qgrad_dw *p, const dw_layout *l,
                         int32_t y, int64_t at)
{
    static const float none[NB_PANEL];
    const float *pixel[2 * OUT * OUT];
    for (int32_t x = 0; x < l->across * OUT; x += 2 * OUT, at += 2 * NB_PANEL)
        for (int32_t o = 0; o < g->oc; o += NB_PANEL) {
            for (int32_t k = 0; k < 2 * OUT * OUT; k++) {
                const int32_t py = y + k / OUT % OUT, px = x + k / (OUT * OUT) * OUT + k % OUT;
                pixel[k] = py < g->oh && px < g->ow ? p->dy + ((int64_t)py * g->ow + px) * g->oc + o : none;
            }
            f->pair_dy(l->dy_points + o / NB_PANEL * POINTS * l->plane + at, l->plane, pixel, p->times + o);
        }
}

/* All points of a block of `rows` rows of pixels, an even number, that begins with row y. */
static void transform_block(const nb_qgrad_isa *isa, const nb_geom *g, const nb_qgrad_dw *p, const dw_layout *l,
                            int32_t y, int32_t rows)
{
    nb_qtile_row r = {.row = l->row, .odd = (int64_t)l->columns * NB_PANEL};
    for (int32_t i = 0; i < rows + 2; i++)
        widen_row(isa, g, p->x, l, l->x + i * l->row, y + i);
    for (int32_t i = 0; i < rows; i += OUT) {
        const int64_t at = (int64_t)i / OUT * l->across * NB_PANEL;
        for (int32_t c = 0; c < g->c; c += NB_PANEL) {
            r.codes = l->x + i * l->row + (int64_t)2 * l->columns * c;
            isa->winograd->pair_x(l->x_points + c / NB_PANEL * POINTS * l->plane + at, l->plane, &r, l->across);
        }
        transform_dy(isa->winograd, g, p, l, y + i, at);
    }
}

void nb_qgrad_winograd_weight(const nb_qgrad_isa *isa, const nb_geom *g, const nb_qgrad_dw *p, void *scratch)
{
    dw_layout l;
    dw_layout_of(&l, g, scratch);
    for (int32_t y = 0; y < g->oh; y += l.rows) {
        const int32_t left = (g->oh - y + 1) / OUT * OUT, rows = left < l.rows ? left : l.rows;
        transform_block(isa, g, p, &l, y, rows);
        for (int32_t o = 0; o < g->oc; o += NB_PANEL)
            for (int32_t c = 0; c < g->c; c += NB_PANEL)
                isa->winograd->weights(p->slot + ((int64_t)o * 9 * g->c + (int64_t)c * NB_PANEL), g->c,
                                       l.x_points + c / NB_PANEL * POINTS * l.plane,
                                       l.dy_points + o / NB_PANEL * POINTS * l.plane, l.plane,
                                       rows / OUT * l.across / 2, p->scale + o);
    }
}
