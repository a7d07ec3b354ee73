/* iconv.c - integer convolution: layout, packing, the padded image, and the choice of a variant.
 *
 * A packed blob is [pixel offsets: int32 [oh*ow]][run or tap offsets: int32][panels: s16], each part 64-byte aligned
 * (iconv_isa.h). Everything else follows from the geometry (layout_of), so the blob has no header that could disagree
 * with it. The padded image holds just the rows and columns that some window reads. */
#include "kernels/iconv.h"

#include "base/cpu.h"
#include "kernels/ibytes.h"
#include "kernels/iconv_isa.h"
#include "kernels/rescale.h"

enum {
    LANES = NB_ICONV_LANES,
    MAX_SIZE = 1 << 20,   /* of one dimension; keeps nb_geom_out in 32 bits */
    MAX_WINDOW = 1 << 10, /* of kernel and dilation */
    MAX_COUNT = 1 << 28   /* of each array: offsets fit in int32, bytes in the size_t of 32-bit machines */
};

typedef struct {
    bool depthwise;
    int32_t ph, pw;          /* padded image: what the windows span */
    int32_t cg, ocg, panels; /* per group: input channels, output channels, panels of 16 (depthwise: of all channels) */
    int32_t n_runs, run_len, pairs;
    int32_t panel_len; /* s16 values */
    size_t runs_at, panels_at, bytes;
} layout;

static size_t align64(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

static bool in_range(int32_t v, int32_t lo, int32_t hi)
{
    return lo <= v && v <= hi;
}

/* a * b * c * d <= MAX_COUNT, for factors up to 2^34. */
static bool small_product(int64_t a, int64_t b, int64_t c, int64_t d)
{
    int64_t p = a;
    const int64_t factor[3] = {b, c, d};
    for (int32_t i = 0; i < 3 && p <= MAX_COUNT; i++)
        p *= factor[i];
    return p <= MAX_COUNT;
}

static layout layout_of(const nb_geom *g)
{
    layout l = {0};
    l.ph = (g->oh - 1) * g->stride + g->dilation * (g->kh - 1) + 1;
    l.pw = (g->ow - 1) * g->stride + g->dilation * (g->kw - 1) + 1;
    l.cg = g->c / g->groups;
    l.ocg = g->oc / g->groups;
    l.depthwise = g->groups > 1 && g->groups == g->c && g->oc == g->c;
    const bool rows = g->groups == 1 && (g->dilation == 1 || g->kw == 1); /* is a kernel row one run? */
    l.run_len = rows ? g->kw * g->c : l.cg;
    l.n_runs = rows ? g->kh : g->kh * g->kw;
    l.pairs = l.depthwise ? (l.n_runs + 1) / 2 : (l.run_len + 1) / 2;
    l.panels = ((l.depthwise ? g->c : l.ocg) + LANES - 1) / LANES;
    l.panel_len = (l.depthwise ? 1 : l.n_runs) * l.pairs * 2 * LANES;
    l.runs_at = align64((size_t)g->oh * (size_t)g->ow * sizeof(int32_t));
    l.panels_at = l.runs_at + align64((size_t)(l.depthwise ? 2 * l.pairs : l.n_runs) * sizeof(int32_t));
    l.bytes =
        l.panels_at + (size_t)(l.depthwise ? 1 : g->groups) * (size_t)l.panels * (size_t)l.panel_len * sizeof(int16_t);
    return l;
}

bool nb_iconv_supports(const nb_geom *g)
{
    if (!in_range(g->h, 1, MAX_SIZE) || !in_range(g->w, 1, MAX_SIZE) || !in_range(g->c, 1, MAX_SIZE) ||
        !in_range(g->oc, 1, MAX_SIZE) || !in_range(g->stride, 1, MAX_SIZE) || !in_range(g->pad, 0, MAX_SIZE))
        return false;
    if (!in_range(g->kh, 1, MAX_WINDOW) || !in_range(g->kw, 1, MAX_WINDOW) || !in_range(g->dilation, 1, MAX_WINDOW))
        return false;
    if (!in_range(g->groups, 1, g->c) || g->c % g->groups || g->oc % g->groups)
        return false;
    if (g->oh < 1 || g->oh != nb_geom_out(g->h, g->kh, g->stride, g->pad, g->dilation) || g->ow < 1 ||
        g->ow != nb_geom_out(g->w, g->kw, g->stride, g->pad, g->dilation))
        return false;
    const int64_t taps = (int64_t)g->kh * g->kw, cg = g->c / g->groups, ocg = g->oc / g->groups;
    const int64_t ph = (int64_t)(g->oh - 1) * g->stride + g->dilation * (g->kh - 1) + 1;
    const int64_t pw = (int64_t)(g->ow - 1) * g->stride + g->dilation * (g->kw - 1) + 1;
    /* Rounding up to pairs and panels at most doubles run length and adds 15 channels to a group. */
    return small_product(ph, pw, g->c, 1) && small_product(g->oh, g->ow, g->oc, 1) &&
           small_product(g->h, g->w, g->c, 1) &&
           small_product(taps, cg + 1, g->groups, (ocg + LANES - 1) / LANES * LANES);
}

size_t nb_iconv_packed_bytes(const nb_geom *g)
{
    return layout_of(g).bytes;
}

size_t nb_iconv_scratch_bytes(const nb_geom *g)
{
    const layout l = layout_of(g);
    return align64(((size_t)l.ph * (size_t)l.pw * (size_t)g->c + NB_ICONV_SLACK) * sizeof(int16_t));
}

static void write_tables(int32_t *px, int32_t *runs, const nb_geom *g, const layout *l)
{
    for (int32_t oy = 0; oy < g->oh; oy++)
        for (int32_t ox = 0; ox < g->ow; ox++)
            *px++ = (oy * g->stride * l->pw + ox * g->stride) * g->c;
    const int32_t taps_per_row = l->n_runs / g->kh;
    for (int32_t r = 0; r < l->n_runs; r++)
        runs[r] = (r / taps_per_row * l->pw + r % taps_per_row) * g->dilation * g->c;
    if (l->depthwise && l->n_runs % 2)
        runs[l->n_runs] = runs[0]; /* the odd tap's partner: any address that may be read, its weights are zero */
}

static void pack_dense(int16_t *panel, const int8_t *w, const nb_geom *g, const layout *l)
{
    const int64_t per_oc = (int64_t)l->n_runs * l->run_len;
    for (int32_t grp = 0; grp < g->groups; grp++)
        for (int32_t c0 = 0; c0 < l->ocg; c0 += LANES, panel += l->panel_len)
            for (int32_t lane = 0; lane < LANES && c0 + lane < l->ocg; lane++) {
                const int8_t *from = w + ((int64_t)grp * l->ocg + c0 + lane) * per_oc;
                int16_t *to = panel + 2 * lane;
                for (int32_t r = 0; r < l->n_runs; r++) {
                    for (int32_t k = 0; k < l->run_len / 2; k++, from += 2, to += 2 * LANES) {
                        to[0] = (int16_t)from[0];
                        to[1] = (int16_t)from[1];
                    }
                    if (l->run_len % 2) {
                        to[0] = (int16_t)*from++;
                        to += 2 * LANES;
                    }
                }
            }
}

static void pack_depthwise(int16_t *panels, const int8_t *w, const nb_geom *g, const layout *l)
{
    for (int32_t c = 0; c < g->c; c++) {
        int16_t *to = panels + (int64_t)(c / LANES) * l->panel_len + c % LANES * 2;
        for (int32_t t = 0; t < l->n_runs; t++)
            to[t / 2 * (2 * LANES) + t % 2] = (int16_t)w[(int64_t)c * l->n_runs + t];
    }
}

void nb_iconv_pack(void *packed, const int8_t *w, const nb_geom *g)
{
    const layout l = layout_of(g);
    char *blob = packed;
    memset(blob, 0, l.bytes);
    write_tables((int32_t *)(void *)blob, (int32_t *)(void *)(blob + l.runs_at), g, &l);
    (l.depthwise ? pack_depthwise : pack_dense)((int16_t *)(void *)(blob + l.panels_at), w, g, &l);
}

static void fill(int16_t *to, int32_t value, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = (int16_t)value;
}

void nb_iconv_load_on(const nb_iconv_isa *isa, void *scratch, const void *x, int32_t x_signed, int32_t zero,
                      const nb_geom *g)
{
    const layout l = layout_of(g);
    const int64_t row = (int64_t)l.pw * g->c;
    const int32_t left = g->pad < l.pw ? g->pad : l.pw;
    const int32_t used = l.pw - left < g->w ? l.pw - left : g->w; /* columns of the image that windows reach */
    int16_t *to = scratch;
    for (int32_t y = 0; y < l.ph; y++, to += row) {
        const int32_t iy = y - g->pad;
        if (iy < 0 || iy >= g->h) {
            fill(to, zero, row);
            continue;
        }
        fill(to, zero, (int64_t)left * g->c);
        isa->widen(to + (int64_t)left * g->c, (const uint8_t *)x + (int64_t)iy * g->w * g->c, x_signed,
                   (int64_t)used * g->c);
        fill(to + (int64_t)(left + used) * g->c, zero, (int64_t)(l.pw - left - used) * g->c);
    }
    fill(to, 0, NB_ICONV_SLACK);
}

void nb_iconv_pixels_on(const nb_iconv_isa *isa, int32_t *acc, int32_t first, int32_t n, const void *packed,
                        const nb_geom *g, const void *scratch)
{
    const layout l = layout_of(g);
    const char *blob = packed;
    nb_iconv_job j = {.acc_stride = g->oc,
                      .px = (const int32_t *)(const void *)blob + first,
                      .n = n,
                      .runs = (const int32_t *)(const void *)(blob + l.runs_at),
                      .n_runs = l.n_runs,
                      .pairs = l.pairs,
                      .panel = (const int16_t *)(const void *)(blob + l.panels_at)};
    const int32_t groups = l.depthwise ? 1 : g->groups, channels = l.depthwise ? g->c : l.ocg;
    for (int32_t grp = 0; grp < groups; grp++)
        for (int32_t c0 = 0; c0 < channels; c0 += LANES, j.panel += l.panel_len) {
            j.acc = acc + (int64_t)grp * l.ocg + c0;
            j.x = (const int16_t *)scratch + (l.depthwise ? c0 : grp * l.cg);
            j.lanes = channels - c0 < LANES ? channels - c0 : LANES;
            (l.depthwise ? isa->depthwise : isa->dense)(&j);
        }
}

#define ICONV(name, needs) &nb_iconv_##name,
const nb_iconv_isa *const nb_iconv_isas[] = {
#include "kernels/iconv.def"
    NULL};
#undef ICONV

const nb_iconv_isa *nb_iconv_best(void)
{
#ifdef NB_FREESTANDING /* no way to ask the processor: what the compiler was told to use */
    const uint32_t here = ~(uint32_t)0;
#else
    const uint32_t here = nb_cpu_features();
#endif
    const nb_iconv_isa *best = &nb_iconv_scalar;
    for (int32_t i = 0; nb_iconv_isas[i]; i++)
        if ((nb_iconv_isas[i]->needs & ~here) == 0)
            best = nb_iconv_isas[i];
    return best;
}

void nb_iconv_load(void *scratch, const void *x, int32_t x_signed, int32_t zero, const nb_geom *g)
{
    nb_iconv_load_on(nb_iconv_best(), scratch, x, x_signed, zero, g);
}

void nb_iconv_pixels(int32_t *acc, int32_t first, int32_t n, const void *packed, const nb_geom *g, const void *scratch)
{
    nb_iconv_pixels_on(nb_iconv_best(), acc, first, n, packed, g, scratch);
}

void nb_iconv_run(int32_t *acc, const void *x, int32_t x_signed, int32_t zero, const void *packed, const nb_geom *g,
                  void *scratch)
{
    nb_iconv_load(scratch, x, x_signed, zero, g);
    nb_iconv_pixels(acc, 0, g->oh * g->ow, packed, g, scratch);
}

void nb_iconv_requantize(uint8_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c)
{
    nb_iconv_best()->requantize(codes, acc, q, rows, c);
}

void nb_iconv_requantize_s32(int32_t *codes, const int32_t *acc, const nb_irequant *q, int64_t rows, int32_t c)
{
    for (int64_t r = 0; r < rows; r++, acc += c, codes += c)
        for (int32_t i = 0; i < c; i++) {
            const int32_t v = acc[i] + q->bias[i];
            codes[i] = q->mult ? nb_rescale(v, q->mult[i], q->shift[i], q->zero, q->lo, q->hi)
                               : nb_clamp_code(v, q->lo, q->hi);
        }
}
