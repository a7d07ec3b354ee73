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
 * Panels: [16 points][c / 16][oc / 2][16 input channels][2 output channels]. */
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

/* ---- layouts of the scratch, one per pass; without mem only sizes ---- */

typedef struct {
    int32_t down, across, band; /* tiles; rows of tiles computed together */
    int64_t row;                /* of the image of codes, which has a border of zeros and whole tiles */
    int64_t v_plane, m_plane;
    int16_t *codes, *v;
    int32_t *m;
} dx_layout;

static size_t dx_layout_of(dx_layout *l, const nb_geom *g, char *mem)
{
    *l = (dx_layout){.down = (g->h + 1) / OUT, .across = (g->w + 1) / OUT};
    l->band = BLOCK / l->across < 1 ? 1 : BLOCK / l->across < l->down ? BLOCK / l->across : l->down;
    l->row = (int64_t)(l->across * OUT + 2) * g->oc;
    l->v_plane = plane_of((int64_t)l->band * l->across * g->oc);
    l->m_plane = plane_of((int64_t)l->band * l->across * g->c * 2) / 2;
    const size_t codes = nb_round64((size_t)(l->down * OUT + 2) * (size_t)l->row * sizeof(int16_t));
    const size_t v = (size_t)(POINTS * l->v_plane) * sizeof(int16_t);
    if (mem) {
        l->codes = (int16_t *)(void *)mem;
        l->v = (int16_t *)(void *)(mem + codes);
        l->m = (int32_t *)(void *)(mem + codes + v);
    }
    return codes + v + nb_round64((size_t)(POINTS * l->m_plane) * sizeof(int32_t));
}

typedef struct {
    int32_t across, rows, pairs; /* tiles beside each other; rows of pixels of a block; pairs of tiles in it */
    int64_t x_row, dy_row;       /* of the padded input, and of dy's codes in whole tiles */
    int64_t plane;
    uint8_t *x;
    int16_t *dy, *x_points, *dy_points; /* points: [channels / 16][16 points][pairs][16][2] */
} dw_layout;

static size_t dw_layout_of(dw_layout *l, const nb_geom *g, char *mem)
{
    const int32_t most = nb_qgrad_winograd_rows(g), even = (g->oh + 1) / OUT * OUT;
    *l = (dw_layout){.across = (g->ow + 1) / OUT, .rows = most < even ? most : even};
    l->pairs = (l->rows / OUT * l->across + 1) / 2;
    l->x_row = (int64_t)(l->across * OUT + 2) * g->c;
    l->dy_row = (int64_t)l->across * OUT * g->oc;
    l->plane = plane_of((int64_t)l->pairs * 2 * NB_PANEL);
    const size_t x = nb_round64((size_t)(even + 2) * (size_t)l->x_row);
    const size_t dy = nb_round64((size_t)l->rows * (size_t)l->dy_row * sizeof(int16_t));
    const size_t x_points = (size_t)(g->c / NB_PANEL * POINTS * l->plane) * sizeof(int16_t);
    if (mem) {
        l->x = (uint8_t *)mem;
        l->dy = (int16_t *)(void *)(mem + x);
        l->x_points = (int16_t *)(void *)(mem + x + dy);
        l->dy_points = (int16_t *)(void *)(mem + x + dy + x_points);
    }
    return x + dy + x_points + (size_t)(g->oc / NB_PANEL * POINTS * l->plane) * sizeof(int16_t);
}

size_t nb_qgrad_winograd_scratch_bytes(const nb_geom *g)
{
    dx_layout dx;
    dw_layout dw;
    const size_t a = dx_layout_of(&dx, g, NULL), b = dw_layout_of(&dw, g, NULL);
    return a > b ? a : b;
}

/* ---- panels ---- */

/* Three values to four points. */
static void expand(int32_t to[IN], int32_t a, int32_t b, int32_t c)
{
    to[0] = 2 * a;
    to[1] = a + b + c;
    to[2] = a - b + c;
    to[3] = 2 * c;
}

/* One input and one output channel, to every point's plane; w: the filter's first position, positions are c apart. */
static void pack_one(int16_t *u, int64_t plane, const int8_t *w, int32_t c)
{
    int32_t rows[3][IN], column[IN];
    for (int32_t i = 0; i < 3; i++) { /* turned around */
        const int8_t *from = w + (ptrdiff_t)(2 - i) * 3 * c;
        expand(rows[i], from[2 * (ptrdiff_t)c], from[c], from[0]);
    }
    for (int32_t j = 0; j < IN; j++) {
        expand(column, rows[0][j], rows[1][j], rows[2][j]);
        for (int32_t i = 0; i < IN; i++)
            u[(i * IN + j) * plane] = (int16_t)column[i];
    }
}

void nb_qgrad_winograd_pack(int16_t *u, const int8_t *w, const nb_geom *g)
{
    const int64_t plane = (int64_t)g->c * g->oc, filter = (int64_t)9 * g->c;
    int16_t points[POINTS * 2 * NB_PANEL];
    for (int32_t c = 0; c < g->c; c += NB_PANEL)
        for (int32_t o = 0; o < g->oc; o += 2, u += 2 * NB_PANEL) {
            for (int32_t i = 0; i < 2 * NB_PANEL; i++)
                pack_one(points + i, 2 * NB_PANEL, w + (o + i % 2) * filter + c + i / 2, g->c);
            for (int32_t k = 0; k < POINTS; k++)
                memcpy(u + k * plane, points + (ptrdiff_t)k * 2 * NB_PANEL, 2 * NB_PANEL * sizeof *u);
        }
}

/* ---- gradient of the input ---- */

/* dy's codes with a border: dx at a pixel sees those from pixel + pad - 2 to pixel + pad. */
static void pad_codes(const nb_qgrad_isa *isa, const nb_geom *g, const nb_qgrad_dx *p, const dx_layout *l)
{
    const size_t row = (size_t)l->row, inside = (size_t)g->ow * (size_t)g->oc;
    const size_t left = (size_t)(2 - g->pad.left) * (size_t)g->oc;
    const int32_t top = 2 - g->pad.top, height = l->down * OUT + 2;
    int16_t *to = l->codes;
    for (int32_t y = 0; y < height; y++, to += row) {
        if (y < top || y >= top + g->oh) {
            memset(to, 0, row * sizeof *to);
            continue;
        }
        memset(to, 0, left * sizeof *to);
        isa->codes(to + left, p->dy + (size_t)(y - top) * inside, p->w_scale, p->times, g->ow, g->oc);
        memset(to + left + inside, 0, (row - left - inside) * sizeof *to);
    }
}

void nb_qgrad_winograd_input(const nb_qgrad_isa *isa, const nb_geom *g, const nb_qgrad_dx *p, const int16_t *u,
                             void *scratch)
{
    dx_layout l;
    dx_layout_of(&l, g, scratch);
    pad_codes(isa, g, p, &l);
    const nb_qgrad_winograd *f = isa->winograd;
    nb_qtile t = {.row = (int64_t)g->w * g->c, .c = g->c, .scale = p->scale / NB_QGRAD_TILE_GAIN, .add = p->add};
    for (int32_t y = 0; y < l.down; y += l.band) {
        const int32_t rows = l.down - y < l.band ? l.down - y : l.band, n = rows * l.across;
        for (int32_t i = 0; i < n; i++) {
            const int16_t *from = l.codes + (y + i / l.across) * OUT * l.row + (int64_t)(i % l.across) * OUT * g->oc;
            f->input(l.v + (int64_t)i * g->oc, l.v_plane, from, l.row, g->oc);
        }
        for (int32_t k = 0; k < POINTS; k++)
            f->multiply(l.m + k * l.m_plane, l.v + k * l.v_plane, u + (int64_t)k * g->c * g->oc, n, g->oc, g->c);
        for (int32_t i = 0; i < n; i++) {
            const int32_t py = (y + i / l.across) * OUT, px = i % l.across * OUT;
            t.dx = p->dx + py * t.row + (int64_t)px * g->c;
            t.rows = g->h - py < OUT ? g->h - py : OUT;
            t.cols = g->w - px < OUT ? g->w - px : OUT;
            f->output(&t, l.m + (int64_t)i * g->c, l.m_plane);
        }
    }
}

/* ---- gradient of the weights ---- */

/* The input's codes with a border of real zeros, up to whole tiles. */
static void pad_input(const nb_geom *g, const nb_fconv_image *x, const dw_layout *l)
{
    const int32_t height = (g->oh + 1) / OUT * OUT + 2;
    const size_t row = (size_t)l->x_row, inside = (size_t)g->w * (size_t)g->c,
                 left = (size_t)g->pad.left * (size_t)g->c;
    const size_t used = row - left < inside ? row - left : inside;
    const int zero = x->zero & 0xff;
    uint8_t *to = l->x;
    for (int32_t y = 0; y < height; y++, to += row) {
        if (y < g->pad.top || y >= g->pad.top + g->h) {
            memset(to, zero, row);
            continue;
        }
        memset(to, zero, left);
        memcpy(to + left, (const uint8_t *)x->data + (size_t)(y - g->pad.top) * inside, used);
        memset(to + left + used, zero, row - left - used);
    }
}

/* `rows` rows of dy's codes; zeros up to whole tiles. */
static void tile_codes(const nb_qgrad_isa *isa, const nb_geom *g, const nb_qgrad_dw *p, const dw_layout *l, int32_t y,
                       int32_t rows)
{
    const size_t row = (size_t)l->dy_row, inside = (size_t)g->ow * (size_t)g->oc;
    int16_t *to = l->dy;
    for (int32_t i = 0; i < rows; i++, to += row) {
        isa->codes(to, p->dy + (size_t)(y + i) * inside, p->times, 1.0f, g->ow, g->oc);
        memset(to + inside, 0, (row - inside) * sizeof *to);
    }
    if (rows % OUT)
        memset(to, 0, row * sizeof *to);
}

/* All points of a block that begins with row y and has n tiles. */
static void transform_block(const nb_qgrad_winograd *f, const nb_geom *g, const nb_fconv_image *x, const dw_layout *l,
                            int32_t y, int32_t n)
{
    for (int32_t i = 0; i < n; i += 2) {
        const uint8_t *tx[2];
        const int16_t *ty[2];
        for (int32_t k = 0; k < 2; k++) {
            const int32_t at = i + k < n ? i + k : i, down = at / l->across * OUT, right = at % l->across * OUT;
            tx[k] = l->x + (y + down) * l->x_row + (int64_t)right * g->c;
            ty[k] = i + k < n ? l->dy + down * l->dy_row + (int64_t)right * g->oc : NULL;
        }
        const int64_t at = (int64_t)i * NB_PANEL;
        for (int32_t c = 0; c < g->c; c += NB_PANEL) {
            const uint8_t *const tile[2] = {tx[0] + c, tx[1] + c};
            f->pair_x(l->x_points + c / NB_PANEL * POINTS * l->plane + at, l->plane, tile, l->x_row, g->c, x);
        }
        for (int32_t o = 0; o < g->oc; o += NB_PANEL) {
            const int16_t *const tile[2] = {ty[0] + o, ty[1] ? ty[1] + o : NULL};
            f->pair_dy(l->dy_points + o / NB_PANEL * POINTS * l->plane + at, l->plane, tile, l->dy_row, g->oc);
        }
    }
}

void nb_qgrad_winograd_weight(const nb_qgrad_isa *isa, const nb_geom *g, const nb_qgrad_dw *p, void *scratch)
{
    dw_layout l;
    dw_layout_of(&l, g, scratch);
    pad_input(g, p->x, &l);
    for (int32_t y = 0; y < g->oh; y += l.rows) {
        const int32_t rows = g->oh - y < l.rows ? g->oh - y : l.rows, n = (rows + 1) / OUT * l.across;
        tile_codes(isa, g, p, &l, y, rows);
        transform_block(isa->winograd, g, p->x, &l, y, n);
        for (int32_t o = 0; o < g->oc; o += NB_PANEL)
            for (int32_t c = 0; c < g->c; c += NB_PANEL)
                isa->winograd->weights(p->slot + ((int64_t)o * 9 * g->c + (int64_t)c * NB_PANEL), g->c,
                                       l.x_points + c / NB_PANEL * POINTS * l.plane,
                                       l.dy_points + o / NB_PANEL * POINTS * l.plane, l.plane, (n + 1) / 2,
                                       p->scale + o);
    }
}
