/* qgrad.c - 16-bit gradients of one image: layouts, packing, scales, and the two passes over blocks of 16 columns.
 *
 * dx is rows times taps on the padded image of dy's codes, as in fconv.c, two output channels at a time. Panels: per
 * phase, group and 16 input channels [kernel position][pairs of output channels][16][2]; before them Q and the scale of
 * every output channel.
 * dw: rows are taps, the sum runs over pairs of output pixels of a row. Windows begin anywhere, so the input is laid
 * out with every pixel's partner beside it: [padded pixel p][channel][x(p), x(p + stride)], codes minus zero point.
 * dy's codes: [group, 16 output channels][pairs][16][2]. A last odd pixel has a zero for its partner in dy. */
#include "kernels/grad16/qgrad.h"

#include "kernels/grad16/qgrad_winograd.h"

#include <math.h>
#include <nibble/extend/tensor.h>
#include <string.h>

static const float least = 0x1p-100f; /* gradients below count as this: codes stay finite, scales normal */

static int32_t at_most(int32_t n, int32_t limit)
{
    return n < limit ? n : limit;
}

/* ---- variants ---- */

const nb_variant nb_qgrad_variants[] = {
#define VARIANT(name, needs) {#name, needs, &nb_qgrad_##name},
#include "kernels/grad16/qgrad.def"
#undef VARIANT
    {0}};

bool nb_qgrad_is_fast(void)
{
    return nb_variant_best(nb_qgrad_variants) != nb_qgrad_variants;
}

/* ---- plan ---- */

static int64_t n_taps(const nb_qgrad_plan *p)
{
    return p->f->n_taps;
}

static int64_t n_pairs(const nb_qgrad_plan *p)
{
    return (int64_t)p->f->g.oh * p->row_pairs;
}

static int64_t n_depth(const nb_qgrad_plan *p)
{
    return (int64_t)p->f->g.kh * p->f->g.kw * p->depth_pairs;
}

static void measure(nb_qgrad_plan *p, const nb_fconv_plan *f)
{
    *p = (nb_qgrad_plan){.f = f, .depth_pairs = (f->ocg + 1) / 2, .row_pairs = (f->g.ow + 1) / 2};
    p->tiles = nb_qgrad_winograd_fits(&f->g);
    p->block = p->tiles ? nb_qgrad_winograd_rows(&f->g) * p->row_pairs : NB_QGRAD_BLOCK / 2;
}

/* Codes on the grid for tiles, on a variant that does them. */
static bool by_tiles(const nb_qgrad_plan *p)
{
    return p->tiles && p->isa->winograd;
}

bool nb_qgrad_plan_bytes(const nb_fconv_plan *f, size_t *bytes)
{
    const int64_t limit = (int64_t)1 << 31;
    nb_qgrad_plan p;
    measure(&p, f);
    /* Offsets in the paired image and in dy's pairs; everything else is no larger than in the float plan. */
    if (f->depthwise || 2 * (int64_t)nb_fborder_floats(&f->x) >= limit ||
        n_pairs(&p) * 2 * NB_PANEL >= limit / (f->groups * nb_fpanels(f->ocg)))
        return false;
    *bytes = nb_round64(sizeof p) + nb_round64((size_t)(n_taps(&p) + n_pairs(&p) + n_depth(&p)) * sizeof(int32_t));
    return true;
}

nb_qgrad_plan *nb_qgrad_plan_init(void *mem, const nb_fconv_plan *f)
{
    nb_qgrad_plan *p = mem;
    measure(p, f);
    p->isa = nb_variant_best(nb_qgrad_variants)->kernels;
    p->tap_off = (int32_t *)(void *)((char *)mem + nb_round64(sizeof *p));
    p->pair_off = p->tap_off + n_taps(p);
    p->dy_off = p->pair_off + n_pairs(p);
    for (int64_t i = 0; i < n_taps(p); i++)
        p->tap_off[i] = 2 * f->x_tap[i];
    int32_t *off = p->pair_off;
    for (int32_t y = 0; y < f->g.oh; y++)
        for (int32_t x = 0; x < f->g.ow; x += 2)
            *off++ = 2 * f->x_row[y * f->g.ow + x];
    off = p->dy_off;
    for (int32_t t = 0; t < f->g.kh * f->g.kw; t++)
        for (int32_t o = 0; o < f->ocg; o += 2)
            *off++ = f->dy_tap[t * f->ocg + o];
    return p;
}

/* ---- panels ---- */

typedef struct {
    float limit;   /* Q */
    float scale[]; /* [oc] */
} panel_head;      /* then int64 [parts]: the largest sum of |w| over filters of an input channel of that part */

int32_t nb_qgrad_pack_parts(const nb_qgrad_plan *p)
{
    return p->f->groups * nb_fpanels(p->f->cg);
}

static size_t scale_bytes(const nb_qgrad_plan *p)
{
    return nb_round64(sizeof(panel_head) + (size_t)p->f->g.oc * sizeof(float));
}

static size_t head_bytes(const nb_qgrad_plan *p)
{
    return scale_bytes(p) + nb_round64((size_t)nb_qgrad_pack_parts(p) * sizeof(int64_t));
}

/* s16 values of one panel of a phase. */
static int64_t panel_codes(const nb_qgrad_plan *p, const nb_fphase *f)
{
    return (int64_t)f->n_pos * p->depth_pairs * 2 * NB_PANEL;
}

size_t nb_qgrad_panel_bytes(const nb_qgrad_plan *p)
{
    const nb_fconv_plan *f = p->f;
    int64_t codes = 0;
    if (by_tiles(p))
        return head_bytes(p) + nb_qgrad_winograd_panel_bytes(&f->g);
    for (int32_t i = 0; i < f->n_phases; i++)
        codes += panel_codes(p, &f->phase[i]) * f->groups * nb_fpanels(f->cg);
    return head_bytes(p) + nb_round64((size_t)codes * sizeof(int16_t));
}

/* One panel of a phase; w: its first input channel in the group's first filter. Filters stand side by side in twos. */
static void pack_panel(const nb_qgrad_plan *p, const nb_fphase *phase, int16_t *to, const int8_t *w, int32_t n)
{
    static const uint8_t none[NB_PANEL];
    const nb_fconv_image like = {NULL, NB_S8, 0};
    const nb_fconv_plan *f = p->f;
    const int64_t filter = (int64_t)f->g.kh * f->g.kw * f->cg;
    if (n < NB_PANEL)
        memset(to, 0, (size_t)panel_codes(p, phase) * sizeof *to);
    for (int32_t t = 0; t < phase->n_pos; t++)
        for (int32_t o = 0; o < f->ocg; o += 2, to += 2 * NB_PANEL) {
            const uint8_t *first = (const uint8_t *)w + o * filter + (int64_t)f->dy_pos[phase->first_pos + t] * f->cg;
            p->isa->beside(to, first, o + 1 < f->ocg ? first + filter : none, n, &like);
        }
}

static void add_sizes(int32_t *restrict sum, const int8_t *restrict w, int32_t n)
{
    int16_t size[NB_PANEL];
    if (n < NB_PANEL) {
        for (int32_t j = 0; j < n; j++)
            sum[j] += w[j] < 0 ? -w[j] : w[j];
        return;
    }
    for (int32_t j = 0; j < NB_PANEL; j++)
        size[j] = w[j];
    for (int32_t j = 0; j < NB_PANEL; j++)
        sum[j] += size[j] < 0 ? -size[j] : size[j];
}

/* The largest sum of |w| of n <= 16 input channels over all filters of their group; w: the first of them. */
static int64_t largest_sum(const nb_qgrad_plan *p, const int8_t *w, int32_t n)
{
    enum { BLOCK = 1 << 16 }; /* 128 * 2^16 fits 32 bits */
    const int64_t rows = (int64_t)p->f->ocg * p->f->g.kh * p->f->g.kw, step = p->f->cg;
    int64_t sum[NB_PANEL] = {0}, most = 1;
    for (int64_t from = 0; from < rows; from += BLOCK) {
        int32_t part[NB_PANEL] = {0};
        for (int64_t i = from; i < rows && i < from + BLOCK; i++)
            add_sizes(part, w + i * step, n);
        for (int32_t j = 0; j < n; j++)
            sum[j] += part[j];
    }
    for (int32_t j = 0; j < n; j++)
        most = sum[j] > most ? sum[j] : most;
    return most;
}

void nb_qgrad_pack_part(const nb_qgrad_plan *p, void *panels, const int8_t *w, int32_t part)
{
    const nb_fconv_plan *f = p->f;
    const int32_t c = part % nb_fpanels(f->cg) * NB_PANEL, n = at_most(f->cg - c, NB_PANEL);
    const int8_t *from = w + (int64_t)(part / nb_fpanels(f->cg)) * f->ocg * f->g.kh * f->g.kw * f->cg + c;
    int64_t *most = (int64_t *)(void *)((char *)panels + scale_bytes(p));
    int16_t *to = (int16_t *)(void *)((char *)panels + head_bytes(p));
    most[part] = largest_sum(p, from, n);
    if (by_tiles(p)) {
        nb_qgrad_winograd_pack(to, w, &f->g, part);
        return;
    }
    for (int32_t i = 0; i < f->n_phases; i++) {
        const int64_t codes = panel_codes(p, &f->phase[i]);
        pack_panel(p, &f->phase[i], to + part * codes, from, n);
        to += nb_qgrad_pack_parts(p) * codes;
    }
}

static int32_t largest_code(const nb_qgrad_plan *p)
{
    return p->tiles ? NB_QGRAD_TILE_MAX : NB_QGRAD_MAX;
}

void nb_qgrad_pack_finish(const nb_qgrad_plan *p, void *panels, const float *scale, int32_t n)
{
    panel_head *head = panels;
    const int64_t *sum = (const int64_t *)(const void *)((const char *)panels + scale_bytes(p));
    int64_t most = 1;
    for (int32_t i = 0; i < nb_qgrad_pack_parts(p); i++)
        most = sum[i] > most ? sum[i] : most;
    /* The largest Q for which no sum of dx can leave 32 bits. */
    const int64_t limit = INT32_MAX / (p->tiles ? NB_QGRAD_TILE_GAIN : 1) / most, largest = largest_code(p);
    head->limit = (float)(limit < largest ? limit : largest);
    for (int32_t o = 0; o < p->f->g.oc; o++)
        head->scale[o] = scale[n == 1 ? 0 : o];
}

void nb_qgrad_pack(const nb_qgrad_plan *p, void *panels, const int8_t *w, const float *scale, int32_t n)
{
    for (int32_t i = 0; i < nb_qgrad_pack_parts(p); i++)
        nb_qgrad_pack_part(p, panels, w, i);
    nb_qgrad_pack_finish(p, panels, scale, n);
}

/* ---- scratch: per channel the largest bits, factors and scales; then the images of one pass ---- */

typedef struct {
    int32_t *max;         /* [oc] */
    float *times, *scale; /* [oc + NB_PANEL]; the rest is never used but read */
    int16_t *image, *dy;  /* image: dy padded, or the input in pairs; dy: its pairs */
    uint8_t *line;        /* a row of the input */
} workspace;

static int32_t partner(const nb_fborder *b, const nb_geom *g)
{
    return at_most(g->stride.w, b->pw) * b->c; /* farther than a row: only pixels without a partner, zeros will do */
}

static size_t lay_out(const nb_qgrad_plan *p, workspace *s, char *mem)
{
    const nb_fconv_plan *f = p->f;
    const size_t channel = nb_round64(((size_t)f->g.oc + NB_PANEL) * sizeof(float));
    const size_t padded = (nb_fborder_floats(&f->dy) + 2) * sizeof(int16_t); /* an odd last pair reads one value more */
    const size_t paired = nb_fborder_floats(&f->x) * 2 * sizeof(int16_t);
    const size_t dy = (size_t)f->groups * (size_t)nb_fpanels(f->ocg) * (size_t)n_pairs(p) * 2 * NB_PANEL;
    const size_t line = (size_t)f->x.pw * (size_t)f->x.c + (size_t)partner(&f->x, &f->g);
    size_t at = 3 * channel;
    if (mem) {
        s->max = (int32_t *)(void *)mem;
        s->times = (float *)(void *)(mem + channel);
        s->scale = (float *)(void *)(mem + 2 * channel);
        s->image = (int16_t *)(void *)(mem + at);
    }
    at += nb_round64(padded > paired ? padded : paired);
    if (by_tiles(p))
        return 3 * channel + nb_qgrad_winograd_scratch_bytes(&f->g);
    if (mem)
        s->dy = (int16_t *)(void *)(mem + at);
    at += nb_round64(dy * sizeof(int16_t));
    if (mem)
        s->line = (uint8_t *)mem + at;
    return at + nb_round64(line);
}

size_t nb_qgrad_scratch_bytes(const nb_qgrad_plan *p)
{
    workspace s;
    return lay_out(p, &s, NULL);
}

static float real_of(int32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

void nb_qgrad_measure(const nb_qgrad_plan *p, const float *dy, void *scratch)
{
    workspace s = {0};
    lay_out(p, &s, scratch);
    memset(s.max, 0, (size_t)p->f->g.oc * sizeof *s.max);
    p->isa->max(s.max, dy, p->f->n_pixels, p->f->g.oc);
}

/* No NaN or infinity was measured. */
static bool is_finite(const nb_qgrad_plan *p, const workspace *s)
{
    bool finite = true;
    for (int32_t o = 0; o < p->f->g.oc; o++)
        finite = finite && s->max[o] < NB_QGRAD_INF;
    return finite;
}

static void add_nan(float *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = NAN;
}

/* ---- gradient of the input ---- */

/* dy's codes with their border of zeros. */
static void pad_gradient(const nb_qgrad_plan *p, workspace *s, const float *dy, const float *w_scale, float times)
{
    const nb_fborder *b = &p->f->dy;
    const size_t row = (size_t)b->pw * (size_t)b->stride, left = (size_t)b->left * (size_t)b->stride;
    const size_t inside = (size_t)b->w * (size_t)b->stride, below = (size_t)(b->ph - b->top - b->h) * row;
    int16_t *out = s->image;
    memset(out, 0, (size_t)b->top * row * sizeof *out);
    out += (size_t)b->top * row;
    for (int32_t y = 0; y < b->h; y++, out += row, dy += inside) {
        memset(out, 0, left * sizeof *out);
        p->isa->codes(out + left, dy, w_scale, times, b->w, b->c);
        memset(out + left + inside, 0, (row - left - inside) * sizeof *out);
    }
    memset(out, 0, (below + 2) * sizeof *out);
}

void nb_qgrad_input(const nb_qgrad_plan *p, float *dx, bool add, const float *dy, const void *panels, void *scratch)
{
    const nb_fconv_plan *f = p->f;
    const panel_head *head = panels;
    const int16_t *b = (const int16_t *)(const void *)((const char *)panels + head_bytes(p));
    workspace s;
    lay_out(p, &s, scratch);
    float most = least, scale[NB_PANEL];
    const bool finite = is_finite(p, &s);
    for (int32_t o = 0; o < f->g.oc && finite; o++) {
        const float v = real_of(s.max[o]) * head->scale[o];
        most = v > most ? v : most;
    }
    if (!finite || most == INFINITY) {
        add_nan(dx, (int64_t)f->g.h * f->g.w * f->g.c);
        return;
    }
    for (int32_t j = 0; j < NB_PANEL; j++)
        scale[j] = most / head->limit;
    if (by_tiles(p)) {
        const nb_qgrad_dx job = {dx, add, dy, head->scale, head->limit / most, scale[0]};
        nb_qgrad_winograd_input(p->isa, &f->g, &job, b, s.image);
        return;
    }
    pad_gradient(p, &s, dy, head->scale, head->limit / most);
    for (int32_t i = 0; i < f->n_phases; i++) {
        const nb_fphase *phase = &f->phase[i];
        if (phase->n_pos == 0 && add)
            continue; /* no window sees these pixels */
        nb_qrows r = {.scale = scale,
                      .out_off = f->dx_off + phase->first_row,
                      .row_off = f->dy_row + phase->first_row,
                      .sum_off = p->dy_off + (int64_t)phase->first_pos * p->depth_pairs,
                      .n_rows = phase->n_rows,
                      .n_sum = phase->n_pos * p->depth_pairs,
                      .add = add};
        for (int32_t g = 0; g < f->groups; g++)
            for (int32_t c = 0; c < f->cg; c += NB_PANEL, b += panel_codes(p, phase)) {
                r.out = dx + (int64_t)g * f->cg + c;
                r.in = s.image + (int64_t)g * f->ocg;
                r.b = b;
                r.n_cols = at_most(f->cg - c, NB_PANEL);
                p->isa->rows(&r);
            }
    }
}

/* ---- gradient of the weights ---- */

/* The padded input, every value beside its partner `stride` pixels on. */
static void pair_input(const nb_qgrad_plan *p, const workspace *s, const nb_fconv_image *x)
{
    const nb_fborder *b = &p->f->x;
    const int64_t row = (int64_t)b->pw * b->c, left = (int64_t)b->left * b->c, inside = (int64_t)b->w * b->c;
    const int32_t next = partner(b, &p->f->g);
    int16_t *out = s->image;
    memset(s->line, x->zero & 0xff, (size_t)(row + next));
    for (int32_t y = 0; y < b->ph; y++, out += 2 * row) {
        if (y < b->top || y >= b->top + b->h) {
            memset(out, 0, (size_t)(2 * row) * sizeof *out);
            continue;
        }
        memcpy(s->line + left, (const uint8_t *)x->data + (y - b->top) * inside, (size_t)inside);
        p->isa->beside(out, s->line, s->line + next, row, x);
    }
}

/* A scale per channel, and its inverse. */
static void scale_channels(const nb_qgrad_plan *p, workspace *s)
{
    const float largest = (float)largest_code(p);
    for (int32_t o = 0; o < p->f->g.oc; o++) {
        const float most = real_of(s->max[o]) > least ? real_of(s->max[o]) : least;
        s->times[o] = largest / most;
        s->scale[o] = most / largest;
    }
    memset(s->scale + p->f->g.oc, 0, NB_PANEL * sizeof *s->scale);
}

static void pair_gradient(const nb_qgrad_plan *p, workspace *s, const float *dy)
{
    const nb_fconv_plan *f = p->f;
    int16_t *out = s->dy;
    for (int32_t g = 0; g < f->groups; g++)
        for (int32_t c = 0; c < f->ocg; c += NB_PANEL) {
            const int32_t first = g * f->ocg + c;
            for (int32_t y = 0; y < f->g.oh; y++, out += (int64_t)p->row_pairs * 2 * NB_PANEL)
                p->isa->pairs(out, dy + (int64_t)y * f->g.ow * f->g.oc + first, s->times + first, f->g.ow, f->g.oc,
                              at_most(f->ocg - c, NB_PANEL));
        }
}

void nb_qgrad_weight(const nb_qgrad_plan *p, void *slot, const nb_fconv_image *x, const float *dy, void *scratch)
{
    const nb_fconv_plan *f = p->f;
    workspace s;
    lay_out(p, &s, scratch);
    if (!is_finite(p, &s)) {
        add_nan(slot, f->forward_floats);
        return;
    }
    scale_channels(p, &s);
    if (by_tiles(p)) {
        const nb_qgrad_dw job = {slot, x, dy, s.times, s.scale};
        nb_qgrad_winograd_weight(p->isa, &f->g, &job, s.image);
        return;
    }
    pair_gradient(p, &s, dy);
    pair_input(p, &s, x);
    const int16_t *b = s.dy;
    for (int32_t g = 0; g < f->groups; g++)
        for (int32_t c = 0; c < f->ocg; c += NB_PANEL) {
            const int64_t panel = (int64_t)g * nb_fpanels(f->ocg) + c / NB_PANEL;
            nb_qrows r = {.out = (float *)slot + panel * f->n_taps * NB_PANEL,
                          .in = s.image + (int64_t)2 * g * f->cg,
                          .scale = s.scale + g * f->ocg + c,
                          .out_off = f->slot_off,
                          .row_off = p->tap_off,
                          .n_rows = f->n_taps,
                          .n_cols = at_most(f->ocg - c, NB_PANEL),
                          .add = true};
            for (int32_t at = 0; at < n_pairs(p); at += r.n_sum) {
                r.b = b;
                r.sum_off = p->pair_off + at;
                r.n_sum = at_most((int32_t)n_pairs(p) - at, p->block);
                p->isa->rows(&r);
                b += (int64_t)r.n_sum * 2 * NB_PANEL;
            }
        }
}
