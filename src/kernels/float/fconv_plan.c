/* fconv_plan.c - builds the tables of a convolution: sizes first, then offsets. Every product is checked to stay below
 * 2^31. */
#include "kernels/float/fconv_plan.h"
#include "kernels/float/fwino.h"

#include <string.h>

enum { ALIGN = 64 };

const nb_variant nb_fconv_variants[] = {
#define VARIANT(name, needs) {#name, needs, &nb_fconv_##name},
#include "kernels/float/fconv.def"
#undef VARIANT
    {0}};

/* a * b, or 2^31 once that is reached: saturation survives further factors, since none is 0. */
static int64_t product(int64_t a, int64_t b)
{
    const int64_t limit = (int64_t)1 << 31;
    return a >= limit || b >= limit || a * b >= limit ? limit : a * b;
}

static bool fits(int64_t a, int64_t b, int64_t c)
{
    return product(product(a, b), c) < (int64_t)1 << 31;
}

enum { MAX_STRIDE = 1 << 30 }; /* a row number, below 2^27 by the limits in measure(), plus a stride fits in int32 */

static bool sound(const nb_geom *g)
{
    if (g->h < 1 || g->w < 1 || g->c < 1 || g->oh < 1 || g->ow < 1 || g->oc < 1 || g->kh < 1 || g->kw < 1 ||
        g->stride.h < 1 || g->stride.w < 1 || g->stride.h > MAX_STRIDE || g->stride.w > MAX_STRIDE ||
        g->dilation.h < 1 || g->dilation.w < 1 || g->pad.top < 0 || g->pad.left < 0 || g->pad.bottom < 0 ||
        g->pad.right < 0 || g->groups < 1 || g->c % g->groups != 0 || g->oc % g->groups != 0)
        return false;
    int64_t y = (int64_t)(g->oh - 1) * g->stride.h + (int64_t)(g->kh - 1) * g->dilation.h;
    int64_t x = (int64_t)(g->ow - 1) * g->stride.w + (int64_t)(g->kw - 1) * g->dilation.w;
    return y < g->h + (int64_t)g->pad.top + g->pad.bottom && x < g->w + (int64_t)g->pad.left + g->pad.right;
}

/* Rows, or columns: what one direction of a window is. */
typedef struct {
    int32_t in, out, k, stride, pad, dilation; /* pad: before the first */
} axis;

static axis rows_of(const nb_geom *g)
{
    return (axis){g->h, g->oh, g->kh, g->stride.h, g->pad.top, g->dilation.h};
}

static axis columns_of(const nb_geom *g)
{
    return (axis){g->w, g->ow, g->kw, g->stride.w, g->pad.left, g->dilation.w};
}

/* Rows of zeros before, and rows in all, that an output gradient of `out` rows needs so that every tap of every input
 * row exists. */
static void grad_border(axis a, int64_t *before, int64_t *padded)
{
    int64_t first = 0, last = a.out - 1;
    for (int32_t i = 0; i < a.k; i++) {
        int64_t shift = a.pad - (int64_t)i * a.dilation;
        int64_t y = (shift % a.stride + a.stride) % a.stride; /* y + shift is a multiple for the smallest such y */
        y = y ? a.stride - y : 0;
        if (y >= a.in)
            continue;
        int64_t lo = (y + shift) / a.stride, hi = lo + (a.in - 1 - y) / a.stride;
        first = lo < first ? lo : first;
        last = hi > last ? hi : last;
    }
    *before = -first;
    *padded = last - first + 1;
}

/* All sizes; false when something would reach 2^31 elements. */
static bool measure(nb_fconv_plan *p, const nb_geom *g, nb_fconv_way way)
{
    if (!sound(g))
        return false;
    memset(p, 0, sizeof *p);
    p->g = *g;
    p->depthwise = g->groups > 1 && g->groups == g->c && g->c == g->oc;
    p->rows3 = nb_fdepth_supports(g);
    p->isa = nb_variant_best(nb_fconv_variants)->kernels;
    p->tiles = way == NB_FCONV_FAST && p->isa->wino_product && nb_fwino_wins(g);
    p->groups = p->depthwise ? 1 : g->groups;
    p->cg = g->c / p->groups;
    p->ocg = g->oc / p->groups;
    p->tap_depth = p->depthwise ? 1 : p->ocg;

    int32_t depth = p->depthwise ? 1 : p->cg;
    int64_t ph = g->h + (int64_t)g->pad.top + g->pad.bottom, pw = g->w + (int64_t)g->pad.left + g->pad.right;
    int64_t dh, dw, top, left;
    grad_border(rows_of(g), &top, &dh);
    grad_border(columns_of(g), &left, &dw);
    int64_t c = (int64_t)g->c + NB_PANEL - 1, oc = (int64_t)g->oc + NB_PANEL - 1;
    int64_t columns = NB_PANEL * (int64_t)p->groups;
    if (!fits(ph, pw, c) || !fits(dh, dw, oc) || !fits(g->h, g->w, c) || !fits(g->oh, g->ow, oc) ||
        !fits(product(g->kh, g->kw), product(depth, columns), nb_fpanels(p->ocg)) ||
        !fits(product(g->kh, g->kw), product(p->tap_depth, columns), nb_fpanels(p->cg)) ||
        !fits(product(g->oh, g->ow), columns, nb_fpanels(p->ocg)))
        return false;

    p->n_pixels = g->oh * g->ow;
    p->n_taps = g->kh * g->kw * depth;
    p->n_phases = (g->stride.h < g->h ? g->stride.h : g->h) * (g->stride.w < g->w ? g->stride.w : g->w);
    p->x = (nb_fborder){g->h,        g->w,        g->c,        g->pad.top,
                        g->pad.left, (int32_t)ph, (int32_t)pw, p->depthwise ? nb_fround(g->c) : g->c};
    p->dy = (nb_fborder){g->oh,         g->ow,       g->oc,       (int32_t)top,
                         (int32_t)left, (int32_t)dh, (int32_t)dw, p->depthwise ? nb_fround(g->oc) : g->oc};
    p->forward_floats = (int64_t)p->groups * p->n_taps * nb_fround(p->ocg);
    p->panel_floats = p->forward_floats;
    if (p->rows3 || p->tiles)
        p->n_phases = 0;
    if (p->tiles) {
        p->forward_floats = (int64_t)nb_fwino_slot_floats(g);
        p->panel_floats = (int64_t)nb_fwino_panel_floats(g);
    } else if (!p->rows3)
        p->panel_floats += (int64_t)p->groups * g->kh * g->kw * p->tap_depth * nb_fround(p->cg);
    return true;
}

/* Sets the table pointers into mem and returns the bytes of everything (mem may be NULL to ask only). */
static size_t carve(nb_fconv_plan *p, char *mem)
{
    const size_t some = p->rows3 || p->tiles ? 0 : 1, positions = some * (size_t)p->g.kh * (size_t)p->g.kw;
    const size_t pixels = some * (size_t)p->n_pixels, taps = some * (size_t)p->n_taps;
    const size_t in = some * (size_t)p->g.h * (size_t)p->g.w;
    size_t at = (sizeof *p + ALIGN - 1) / ALIGN * ALIGN;
    struct {
        int32_t **table;
        size_t n;
    } tables[] = {
        {&p->x_row, pixels},
        {&p->y_off, pixels},
        {&p->x_tap, taps},
        {&p->slot_off, taps},
        {&p->dx_off, in},
        {&p->dy_row, in},
        {&p->dy_tap, positions * (size_t)p->tap_depth},
        {&p->dy_pos, positions},
    };
    if (mem)
        p->phase = (nb_fphase *)(void *)(mem + at);
    at += (size_t)p->n_phases * sizeof *p->phase;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        if (mem)
            *tables[i].table = (int32_t *)(void *)(mem + at);
        at += tables[i].n * sizeof(int32_t);
    }
    return (at + ALIGN - 1) / ALIGN * ALIGN;
}

static void fill_forward(nb_fconv_plan *p)
{
    const nb_geom *g = &p->g;
    const nb_fborder *b = &p->x;
    int32_t depth = p->depthwise ? 1 : p->cg, n = 0;
    for (int32_t y = 0; y < g->oh; y++)
        for (int32_t x = 0; x < g->ow; x++, n++) {
            p->x_row[n] = (y * g->stride.h * b->pw + x * g->stride.w) * b->stride;
            p->y_off[n] = n * g->oc;
        }
    n = 0;
    for (int32_t ky = 0; ky < g->kh; ky++)
        for (int32_t kx = 0; kx < g->kw; kx++)
            for (int32_t i = 0; i < depth; i++, n++) {
                p->x_tap[n] = (ky * g->dilation.h * b->pw + kx * g->dilation.w) * b->stride + i;
                p->slot_off[n] = n * (p->depthwise ? b->stride : NB_PANEL);
            }
}

/* The largest kernel index <= from that residue class a sees along one axis, or -1. Going down, offsets in the output
 * ascend. */
static int32_t next_index(axis x, int32_t a, int32_t from)
{
    int32_t i = from;
    while (i >= 0 && (a + x.pad - i * x.dilation) % x.stride != 0)
        i--;
    return i;
}

static void fill_phase(nb_fconv_plan *p, nb_fphase *f, int32_t ay, int32_t ax)
{
    const nb_geom *g = &p->g;
    const nb_fborder *b = &p->dy;
    const axis rows = rows_of(g), columns = columns_of(g);
    int32_t last_ky = next_index(rows, ay, g->kh - 1), last_kx = next_index(columns, ax, g->kw - 1);
    int32_t oy = 0, ox = 0; /* where the first tap of pixel (ay, ax) lies in the output gradient */
    if (last_ky >= 0 && last_kx >= 0) {
        oy = (ay + rows.pad - last_ky * rows.dilation) / rows.stride;
        ox = (ax + columns.pad - last_kx * columns.dilation) / columns.stride;
        for (int32_t ky = last_ky; ky >= 0; ky = next_index(rows, ay, ky - 1))
            for (int32_t kx = last_kx; kx >= 0; kx = next_index(columns, ax, kx - 1)) {
                int32_t dy = (last_ky - ky) * rows.dilation / rows.stride;
                int32_t dx = (last_kx - kx) * columns.dilation / columns.stride;
                int32_t *tap = p->dy_tap + (f->first_pos + f->n_pos) * p->tap_depth;
                for (int32_t i = 0; i < p->tap_depth; i++)
                    tap[i] = (dy * b->pw + dx) * b->stride + i;
                p->dy_pos[f->first_pos + f->n_pos++] = ky * g->kw + kx;
            }
    }
    for (int32_t y = ay; y < g->h; y += rows.stride)
        for (int32_t x = ax; x < g->w; x += columns.stride) {
            int32_t n = f->first_row + f->n_rows++;
            int32_t row = (oy + b->top + (y - ay) / rows.stride) * b->pw + ox + b->left + (x - ax) / columns.stride;
            p->dx_off[n] = (y * g->w + x) * g->c;
            p->dy_row[n] = f->n_pos ? row * b->stride : 0;
        }
}

static void fill_phases(nb_fconv_plan *p)
{
    nb_fphase next = {.panel = p->forward_floats};
    int32_t n = 0;
    for (int32_t ay = 0; ay < p->g.stride.h && ay < p->g.h; ay++)
        for (int32_t ax = 0; ax < p->g.stride.w && ax < p->g.w; ax++) {
            nb_fphase *f = &p->phase[n++];
            *f = next;
            fill_phase(p, f, ay, ax);
            next.first_row += f->n_rows;
            next.first_pos += f->n_pos;
            next.panel += (int64_t)p->groups * f->n_pos * p->tap_depth * nb_fround(p->cg);
        }
}

bool nb_fconv_plan_bytes(const nb_geom *g, nb_fconv_way way, size_t *bytes)
{
    nb_fconv_plan p;
    if (!measure(&p, g, way))
        return false;
    *bytes = carve(&p, NULL);
    return true;
}

nb_fconv_plan *nb_fconv_plan_init(void *mem, const nb_geom *g, nb_fconv_way way)
{
    nb_fconv_plan *p = mem;
    if (!measure(p, g, way))
        return NULL;
    carve(p, mem);
    if (!p->rows3 && !p->tiles) {
        fill_forward(p);
        fill_phases(p);
    }
    return p;
}
