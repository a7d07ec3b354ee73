/* iconv_direct.c - integer convolution as rows times taps: layout, packing, the padded image, blocks of pixels.
 *
 * A packed blob is [header][pixel offsets: int32 [oh*ow]][run or tap offsets: int32][starting sums: int32, bytes
 * only][panels], each part 64-byte aligned (iconv_isa.h). Everything but the header follows from geometry and form
 * (layout_of). The padded image holds just the rows and columns that some window reads. Scratch is [padded
 * image][accumulators of one block]: a block is small, so accumulators become codes while they are in the nearest
 * cache. */
#include "kernels/integer/iconv_direct.h"

#include "kernels/integer/ibytes.h"

enum {
    LANES = NB_ICONV_LANES,
    STEP = 64, /* bytes of one step of a panel */
    TILE = 12  /* pixels: a multiple of every kernel's tile, so that blocks leave no remainders */
};

typedef struct {
    bool depthwise, small;   /* small: depthwise3 of iconv_isa.h */
    int32_t ph, pw;          /* padded image: what the windows span */
    int32_t cg, ocg, panels; /* per group: input channels, output channels, panels of 16 (depthwise: of all channels) */
    int32_t groups;          /* 1 for depthwise */
    int32_t n_runs, run_len, steps, wide; /* wide: values of k per lane and step */
    size_t value;                         /* bytes of one value of the padded image */
    size_t panel_bytes;
    size_t px_at, runs_at, start_at, panels_at, bytes;
} layout;

/* Of 3x3 depthwise layers: may they take the form of bytes? */
static bool fits_depthwise3(const nb_geom *g)
{
    return nb_iconv_is_depthwise(g) && g->kh == 3 && g->kw == 3 && g->stride.h == g->stride.w && g->stride.h <= 2 &&
           g->dilation.h == 1 && g->dilation.w == 1 && g->c % 8 == 0;
}

/* form: of a depthwise layer, NB_ICONV_BYTES if it is done by depthwise3. */
static layout layout_of(const nb_geom *g, nb_iconv_form form)
{
    layout l = {.depthwise = nb_iconv_is_depthwise(g), .px_at = NB_ICONV_HEADER};
    l.small = form == NB_ICONV_BYTES && fits_depthwise3(g);
    const bool narrow = form == NB_ICONV_BYTES && !l.depthwise;
    l.ph = (g->oh - 1) * g->stride.h + g->dilation.h * (g->kh - 1) + 1;
    l.pw = (g->ow - 1) * g->stride.w + g->dilation.w * (g->kw - 1) + 1;
    l.groups = l.depthwise ? 1 : g->groups;
    l.cg = g->c / g->groups;
    l.ocg = l.depthwise ? g->c : g->oc / g->groups;
    l.wide = narrow ? 4 : 2;
    l.value = narrow || l.small ? 1 : 2;
    const bool rows = g->groups == 1 && (g->dilation.w == 1 || g->kw == 1); /* is a kernel row one run? */
    l.run_len = rows ? g->kw * g->c : l.cg;
    l.n_runs = rows ? g->kh : g->kh * g->kw;
    l.steps = l.depthwise ? (l.n_runs + 1) / 2 : (l.run_len + l.wide - 1) / l.wide;
    l.panels = (l.ocg + LANES - 1) / LANES;
    l.panel_bytes = (size_t)(l.depthwise ? 1 : l.n_runs) * (size_t)l.steps * STEP;
    l.runs_at = l.px_at + nb_iconv_align((size_t)g->oh * (size_t)g->ow * sizeof(int32_t));
    l.start_at = l.runs_at + nb_iconv_align((size_t)(l.depthwise ? 2 * l.steps : l.n_runs) * sizeof(int32_t));
    l.panels_at = l.start_at + (narrow ? (size_t)l.groups * (size_t)l.panels * LANES * sizeof(int32_t) : 0);
    l.bytes = l.panels_at + (size_t)l.groups * (size_t)l.panels * l.panel_bytes;
    return l;
}

static size_t image_bytes(const nb_geom *g, const layout *l)
{
    return nb_iconv_align((size_t)l->ph * (size_t)l->pw * (size_t)g->c * l->value + NB_ICONV_SLACK);
}

/* Pixels whose accumulators make one block. */
static int32_t block_pixels(const nb_geom *g)
{
    const int32_t n = NB_ICONV_ACC / g->oc / TILE * TILE, pixels = g->oh * g->ow;
    const int32_t block = n < TILE ? TILE : n;
    return block < pixels ? block : pixels;
}

size_t nb_iconv_direct_packed_bytes(const nb_geom *g, nb_iconv_form form)
{
    return layout_of(g, form).bytes;
}

size_t nb_iconv_direct_scratch_bytes(const nb_geom *g, nb_iconv_form form)
{
    const layout l = layout_of(g, form);
    return image_bytes(g, &l) + nb_iconv_align((size_t)block_pixels(g) * (size_t)g->oc * sizeof(int32_t));
}

static int32_t larger(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* The most that positive weights of two neighbours, or negative ones, add up to. */
static int32_t run_pair_max(const int8_t *w, int32_t n)
{
    int16_t up = 0, down = 0; /* so compilers make it vectors of these */
    for (int32_t k = 0; k + 1 < n; k += 2) {
        const int16_t a = w[k], b = w[k + 1];
        const int16_t more = (int16_t)((a > 0 ? a : 0) + (b > 0 ? b : 0)), less = (int16_t)(more - a - b);
        up = more > up ? more : up;
        down = less > down ? less : down;
    }
    const int32_t last = n % 2 ? w[n - 1] : 0;
    return larger(larger(up, down), larger(last, -last));
}

int32_t nb_iconv_direct_pair_max(const int8_t *w, nb_icodes x, const nb_geom *g)
{
    const layout l = layout_of(g, NB_ICONV_BYTES);
    int32_t most = 0;
    for (int64_t run = (int64_t)g->oc * l.n_runs; run > 0; run--, w += l.run_len)
        most = larger(most, run_pair_max(w, l.run_len));
    return most * (x.hi - x.lo);
}

int64_t nb_iconv_direct_sum_max(const int8_t *w, nb_icodes x, const nb_geom *g)
{
    const int64_t filter = (int64_t)g->kh * g->kw * (g->c / g->groups);
    int64_t largest = 0;
    for (int32_t c = 0; c < g->oc; c++) {
        int64_t up = 0, down = 0;
        for (int64_t i = 0; i < filter; i++, w++) {
            up += *w > 0 ? *w : 0;
            down += *w < 0 ? *w : 0;
        }
        const int64_t most = up * x.hi + down * x.lo, least = up * x.lo + down * x.hi;
        largest = most > largest ? most : largest;
        largest = -least > largest ? -least : largest;
    }
    return largest;
}

static void write_tables(char *blob, const nb_geom *g, const layout *l)
{
    int32_t *px = (int32_t *)(void *)(blob + l->px_at), *runs = (int32_t *)(void *)(blob + l->runs_at);
    for (int32_t oy = 0; oy < g->oh; oy++)
        for (int32_t ox = 0; ox < g->ow; ox++)
            *px++ = (oy * g->stride.h * l->pw + ox * g->stride.w) * g->c;
    const int32_t taps_per_row = l->n_runs / g->kh;
    for (int32_t r = 0; r < l->n_runs; r++)
        runs[r] = (r / taps_per_row * g->dilation.h * l->pw + r % taps_per_row * g->dilation.w) * g->c;
    if (l->depthwise && l->n_runs % 2)
        runs[l->n_runs] = runs[0]; /* the odd tap's partner: any address that may be read, its weights are zero */
}

/* One filter into its lane: from [n_runs][run_len] to every LANES-th group of `wide` values. */
static void pack_s16(int16_t *to, const int8_t *from, const layout *l)
{
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

static void pack_bytes(int8_t *to, const int8_t *from, const layout *l)
{
    for (int32_t r = 0; r < l->n_runs; r++, from += l->run_len)
        for (int32_t k = 0; k < l->run_len; k += 4, to += 4 * LANES)
            memcpy(to, from + k, (size_t)(l->run_len - k < 4 ? l->run_len - k : 4));
}

/* The same of a whole panel of filters whose runs are whole steps: what is written lies in a row. */
static void pack_whole_bytes(int8_t *to, const int8_t *from, const layout *l)
{
    const int64_t filter = (int64_t)l->n_runs * l->run_len;
    for (int64_t k = 0; k < filter; k += 4)
        for (int32_t lane = 0; lane < LANES; lane++, to += 4)
            memcpy(to, from + lane * filter + k, 4);
}

/* What a channel's sum begins with, as its codes are smaller by `base`. */
static int32_t start_of(const int8_t *w, int64_t n, int32_t base)
{
    int32_t sum = 0;
    for (int64_t i = 0; base != 0 && i < n; i++)
        sum += w[i];
    return (int32_t)((uint32_t)base * (uint32_t)sum);
}

static void pack_dense(char *blob, const int8_t *w, const nb_geom *g, const layout *l)
{
    const int64_t filter = (int64_t)l->n_runs * l->run_len;
    const int32_t base = ((const nb_iconv_header *)(const void *)blob)->base;
    char *panel = blob + l->panels_at;
    int32_t *start = (int32_t *)(void *)(blob + l->start_at);
    for (int32_t group = 0; group < g->groups; group++)
        for (int32_t c0 = 0; c0 < l->ocg; c0 += LANES, panel += l->panel_bytes, start += LANES) {
            const bool whole = l->wide == 4 && l->run_len % 4 == 0 && l->ocg - c0 >= LANES;
            if (whole)
                pack_whole_bytes((int8_t *)panel, w, l);
            for (int32_t lane = 0; lane < LANES && c0 + lane < l->ocg; lane++, w += filter) {
                if (l->wide == 2) {
                    pack_s16((int16_t *)(void *)panel + 2 * lane, w, l);
                    continue;
                }
                if (!whole)
                    pack_bytes((int8_t *)panel + 4 * lane, w, l);
                start[lane] = start_of(w, filter, base);
            }
        }
}

/* Where depthwise3 wants the taps. */
static const int32_t place3[9] = {0, 2, 4, 1, 3, 5, 6, 7, 9};

static void pack_depthwise(char *blob, const int8_t *w, const nb_geom *g, const layout *l)
{
    for (int32_t c = 0; c < g->c; c++) {
        int16_t *to = (int16_t *)(void *)(blob + l->panels_at + (size_t)(c / LANES) * l->panel_bytes) + c % LANES * 2;
        for (int32_t t = 0; t < l->n_runs; t++) {
            const int32_t at = l->small ? place3[t] : t;
            to[at / 2 * (2 * LANES) + at % 2] = (int16_t)w[(int64_t)c * l->n_runs + t];
        }
    }
}

static nb_iconv_form form_of(const nb_iconv_header *h)
{
    if (h->method)
        return h->method->form;
    return NB_ICONV_FUNCTION(h->variant, depthwise3) ? NB_ICONV_BYTES : NB_ICONV_S16;
}

void nb_iconv_direct_pack(void *packed, const int8_t *w, const nb_geom *g)
{
    const layout l = layout_of(g, form_of(packed));
    char *blob = packed;
    memset(blob + l.px_at, 0, l.bytes - l.px_at);
    write_tables(blob, g, &l);
    (l.depthwise ? pack_depthwise : pack_dense)(blob, w, g, &l);
}

/* ---- the padded image ---- */

static void fill(char *to, int32_t value, int64_t n, const layout *l)
{
    if (l->value == 1) {
        memset(to, value & 0xff, (size_t)n);
        return;
    }
    int16_t *wide = (int16_t *)(void *)to;
    for (int64_t i = 0; i < n; i++)
        wide[i] = (int16_t)value;
}

static void copy_codes(char *to, const uint8_t *from, const nb_iconv_header *h, int32_t is_signed, int64_t n,
                       const layout *l)
{
    uint8_t *bytes = (uint8_t *)to;
    const int32_t base = h->base & 0xff;
    if (l->value == 2)
        NB_ICONV_FUNCTION(h->variant, widen)((int16_t *)(void *)to, from, is_signed, n);
    else if (base == 0)
        memcpy(to, from, (size_t)n);
    else
        for (int64_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)(from[i] - base);
}

/* Rows y0 to y1 - 1 of the padded image, to their place. */
static void load(char *image, const nb_iconv_input *in, const nb_iconv_header *h, const nb_geom *g, const layout *l,
                 int32_t y0, int32_t y1)
{
    const int64_t row = (int64_t)l->pw * g->c;
    const int32_t zero = l->value == 1 ? in->zero - h->base : in->zero;
    char *to = image + (size_t)y0 * (size_t)row * l->value;
    const int32_t left = g->pad.left < l->pw ? g->pad.left : l->pw;
    const int32_t used = l->pw - left < g->w ? l->pw - left : g->w; /* columns of the image that windows reach */
    for (int32_t y = y0; y < y1; y++) {
        const int32_t iy = y - g->pad.top;
        if (iy < 0 || iy >= g->h) {
            fill(to, zero, row, l);
            to += (size_t)row * l->value;
            continue;
        }
        const int64_t n_left = (int64_t)left * g->c, n = (int64_t)used * g->c;
        fill(to, zero, n_left, l);
        to += (size_t)n_left * l->value;
        copy_codes(to, (const uint8_t *)in->x + (int64_t)iy * g->w * g->c, h, in->is_signed, n, l);
        to += (size_t)n * l->value;
        fill(to, zero, row - n_left - n, l);
        to += (size_t)(row - n_left - n) * l->value;
    }
    memset(to, 0, NB_ICONV_SLACK);
}

/* ---- pixels ---- */

static void (*kernel_of(const nb_iconv_header *h, const layout *l))(const nb_iconv_job *j)
{
    if (h->method)
        return h->method->dense;
    return l->small ? NB_ICONV_FUNCTION(h->variant, depthwise3) : NB_ICONV_FUNCTION(h->variant, depthwise);
}

/* Of n pixels from the first-th on: sums to acc or, if that is NULL, codes. */
static void pixels(int32_t *acc, uint8_t *codes, const nb_irequant *q, int32_t first, int32_t n, const char *blob,
                   const nb_geom *g, const layout *l, const char *image, int32_t is_signed)
{
    const nb_iconv_header *h = (const nb_iconv_header *)(const void *)blob;
    nb_irequant part;
    nb_iconv_job j = {.acc_stride = g->oc,
                      .px = (const int32_t *)(const void *)(blob + l->px_at) + first,
                      .n = n,
                      .runs = (const int32_t *)(const void *)(blob + l->runs_at),
                      .n_runs = l->n_runs,
                      .steps = l->steps,
                      .channels = l->ocg,
                      .q = &part,
                      .burst = h->burst,
                      .is_signed = is_signed};
    void (*const kernel)(const nb_iconv_job *) = kernel_of(h, l);
    const char *panels = blob + l->panels_at;
    const int32_t *start = (const int32_t *)(const void *)(blob + l->start_at);
    for (int32_t group = 0; group < l->groups; group++) {
        const int64_t c = (int64_t)group * l->ocg;
        if (acc)
            j.acc = acc + c;
        else {
            j.codes = codes + c;
            part = *q;
            part.bias += c;
            part.mult += c;
            part.shift += c;
        }
        j.x = image + (size_t)(group * l->cg) * l->value;
        j.panels = panels + (size_t)(group * l->panels) * l->panel_bytes;
        j.start = start + (int64_t)group * l->panels * LANES;
        kernel(&j);
    }
}

static bool gives_codes(const nb_iconv_header *h, const nb_irequant *q, const nb_geom *g, const layout *l)
{
    if (!nb_iconv_shifts_fit(q, g->oc))
        return false;
    if (h->method)
        return h->method->gives_codes && l->ocg % LANES == 0;
    const nb_iconv_isa *isa = nb_variant_with(nb_iconv_variants, h->variant, offsetof(nb_iconv_isa, depthwise3));
    return l->small && isa->depthwise3_gives_codes;
}

/* The codes as they are, nothing around them: windows of one pixel without stride. Nothing behind them is read then: all
 * quads are whole. */
static bool is_padded_already(const nb_iconv_header *h, const nb_geom *g, const layout *l)
{
    return h->method && h->method->reads_quads && l->value == 1 && h->base == 0 && l->run_len % l->wide == 0 &&
           l->ph == g->h && l->pw == g->w && g->pad.top == 0 && g->pad.left == 0;
}

void nb_iconv_direct_rows(const nb_iconv_output *out, const nb_iconv_input *in, const void *packed, const nb_geom *g,
                          int32_t y0, int32_t y1, void *scratch)
{
    const nb_iconv_header *h = packed;
    const layout l = layout_of(g, form_of(h));
    const int32_t first = y0 * g->ow, end = y1 * g->ow;
    if (y0 >= y1)
        return;
    const char *image = scratch;
    if (is_padded_already(h, g, &l))
        image = in->x;
    else
        load(scratch, in, h, g, &l, y0 * g->stride.h, (y1 - 1) * g->stride.h + g->dilation.h * (g->kh - 1) + 1);
    if (out->acc) {
        pixels(out->acc + (int64_t)first * g->oc, NULL, NULL, first, end - first, packed, g, &l, image, in->is_signed);
        return;
    }
    if (gives_codes(h, out->q, g, &l)) {
        pixels(NULL, out->codes + (int64_t)first * g->oc, out->q, first, end - first, packed, g, &l, image,
               in->is_signed);
        return;
    }
    int32_t *acc = (int32_t *)(void *)((char *)scratch + image_bytes(g, &l));
    const int32_t block = block_pixels(g);
    for (int32_t p = first; p < end; p += block) {
        const int32_t n = end - p < block ? end - p : block;
        pixels(acc, NULL, NULL, p, n, packed, g, &l, image, in->is_signed);
        nb_iconv_requantize_on(h->variant, out->codes + (int64_t)p * g->oc, acc, out->q, n, g->oc);
    }
}
