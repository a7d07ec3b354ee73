/* fwino.c - 3x3 by tiles: which tiles there are, what is transformed together, and how weights become 16 planes.
 *
 * A band is some rows of tiles: its coefficients stay in the first-level cache while panel after panel is multiplied
 * with them. Images get a border so that every tile is whole; results that are not go through a row
 * of whole tiles. */
#include "kernels/float/fwino.h"

#include "kernels/float/fconv_plan.h"

#include <nibble/extend/tensor.h>

enum {
    PLANES = 16,
    BAND_FLOATS = 4096,  /* coefficients of an image: with as many of results they stay in the first-level cache */
    GRADIENT_TILES = 16, /* of a band, at least, for the weights: its sums are loaded and stored once a band */
    LEAST_CHANNELS = 16, /* with fewer, transforms cost more than products save */
    LEAST_TILES = 16     /* of an image: all weights are read for each */
};

typedef struct {
    nb_fborder border;     /* the image in whole tiles */
    int32_t rows, columns; /* of tiles */
    int32_t band;          /* rows of tiles that are multiplied together */
    int32_t h, w, c, oc;   /* results and their channels, and those that are summed over */
} tiling;

static int32_t lesser(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static tiling tile_up(int32_t h, int32_t w, nb_fborder border, int32_t oc, int32_t least)
{
    tiling t = {.border = border, .rows = (h + 1) / 2, .columns = (w + 1) / 2, .h = h, .w = w, .c = border.c, .oc = oc};
    t.border.ph = 2 * t.rows + 2;
    t.border.pw = 2 * t.columns + 2;
    t.border.stride = nb_fround(border.c);
    const int32_t tiles = BAND_FLOATS / (PLANES * t.border.stride), wanted = tiles > least ? tiles : least;
    t.band = wanted < t.columns ? 1 : lesser(wanted / t.columns, t.rows);
    return t;
}

/* x to y, and dy to dx: there what the image lacks of three pixels of border is the border. */
static tiling forward_tiling(const nb_geom *g, int32_t least)
{
    return tile_up(g->oh, g->ow, (nb_fborder){.h = g->h, .w = g->w, .c = g->c, .top = g->pad.top, .left = g->pad.left},
                   g->oc, least);
}

static tiling backward_tiling(const nb_geom *g)
{
    return tile_up(g->h, g->w,
                   (nb_fborder){.h = g->oh, .w = g->ow, .c = g->oc, .top = 2 - g->pad.top, .left = 2 - g->pad.left},
                   g->c, 1);
}

/* Output gradient in whole tiles of 2x2. */
static nb_fborder gradient_border(const nb_geom *g)
{
    return (nb_fborder){.h = g->oh,
                        .w = g->ow,
                        .c = g->oc,
                        .ph = (g->oh + 1) / 2 * 2,
                        .pw = (g->ow + 1) / 2 * 2,
                        .stride = nb_fround(g->oc)};
}

bool nb_fwino_supports(const nb_geom *g)
{
    const int32_t pad[] = {g->pad.top, g->pad.bottom, g->pad.left, g->pad.right};
    for (int32_t i = 0; i < 4; i++)
        if (pad[i] > 2)
            return false;
    return g->groups == 1 && g->kh == 3 && g->kw == 3 && g->stride.h == 1 && g->stride.w == 1 && g->dilation.h == 1 &&
           g->dilation.w == 1 && g->oh == g->h + pad[0] + pad[1] - 2 && g->ow == g->w + pad[2] + pad[3] - 2;
}

bool nb_fwino_wins(const nb_geom *g)
{
    return nb_fwino_supports(g) && g->c >= LEAST_CHANNELS && g->oc >= LEAST_CHANNELS &&
           (int64_t)((g->oh + 1) / 2) * ((g->ow + 1) / 2) >= LEAST_TILES;
}

size_t nb_fwino_slot_floats(const nb_geom *g)
{
    return (size_t)PLANES * (size_t)g->c * (size_t)nb_fround(g->oc);
}

size_t nb_fwino_panel_floats(const nb_geom *g)
{
    return nb_fwino_slot_floats(g) + (size_t)PLANES * (size_t)g->oc * (size_t)nb_fround(g->c);
}

/* ---- scratch: the image, coefficients of a band, products of a panel or coefficients of a gradient ---- */

static size_t band_tiles(const tiling *t)
{
    return (size_t)t->band * (size_t)t->columns;
}

typedef struct {
    float *image, *coefficients, *panel, *row, *gradient;
    size_t floats;
} parts;

static float *take(parts *p, float *mem, size_t floats)
{
    float *at = mem ? mem + p->floats : NULL;
    p->floats += (floats + NB_PANEL - 1) / NB_PANEL * NB_PANEL;
    return at;
}

static parts parts_of(const tiling *t, const nb_fborder *gradient, float *mem)
{
    parts p = {.floats = 0};
    p.image = take(&p, mem, nb_fborder_floats(&t->border));
    p.coefficients = take(&p, mem, PLANES * band_tiles(t) * (size_t)t->border.stride);
    p.panel = take(&p, mem, PLANES * band_tiles(t) * NB_PANEL);
    p.row = take(&p, mem, (size_t)t->columns * 4 * NB_PANEL);
    p.gradient = gradient ? take(&p, mem, nb_fborder_floats(gradient)) : NULL;
    return p;
}

size_t nb_fwino_scratch_floats(const nb_geom *g)
{
    const tiling forward = forward_tiling(g, GRADIENT_TILES), backward = backward_tiling(g);
    const nb_fborder gradient = gradient_border(g);
    const size_t a = parts_of(&forward, &gradient, NULL).floats, b = parts_of(&backward, NULL, NULL).floats;
    return a > b ? a : b;
}

/* ---- weights ---- */

/* G g G^T of nine taps: place i of a tile at u + i * plane. */
static void transform_weights(float *u, const float g[9][NB_PANEL], ptrdiff_t plane)
{
    float half[4][3][NB_PANEL];
    for (int32_t x = 0; x < 3; x++)
        for (int32_t j = 0; j < NB_PANEL; j++) {
            const float a = g[x][j], b = g[3 + x][j], c = g[6 + x][j];
            half[0][x][j] = a;
            half[1][x][j] = 0.5f * (a + c) + 0.5f * b;
            half[2][x][j] = 0.5f * (a + c) - 0.5f * b;
            half[3][x][j] = c;
        }
    for (int32_t y = 0; y < 4; y++, u += 4 * plane)
        for (int32_t j = 0; j < NB_PANEL; j++) {
            const float a = half[y][0][j], b = half[y][1][j], c = half[y][2][j];
            u[j] = a;
            u[plane + j] = 0.5f * (a + c) + 0.5f * b;
            u[2 * plane + j] = 0.5f * (a + c) - 0.5f * b;
            u[3 * plane + j] = c;
        }
}

/* Panels whose columns are `columns` channels and whose sums run over `depth`: weight [column][tap][d] at
 * w[column * col_step + tap * tap_step + d * sum_step], taps turned round where `turned`. */
typedef struct {
    int32_t columns, depth;
    ptrdiff_t col_step, tap_step, sum_step;
    bool turned;
} weight_view;

static void pack(float *out, const float *w, const weight_view *v, int32_t j0)
{
    const ptrdiff_t plane = (ptrdiff_t)v->depth * NB_PANEL;
    for (int32_t d = 0; d < v->depth; d++) {
        float g[9][NB_PANEL];
        for (int32_t k = 0; k < 9; k++)
            for (int32_t j = 0; j < NB_PANEL; j++)
                g[k][j] = j0 + j < v->columns
                              ? w[(j0 + j) * v->col_step + (v->turned ? 8 - k : k) * v->tap_step + d * v->sum_step]
                              : 0.0f;
        transform_weights(out + (ptrdiff_t)d * NB_PANEL, (const float(*)[NB_PANEL])g, plane);
    }
}

void nb_fwino_pack(const nb_geom *g, float *panels, const float *w, int32_t j, bool forward)
{
    const ptrdiff_t row = (ptrdiff_t)9 * g->c;
    const weight_view ahead = {g->oc, g->c, row, g->c, 1, false}, back = {g->c, g->oc, 1, g->c, row, true};
    const weight_view *v = forward ? &ahead : &back;
    pack(panels + (forward ? 0 : nb_fwino_slot_floats(g)) + (ptrdiff_t)j * PLANES * v->depth * NB_PANEL, w, v,
         j * NB_PANEL);
}

/* ---- the passes ---- */

/* Coefficients of rows [first, first + n) of tiles: [16][n * columns][channels]. */
static void transform(void (*kernel)(const nb_fwino_row *r), float *out, const float *in, const nb_fborder *b,
                      const tiling *t, int32_t first, int32_t n)
{
    nb_fwino_row r = {.line = (ptrdiff_t)b->pw * b->stride,
                      .pixel = b->stride,
                      .plane = (ptrdiff_t)n * t->columns * b->stride,
                      .tile = b->stride,
                      .n_tiles = t->columns,
                      .channels = b->stride};
    for (int32_t i = 0; i < n; i++) {
        r.in = in + 2 * (first + i) * r.line;
        r.out = out + (ptrdiff_t)i * t->columns * r.tile;
        kernel(&r);
    }
}

/* What of whole tiles is there: lines x w pixels of n columns. */
static void copy_part(float *out, ptrdiff_t line, ptrdiff_t pixel, const float *from, const tiling *t, int32_t lines,
                      int32_t n, bool add)
{
    for (int32_t y = 0; y < lines; y++)
        for (int32_t x = 0; x < t->w; x++) {
            const float *f = from + ((ptrdiff_t)y * 2 * t->columns + x) * NB_PANEL;
            float *o = out + y * line + x * pixel;
            for (int32_t j = 0; j < n; j++)
                o[j] = add ? o[j] + f[j] : f[j];
        }
}

/* Sums of one panel, [16][n * columns][NB_PANEL], into rows [first, first + n) of tiles of out, from its column j on. */
static void results(const nb_fconv_isa *k, const tiling *t, float *out, int32_t j, const nb_fwino_row *what, float *row,
                    int32_t first, int32_t n)
{
    const ptrdiff_t line = (ptrdiff_t)t->w * t->oc;
    const int32_t cols = lesser(t->oc - j, NB_PANEL);
    for (int32_t i = 0; i < n; i++) {
        const int32_t lines = lesser(t->h - 2 * (first + i), 2);
        const bool whole = lines == 2 && t->w % 2 == 0 && cols == NB_PANEL;
        float *at = out + 2 * (first + i) * line + j;
        nb_fwino_row r = *what;
        r.in += (ptrdiff_t)i * t->columns * NB_PANEL;
        r.out = whole ? at : row;
        r.line = whole ? line : (ptrdiff_t)2 * t->columns * NB_PANEL;
        r.pixel = whole ? t->oc : NB_PANEL;
        r.add = whole && what->add;
        k->wino_result(&r);
        if (!whole)
            copy_part(at, line, t->oc, row, t, lines, cols, what->add);
    }
}

/* out (+)= the convolution of image, with panels of its weights. */
static void apply(const nb_fconv_isa *k, const tiling *t, float *out, bool add, const nb_fconv_image *image,
                  const float *panels, const float *bias, float *scratch)
{
    const parts p = parts_of(t, NULL, scratch);
    const float *in = nb_fpadded(&t->border, image, p.image);
    for (int32_t first = 0; first < t->rows; first += t->band) {
        const int32_t n = lesser(t->rows - first, t->band), tiles = n * t->columns;
        transform(k->wino_image, p.coefficients, in, &t->border, t, first, n);
        nb_fwino_product product = {.out = p.panel,
                                    .in = p.coefficients,
                                    .b = panels,
                                    .out_plane = (ptrdiff_t)tiles * NB_PANEL,
                                    .in_plane = (ptrdiff_t)tiles * t->border.stride,
                                    .b_plane = (ptrdiff_t)t->c * NB_PANEL,
                                    .in_row = t->border.stride,
                                    .in_sum = 1,
                                    .n_rows = tiles,
                                    .n_sum = t->c};
        for (int32_t j = 0; j < t->oc; j += NB_PANEL, product.b += PLANES * product.b_plane) {
            float start[NB_PANEL] = {0};
            for (int32_t i = 0; bias && i < NB_PANEL && j + i < t->oc; i++)
                start[i] = bias[j + i];
            k->wino_product(&product);
            results(k, t, out, j,
                    &(nb_fwino_row){.in = p.panel,
                                    .bias = start,
                                    .plane = product.out_plane,
                                    .tile = NB_PANEL,
                                    .n_tiles = t->columns,
                                    .add = add},
                    p.row, first, n);
        }
    }
}

void nb_fwino_forward(const nb_fconv_isa *k, const nb_geom *g, float *y, const nb_fconv_image *x, const float *panels,
                      const float *bias, float *scratch)
{
    const tiling t = forward_tiling(g, 1);
    apply(k, &t, y, false, x, panels, bias, scratch);
}

void nb_fwino_input_grad(const nb_fconv_isa *k, const nb_geom *g, float *dx, bool add, const float *dy,
                         const float *panels, float *scratch)
{
    const tiling t = backward_tiling(g);
    const nb_fconv_image image = {dy, NB_F32, 0};
    apply(k, &t, dx, add, &image, panels + nb_fwino_slot_floats(g), NULL, scratch);
}

void nb_fwino_weight_grad(const nb_fconv_isa *k, const nb_geom *g, float *slot, const nb_fconv_image *x,
                          const float *dy, float *scratch)
{
    const tiling t = forward_tiling(g, GRADIENT_TILES);
    const nb_fborder gradient = gradient_border(g);
    const parts p = parts_of(&t, &gradient, scratch);
    const float *in = nb_fpadded(&t.border, x, p.image);
    const float *out = nb_fpadded(&gradient, &(nb_fconv_image){dy, NB_F32, 0}, p.gradient);
    for (int32_t first = 0; first < t.rows; first += t.band) {
        const int32_t n = lesser(t.rows - first, t.band), tiles = n * t.columns;
        transform(k->wino_image, p.coefficients, in, &t.border, &t, first, n);
        nb_fwino_product product = {.out = slot,
                                    .in = p.coefficients,
                                    .b = p.panel,
                                    .out_plane = (ptrdiff_t)g->c * NB_PANEL,
                                    .in_plane = (ptrdiff_t)tiles * t.border.stride,
                                    .b_plane = (ptrdiff_t)tiles * NB_PANEL,
                                    .in_row = 1,
                                    .in_sum = t.border.stride,
                                    .n_rows = g->c,
                                    .n_sum = tiles,
                                    .add = true};
        for (int32_t j = 0; j < g->oc; j += NB_PANEL, product.out += PLANES * product.out_plane) {
            for (int32_t i = 0; i < n; i++)
                k->wino_gradient(
                    &(nb_fwino_row){.out = p.panel + (ptrdiff_t)i * t.columns * NB_PANEL,
                                    .in = out + (ptrdiff_t)2 * (first + i) * gradient.pw * gradient.stride + j,
                                    .line = (ptrdiff_t)gradient.pw * gradient.stride,
                                    .pixel = gradient.stride,
                                    .plane = product.b_plane,
                                    .tile = NB_PANEL,
                                    .n_tiles = t.columns,
                                    .channels = NB_PANEL});
            k->wino_product(&product);
        }
    }
}

/* G^T s G of 16 planes: 9 taps. */
static void finish_taps(float dw[9][NB_PANEL], const float s[PLANES][NB_PANEL])
{
    float half[3][4][NB_PANEL];
    for (int32_t x = 0; x < 4; x++)
        for (int32_t j = 0; j < NB_PANEL; j++) {
            const float b = 0.5f * s[4 + x][j], c = 0.5f * s[8 + x][j];
            half[0][x][j] = s[x][j] + (b + c);
            half[1][x][j] = b - c;
            half[2][x][j] = (b + c) + s[12 + x][j];
        }
    for (int32_t y = 0; y < 3; y++)
        for (int32_t j = 0; j < NB_PANEL; j++) {
            const float b = 0.5f * half[y][1][j], c = 0.5f * half[y][2][j];
            dw[3 * y][j] = half[y][0][j] + (b + c);
            dw[3 * y + 1][j] = b - c;
            dw[3 * y + 2][j] = (b + c) + half[y][3][j];
        }
}

void nb_fwino_finish(const nb_geom *g, float *dw, const nb_fconv_slots *s, int32_t j)
{
    const ptrdiff_t plane = (ptrdiff_t)g->c * NB_PANEL;
    const int32_t first = j * NB_PANEL, n = lesser(g->oc - first, NB_PANEL);
    for (int32_t c = 0; c < g->c; c++) {
        float sum[PLANES][NB_PANEL] = {{0}}, taps[9][NB_PANEL];
        for (int32_t i = 0; i < s->n; i++) {
            const float *from = (const float *)s->slots[i] + j * PLANES * plane + (ptrdiff_t)c * NB_PANEL;
            for (int32_t p = 0; p < PLANES; p++, from += plane)
                for (int32_t l = 0; l < NB_PANEL; l++)
                    sum[p][l] += from[l];
        }
        finish_taps(taps, (const float(*)[NB_PANEL])sum);
        for (int32_t l = 0; l < n; l++)
            for (int32_t k = 0; k < 9; k++)
                dw[((ptrdiff_t)(first + l) * 9 + k) * g->c + c] += s->scale * taps[k][l];
    }
}
