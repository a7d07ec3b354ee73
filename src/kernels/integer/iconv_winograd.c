/* iconv_winograd.c - 3x3 convolution with stride 1 by Winograd's F(4x4, 3x3) (Lavin and Gray, arXiv:1509.09308), in
 * integers and exact: 36 multiplications for 16 sums instead of 144.
 *
 * A tile of 4x4 sums is Y = A'(U * V)A, elementwise in the middle and summed over input channels there, with V = B'dB
 * of the 6x6 input codes d and U = GgG' of the weights g. The usual G holds fractions; here its rows are multiplied by
 * the least numbers that make them whole, and what that does to Y is undone at the end: B' = [4 0 -5 0 1 0; 0 -4 -4 1 1
 * 0; 0 4 -4 -1 1 0; 0 -2 -1 2 1 0; 0 2 -1 -2 1 0; 0 4 0 -5 0 1] G  = [6 0 0; 1 1 1; 1 -1 1; 1 2 4; 1 -2 4; 0 0 6] A' =
 * [1 -4 -4 1 1 0; 0 -2 2 1 -1 0; 0 -1 -1 1 1 0; 0 -1 1 2 -2 1] gives Y times f_i * f_j at (i, j), f = 24, 12, 6, 6 = 3
 * * 2^(3, 2, 1, 1).
 *
 * Everything fits: |V| <= 17340 for codes of 8 bits (twice row 2 of B', whose values lie in -8 * 255 to 2 * 255), |U|
 * <= 7 * 7 * 128 = 6272, so both are s16 and a pair of products is below 2^28. The sums are modulo 2^32. 9 is odd, so
 * it has an inverse modulo 2^32, and multiplying by that leaves Y * 2^(e_i + e_j), at most 64 Y, modulo 2^32: exactly
 * that if |Y| < 2^25, which `choose` proves; a shift does the rest.
 *
 * The middle is 36 products of matrices [tiles, c] x [c, oc]. A packed blob is [header][U: 36 x panels, s16]; scratch
 * is [band of padded input bytes][V: s16 [36][tiles][c]][products: int32 [36][tiles][oc]][sums of the band: int32]. */
#include "kernels/integer/iconv_winograd.h"

#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_direct.h"

enum {
    POINTS = 36,
    STEP = 2 * NB_ICONV_LANES, /* values of one step of a panel: 16 filters, two channels */
    OUT = 4,                   /* rows and columns of sums per tile */
    IN = 6,                    /* and of codes */
    BLOCK = 16,                /* tiles that are computed together, about: their data stays in the nearest caches */
    MIN_TILES = 4 /* U is 8 times the weights' bytes: with fewer tiles, reading it would take longer than multiplying */
};

typedef struct {
    int32_t across, band;           /* tiles beside each other; rows of tiles computed together */
    int32_t width, tiles;           /* of a band: padded columns, tiles */
    size_t row_bytes;               /* of the padded band */
    size_t v_plane, m_plane;        /* bytes of one point of a band */
    size_t u_bytes;                 /* of one point */
    size_t v_at, m_at, y_at, bytes; /* in the scratch */
} layout;

/* An odd number of cache lines, so that the 36 values of one place do not all fall into the same few sets. */
static size_t plane_bytes(size_t n)
{
    return ((n + 63) / 64 | 1) * 64;
}

static layout layout_of(const nb_geom *g)
{
    layout l = {.across = (g->ow + OUT - 1) / OUT};
    const int32_t down = (g->oh + OUT - 1) / OUT, fit = BLOCK / l.across;
    l.band = fit < 1 ? 1 : fit < down ? fit : down;
    l.tiles = l.band * l.across;
    l.width = l.across * OUT + IN - OUT;
    l.row_bytes = (size_t)l.width * (size_t)g->c;
    l.u_bytes = (size_t)g->c * (size_t)g->oc * sizeof(int16_t);
    l.v_plane = plane_bytes((size_t)l.tiles * (size_t)g->c * sizeof(int16_t));
    l.m_plane = plane_bytes((size_t)l.tiles * (size_t)g->oc * sizeof(int32_t));
    l.v_at = nb_iconv_align((size_t)(l.band * OUT + IN - OUT) * l.row_bytes);
    l.m_at = l.v_at + POINTS * l.v_plane;
    l.y_at = l.m_at + POINTS * l.m_plane;
    l.bytes = l.y_at + (size_t)l.tiles * OUT * OUT * (size_t)g->oc * sizeof(int32_t);
    return l;
}

bool nb_iconv_winograd_fits(const nb_geom *g)
{
    if (g->kh != 3 || g->kw != 3 || g->stride.h != 1 || g->stride.w != 1 || g->dilation.h != 1 || g->dilation.w != 1 ||
        g->groups != 1 || g->c % NB_ICONV_LANES || g->oc % NB_ICONV_LANES)
        return false;
    const int64_t tiles = (int64_t)((g->oh + OUT - 1) / OUT) * ((g->ow + OUT - 1) / OUT);
    /* Half of the multiplications at most, and U within what offsets and 32-bit machines can hold. */
    return tiles >= MIN_TILES && tiles * POINTS * 2 <= (int64_t)g->oh * g->ow * 9 &&
           (int64_t)g->c * g->oc * POINTS <= 1 << 27;
}

int32_t nb_iconv_winograd_choose(const nb_iconv_facts *f)
{
    return nb_iconv_winograd_fits(f->geom) && f->sum_max < 1 << 25;
}

size_t nb_iconv_winograd_packed_bytes(const nb_geom *g)
{
    if (!nb_iconv_winograd_fits(g))
        return 0;
    const layout l = layout_of(g);
    return NB_ICONV_HEADER + POINTS * l.u_bytes;
}

size_t nb_iconv_winograd_scratch_bytes(const nb_geom *g)
{
    return nb_iconv_winograd_fits(g) ? layout_of(g).bytes : 0;
}

/* Row times G': three values to six. */
static void expand(int32_t to[IN], int32_t a, int32_t b, int32_t c)
{
    to[0] = 6 * a;
    to[1] = a + b + c;
    to[2] = a - b + c;
    to[3] = a + 2 * b + 4 * c;
    to[4] = a - 2 * b + 4 * c;
    to[5] = 6 * c;
}

/* One channel of one filter to every STEP-th value of u; w: its first tap, taps are `step` apart. */
static void transform_weights(int16_t *u, const int8_t *w, int32_t step)
{
    int32_t rows[3][IN], column[IN];
    for (int32_t i = 0; i < 3; i++, w += 3 * step)
        expand(rows[i], w[0], w[step], w[2 * step]);
    for (int32_t j = 0; j < IN; j++) {
        expand(column, rows[0][j], rows[1][j], rows[2][j]);
        for (int32_t i = 0; i < IN; i++)
            u[(i * IN + j) * STEP] = (int16_t)column[i];
    }
}

void nb_iconv_winograd_pack(void *packed, const int8_t *w, const nb_geom *g)
{
    const layout l = layout_of(g);
    char *to = (char *)packed + NB_ICONV_HEADER;
    int16_t u[POINTS * STEP];
    for (int32_t oc = 0; oc < g->oc; oc += NB_ICONV_LANES)
        for (int32_t c = 0; c < g->c; c += 2, to += STEP * sizeof *u) {
            for (int32_t i = 0; i < STEP; i++)
                transform_weights(u + i, w + (int64_t)(oc + i / 2) * 9 * g->c + c + i % 2, g->c);
            for (size_t k = 0; k < POINTS; k++)
                memcpy(to + k * l.u_bytes, u + k * STEP, STEP * sizeof *u);
        }
}

/* Rows of codes from output row y on, padded: what the tiles of a band read, and codes of no consequence behind. */
static void load_band(uint8_t *to, const nb_iconv_input *in, const nb_geom *g, const layout *l, int32_t y, int32_t rows)
{
    const int32_t left = g->pad.left < l->width ? g->pad.left : l->width;
    const int32_t used = l->width - left < g->w ? l->width - left : g->w;
    const size_t n_left = (size_t)left * (size_t)g->c, n = (size_t)used * (size_t)g->c;
    for (int32_t r = 0; r < rows; r++, to += l->row_bytes) {
        const int32_t iy = y + r - g->pad.top;
        if (iy < 0 || iy >= g->h) {
            memset(to, in->zero & 0xff, l->row_bytes);
            continue;
        }
        memset(to, in->zero & 0xff, n_left);
        memcpy(to + n_left, (const uint8_t *)in->x + (size_t)iy * (size_t)g->w * (size_t)g->c, n);
        memset(to + n_left + n, in->zero & 0xff, l->row_bytes - n_left - n);
    }
}

/* The sums of `down` rows of tiles from output row y on: y_out is [4 * down][4 * across][oc]. */
static void band_sums(int32_t *y_out, const nb_iconv_input *in, const nb_iconv_header *h, const nb_geom *g,
                      const layout *l, int32_t y, int32_t down, char *scratch)
{
    const nb_iconv_winograd *f = h->method->winograd;
    const int32_t tiles = down * l->across;
    uint8_t *band = (uint8_t *)scratch;
    int16_t *v = (int16_t *)(void *)(scratch + l->v_at);
    int32_t *m = (int32_t *)(void *)(scratch + l->m_at);
    const int16_t *u = (const int16_t *)(const void *)((const char *)(const void *)h + NB_ICONV_HEADER);
    const int64_t v_plane = (int64_t)(l->v_plane / sizeof *v), m_plane = (int64_t)(l->m_plane / sizeof *m);
    load_band(band, in, g, l, y, down * OUT + IN - OUT);
    for (int32_t t = 0; t < tiles; t++) {
        const int32_t ty = t / l->across, tx = t % l->across;
        const uint8_t *x = band + (size_t)(ty * OUT) * l->row_bytes + (size_t)(tx * OUT) * (size_t)g->c;
        f->input(v + (int64_t)t * g->c, v_plane, x, (int64_t)l->row_bytes, g->c, in->is_signed);
    }
    for (int32_t k = 0; k < POINTS; k++)
        f->multiply(m + k * m_plane, v + k * v_plane, u + (int64_t)k * g->c * g->oc, tiles, g->c, g->oc);
    const int64_t row = (int64_t)l->across * OUT * g->oc;
    for (int32_t t = 0; t < tiles; t++) {
        const int32_t ty = t / l->across, tx = t % l->across;
        f->output(y_out + ty * OUT * row + (int64_t)tx * OUT * g->oc, row, m + (int64_t)t * g->oc, m_plane, g->oc);
    }
}

void nb_iconv_winograd_rows(const nb_iconv_output *out, const nb_iconv_input *in, const void *packed, const nb_geom *g,
                            int32_t y0, int32_t y1, void *scratch)
{
    const nb_iconv_header *h = packed;
    const layout l = layout_of(g);
    int32_t *sums = (int32_t *)(void *)((char *)scratch + l.y_at);
    const int64_t row = (int64_t)g->ow * g->oc, padded = (int64_t)l.across * OUT * g->oc;
    for (int32_t y = y0; y < y1; y += l.band * OUT) {
        const int32_t rows = y1 - y < l.band * OUT ? y1 - y : l.band * OUT, down = (rows + OUT - 1) / OUT;
        const bool whole = row == padded;
        const bool in_place = out->acc && whole && rows == down * OUT;
        int32_t *acc = in_place ? out->acc + y * row : sums;
        band_sums(acc, in, h, g, &l, y, down, scratch);
        if (in_place)
            continue;
        if (!out->acc && whole) {
            nb_iconv_requantize_on(h->variant, out->codes + y * row, acc, out->q, (int64_t)rows * g->ow, g->oc);
            continue;
        }
        for (int32_t r = 0; r < rows; r++, acc += padded)
            if (out->acc)
                memcpy(out->acc + (y + r) * row, acc, (size_t)row * sizeof *acc);
            else
                nb_iconv_requantize_on(h->variant, out->codes + (y + r) * row, acc, out->q, g->ow, g->oc);
    }
}
