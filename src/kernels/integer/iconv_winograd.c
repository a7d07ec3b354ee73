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
 * The middle is 36 products of matrices [tiles, c] x [c, oc], made for four tiles at a time (iconv_winograd_tile.h). A
 * packed blob is [header][U: s16, iconv_isa.h]; scratch is [band of padded input bytes][V of four tiles: s16][four tiles
 * at the edge of the image: int32 or codes]. */
#include "kernels/integer/iconv_winograd.h"

#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv_direct.h"

enum {
    POINTS = 36,
    STEP = 2 * NB_ICONV_LANES, /* values of one step of a panel: 16 filters, two channels */
    OUT = 4,                   /* rows and columns of sums per tile */
    IN = 6,                    /* and of codes */
    BLOCK = 16,                /* tiles whose input is padded together, about: it stays in the nearest cache */
    MIN_TILES = 4 /* U is 8 times the weights' bytes: with fewer tiles, reading it would take longer than multiplying */
};

typedef struct {
    int32_t across, band;     /* tiles beside each other; rows of tiles whose input is padded together */
    int32_t width;            /* of a band: padded columns */
    size_t row_bytes;         /* of the padded band */
    size_t v_at, y_at, bytes; /* in the scratch */
} layout;

static layout layout_of(const nb_geom *g)
{
    layout l = {.across = (g->ow + OUT - 1) / OUT};
    const int32_t down = (g->oh + OUT - 1) / OUT, fit = BLOCK / l.across;
    l.band = fit < 1 ? 1 : fit < down ? fit : down;
    l.width = l.across * OUT + IN - OUT;
    l.row_bytes = (size_t)l.width * (size_t)g->c;
    l.v_at = nb_iconv_align((size_t)(l.band * OUT + IN - OUT) * l.row_bytes);
    l.y_at = l.v_at + (size_t)POINTS * NB_ICONV_TILES * (size_t)g->c * sizeof(int16_t);
    l.bytes = l.y_at + (size_t)NB_ICONV_TILES * OUT * OUT * (size_t)g->oc * sizeof(int32_t);
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
    return nb_iconv_winograd_fits(f->geom) && nb_iconv_direct_sum_max(f->w, f->x, f->geom) < 1 << 25;
}

int32_t nb_iconv_winograd_choose_dearer(const nb_iconv_facts *f)
{
    const nb_geom *g = f->geom;
    const int64_t tiles = (int64_t)((g->oh + OUT - 1) / OUT) * ((g->ow + OUT - 1) / OUT),
                  made = (tiles + NB_ICONV_TILES - 1) / NB_ICONV_TILES * NB_ICONV_TILES * POINTS;
    return made * 5 <= (int64_t)g->oh * g->ow * 9 * 2 && nb_iconv_winograd_choose(f);
}

size_t nb_iconv_winograd_packed_bytes(const nb_geom *g)
{
    if (!nb_iconv_winograd_fits(g))
        return 0;
    return NB_ICONV_HEADER + POINTS * (size_t)g->c * (size_t)g->oc * sizeof(int16_t);
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

/* One channel of one filter to u; w: its first tap, taps are `step` apart. */
static void transform_weights(int16_t *u, int32_t channels, int32_t at_once, const int8_t *w, int32_t step)
{
    int32_t rows[3][IN], point[IN];
    for (int32_t i = 0; i < 3; i++, w += 3 * step)
        expand(rows[i], w[0], w[step], w[2 * step]);
    for (int32_t j = 0; j < IN; j++, u += (int64_t)channels / 2 * IN * STEP) {
        expand(point, rows[0][j], rows[1][j], rows[2][j]);
        for (int32_t i = 0; i < IN; i++)
            u[((int64_t)(i / at_once) * (channels / 2) * at_once + i % at_once) * STEP] = (int16_t)point[i];
    }
}

void nb_iconv_winograd_pack(void *packed, const int8_t *w, const nb_geom *g)
{
    const int32_t at_once = ((const nb_iconv_header *)packed)->method->winograd->at_once;
    int16_t *u = (int16_t *)(void *)((char *)packed + NB_ICONV_HEADER);
    for (int32_t oc = 0; oc < g->oc; oc++)
        for (int32_t c = 0; c < g->c; c++)
            transform_weights(u + (int64_t)(oc / NB_ICONV_LANES) * POINTS * g->c / 2 * STEP +
                                  (int64_t)(c / 2) * at_once * STEP + oc % NB_ICONV_LANES * 2 + c % 2,
                              g->c, at_once, w + (int64_t)oc * 9 * g->c + c, g->c);
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

typedef struct { /* where tiles go that may not be stored whole: to the scratch, then what belongs to the image */
    const nb_iconv_output *out;
    int32_t y1; /* rows to store end here */
    const nb_iconv_header *h;
    const nb_geom *g;
    int32_t *sums;
    bool codes; /* tiles become codes on the way */
} target;

static bool is_whole(const target *to, int32_t y, int32_t x)
{
    const bool direct = to->codes || to->out->acc;
    return direct && y + OUT <= to->y1 && x + OUT <= to->g->ow;
}

/* Tile i of t, at (y, x), from the scratch. */
static void store_part(const target *to, const nb_iconv_tiles *t, int32_t i, int32_t y, int32_t x)
{
    const nb_geom *g = to->g;
    const int32_t rows = to->y1 - y < OUT ? to->y1 - y : OUT, cols = g->ow - x < OUT ? g->ow - x : OUT;
    for (int32_t r = 0; r < rows; r++) {
        const int64_t at = ((int64_t)(y + r) * g->ow + x) * g->oc, n = (int64_t)cols * g->oc;
        const int64_t from = r * t->to_row[i];
        if (to->codes)
            memcpy(to->out->codes + at, (uint8_t *)t->to[i] + from, (size_t)n);
        else if (to->out->acc)
            memcpy(to->out->acc + at, (int32_t *)t->to[i] + from, (size_t)n * sizeof(int32_t));
        else
            nb_iconv_requantize_on(to->h->variant, to->out->codes + at, (int32_t *)t->to[i] + from, to->out->q, cols,
                                   g->oc);
    }
}

/* Up to four tiles of a band, the first-th and those behind it. */
static void some_tiles(const target *to, nb_iconv_tiles *t, const layout *l, const uint8_t *band, int32_t y,
                       int32_t first)
{
    const nb_geom *g = to->g;
    int32_t ty[NB_ICONV_TILES], tx[NB_ICONV_TILES];
    for (int32_t i = 0; i < NB_ICONV_TILES; i++) { /* those that are too many compute the last once more */
        const int32_t k = first + (i < t->n ? i : t->n - 1);
        ty[i] = k / l->across * OUT;
        tx[i] = k % l->across * OUT;
        t->x[i] = band + (size_t)ty[i] * l->row_bytes + (size_t)tx[i] * (size_t)g->c;
        const int64_t at = ((int64_t)(y + ty[i]) * g->ow + tx[i]) * g->oc;
        const bool whole = is_whole(to, y + ty[i], tx[i]);
        t->to_row[i] = (int64_t)(whole ? g->ow : OUT) * g->oc;
        if (whole)
            t->to[i] = to->codes ? (void *)(to->out->codes + at) : (void *)(to->out->acc + at);
        else
            t->to[i] = to->sums + (int64_t)i * OUT * OUT * g->oc;
    }
    to->h->method->winograd->tiles(t);
    for (int32_t i = 0; i < t->n; i++)
        if (!is_whole(to, y + ty[i], tx[i]))
            store_part(to, t, i, y + ty[i], tx[i]);
}

void nb_iconv_winograd_rows(const nb_iconv_output *out, const nb_iconv_input *in, const void *packed, const nb_geom *g,
                            int32_t y0, int32_t y1, void *scratch)
{
    const nb_iconv_header *h = packed;
    const layout l = layout_of(g);
    const target to = {.out = out,
                       .y1 = y1,
                       .h = h,
                       .g = g,
                       .sums = (int32_t *)(void *)((char *)scratch + l.y_at),
                       .codes = !out->acc && nb_iconv_shifts_fit(out->q, g->oc)};
    nb_iconv_tiles t = {.row = (int64_t)l.row_bytes,
                        .c = g->c,
                        .oc = g->oc,
                        .is_signed = in->is_signed,
                        .u = (const int16_t *)(const void *)((const char *)packed + NB_ICONV_HEADER),
                        .v = (int16_t *)(void *)((char *)scratch + l.v_at),
                        .q = to.codes ? out->q : NULL};
    for (int32_t y = y0; y < y1; y += l.band * OUT) {
        const int32_t rows = y1 - y < l.band * OUT ? y1 - y : l.band * OUT, down = (rows + OUT - 1) / OUT;
        const int32_t n = down * l.across;
        load_band(scratch, in, g, &l, y, down * OUT + IN - OUT);
        for (int32_t k = 0; k < n; k += NB_ICONV_TILES) {
            t.n = n - k < NB_ICONV_TILES ? n - k : NB_ICONV_TILES;
            some_tiles(&to, &t, &l, scratch, y, k);
        }
    }
}
