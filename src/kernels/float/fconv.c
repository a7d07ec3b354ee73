/* fconv.c - one image through a convolution and back: pads, packs, and hands blocks of 16 columns to the kernels of
 * fconv_isa.h.
 *
 * Panels: forward, per group [columns / 16][taps][16], columns = output channels; then per phase and group the same
 * with columns = input channels and taps = (kernel position, output channel). Depthwise: [kernel position][channels
 * rounded up to 16], twice. Slots: per group [output channels / 16][taps][16]; depthwise [kernel position][channels
 * rounded up to 16]. */
#include "kernels/float/fconv.h"

#include "kernels/float/fconv_plan.h"
#include "kernels/float/fwino.h"
#include "kernels/sweeps/sweep.h"

#include <nibble/extend/tensor.h>
#include <string.h>

/* Pixels the weight gradient sums in one go: 16 KB of output gradient stay in the first-level cache while all taps pass
 * over them. */
enum { PIXEL_BLOCK = 256 };

static size_t bytes_of(size_t floats)
{
    return nb_round64(floats * sizeof(float));
}

size_t nb_fconv_panel_bytes(const nb_fconv_plan *p)
{
    return bytes_of((size_t)p->panel_floats);
}

size_t nb_fconv_slot_bytes(const nb_fconv_plan *p)
{
    return bytes_of((size_t)p->forward_floats);
}

/* Output gradient as columns of the weight gradient: per group [columns / 16][pixels][16]; depthwise: [pixels][stride].
 */
static size_t column_floats(const nb_fconv_plan *p)
{
    return (size_t)p->groups * (size_t)p->n_pixels * (size_t)nb_fround(p->ocg);
}

size_t nb_fconv_scratch_bytes(const nb_fconv_plan *p)
{
    if (p->rows3)
        return nb_fdepth_scratch_bytes(&p->g);
    if (p->tiles)
        return bytes_of(nb_fwino_scratch_floats(&p->g));
    size_t both = bytes_of(nb_fborder_floats(&p->x)) + bytes_of(column_floats(p)),
           dy = bytes_of(nb_fborder_floats(&p->dy));
    return both > dy ? both : dy;
}

static int32_t at_most(int32_t n, int32_t limit)
{
    return n < limit ? n : limit;
}

/* n <= NB_PANEL floats and zeros after them; the constant size of the common case is worth a branch. */
static void copy_panel_row(float *out, const float *from, int32_t n)
{
    if (n == NB_PANEL) {
        memcpy(out, from, NB_PANEL * sizeof *out);
        return;
    }
    for (int32_t j = 0; j < NB_PANEL; j++)
        out[j] = j < n ? from[j] : 0.0f;
}

/* ---- weights ---- */

/* Panel [k][NB_PANEL] from n rows of `taps` floats. Goes by blocks of 16 x 16 so that both sides stay in cache. */
static void pack_panel(float *out, const float *w, int32_t n, int32_t taps)
{
    for (int32_t k0 = 0; k0 < taps; k0 += NB_PANEL) {
        int32_t end = at_most(taps, k0 + NB_PANEL);
        for (int32_t j = 0; j < NB_PANEL; j++)
            for (int32_t k = k0; k < end; k++)
                out[k * NB_PANEL + j] = j < n ? w[(int64_t)j * taps + k] : 0.0f;
    }
}

/* One panel of one group of one phase: element [tap][ci] is w[oc][position][ci], so the columns are already contiguous. */
static void pack_phase(const nb_fconv_plan *p, const nb_fphase *f, float *out, const float *w, int32_t j0)
{
    const int32_t positions = p->g.kh * p->g.kw, n = at_most(p->cg - j0, NB_PANEL);
    for (int32_t t = 0; t < f->n_pos; t++)
        for (int32_t oc = 0; oc < p->ocg; oc++, out += NB_PANEL)
            copy_panel_row(out, w + ((int64_t)oc * positions + p->dy_pos[f->first_pos + t]) * p->cg + j0, n);
}

/* pos: the kernel positions to take, NULL for all in order. */
static void pack_depthwise(const nb_fconv_plan *p, float *out, const float *w, const int32_t *pos, int32_t n_pos)
{
    int32_t positions = p->g.kh * p->g.kw;
    for (int32_t t = 0; t < n_pos; t++, out += p->x.stride)
        for (int32_t j = 0; j < p->x.stride; j++)
            out[j] = j < p->g.c ? w[(int64_t)j * positions + (pos ? pos[t] : t)] : 0.0f;
}

static void pack_channels(const nb_fconv_plan *p, float *out, const float *w)
{
    pack_depthwise(p, out, w, NULL, p->g.kh * p->g.kw);
    for (int32_t i = 0; i < p->n_phases; i++)
        pack_depthwise(p, out + p->phase[i].panel, w, p->dy_pos + p->phase[i].first_pos, p->phase[i].n_pos);
}

/* Panel j of a group, of the forward pass or of all phases of the input gradient. */
static void pack_dense(const nb_fconv_plan *p, float *out, const float *w, int32_t group, int32_t j, bool forward)
{
    const int64_t taps = p->n_taps;
    const float *from = w + (int64_t)group * p->ocg * taps;
    if (forward) {
        pack_panel(out + ((int64_t)group * nb_fpanels(p->ocg) + j) * taps * NB_PANEL,
                   from + (int64_t)j * NB_PANEL * taps, at_most(p->ocg - j * NB_PANEL, NB_PANEL), p->n_taps);
        return;
    }
    for (int32_t i = 0; i < p->n_phases; i++) {
        const nb_fphase *f = &p->phase[i];
        const int64_t depth = (int64_t)f->n_pos * p->ocg;
        pack_phase(p, f, out + f->panel + ((int64_t)group * nb_fpanels(p->cg) + j) * depth * NB_PANEL, from,
                   j * NB_PANEL);
    }
}

int32_t nb_fconv_pack_parts(const nb_fconv_plan *p)
{
    return p->depthwise ? 1 : p->groups * (nb_fpanels(p->ocg) + nb_fpanels(p->cg));
}

void nb_fconv_pack_part(const nb_fconv_plan *p, void *panels, const float *w, int32_t part)
{
    const int32_t ahead = nb_fpanels(p->ocg), each = ahead + nb_fpanels(p->cg), j = part % each;
    if (p->tiles)
        nb_fwino_pack(&p->g, panels, w, j < ahead ? j : j - ahead, j < ahead);
    else if (p->depthwise)
        pack_channels(p, panels, w);
    else
        pack_dense(p, panels, w, part / each, j < ahead ? j : j - ahead, j < ahead);
}

void nb_fconv_pack(const nb_fconv_plan *p, void *panels, const float *w)
{
    for (int32_t i = 0; i < nb_fconv_pack_parts(p); i++)
        nb_fconv_pack_part(p, panels, w, i);
}

/* ---- images ---- */

/* n pixels of a row, each b->stride floats apart in out; floats between c and stride become 0. */
static void copy_row(float *out, const nb_fborder *b, const nb_fconv_image *x, int64_t pixel)
{
    int32_t chunks = b->stride == b->c ? 1 : b->w;
    int32_t n = b->stride == b->c ? b->w * b->c : b->c;
    for (int32_t i = 0; i < chunks; i++, out += b->stride) {
        int64_t at = pixel * b->c + (int64_t)i * n;
        if (x->dtype == NB_F32)
            memcpy(out, (const float *)x->data + at, (size_t)n * sizeof *out);
        else
            nb_k_dequantize(out, (const uint8_t *)x->data + at, n, 1.0f, x->zero, x->dtype == NB_S8);
        if (chunks > 1)
            memset(out + n, 0, (size_t)(b->stride - b->c) * sizeof *out);
    }
}

const float *nb_fpadded(const nb_fborder *b, const nb_fconv_image *x, float *scratch)
{
    if (x->dtype == NB_F32 && nb_fborder_none(b))
        return x->data;
    size_t row = (size_t)b->pw * (size_t)b->stride, left = (size_t)b->left * (size_t)b->stride;
    size_t inside = (size_t)b->w * (size_t)b->stride;
    float *out = scratch;
    memset(out, 0, (size_t)b->top * row * sizeof *out);
    out += (size_t)b->top * row;
    for (int32_t y = 0; y < b->h; y++, out += row) {
        memset(out, 0, left * sizeof *out);
        copy_row(out + left, b, x, (int64_t)y * b->w);
        memset(out + left + inside, 0, (row - left - inside) * sizeof *out);
    }
    memset(out, 0, (size_t)(b->ph - b->top - b->h) * row * sizeof *out);
    return scratch;
}

/* ---- the three passes ---- */

/* All products of a pass, block by block of columns. r holds what they share: tables, bias, add, and the start of out,
 * in and b. Groups are `in_step` floats apart in `in` and `columns` in out. */
static void run_columns(const nb_fconv_plan *p, const nb_frows *r, int32_t columns, int32_t in_step)
{
    for (int32_t g = 0; g < p->groups; g++)
        for (int32_t j = 0; j < columns; j += NB_PANEL) {
            nb_frows block = *r;
            block.out += (int64_t)g * columns + j;
            block.bias = r->bias ? r->bias + (int64_t)g * columns + j : NULL;
            block.n_cols = at_most(columns - j, NB_PANEL);
            if (p->depthwise) {
                block.in += j;
                block.b += j;
                block.ldb = p->x.stride;
                p->isa->depth(&block);
            } else {
                block.in += (int64_t)g * in_step;
                block.b += ((int64_t)g * nb_fpanels(columns) + j / NB_PANEL) * r->n_sum * NB_PANEL;
                block.ldb = NB_PANEL;
                p->isa->dense(&block);
            }
        }
}

void nb_fconv_forward(const nb_fconv_plan *p, float *y, const nb_fconv_image *x, const void *panels, const float *bias,
                      void *scratch)
{
    if (p->rows3) {
        nb_fdepth_forward(p->isa, &p->g, y, x, panels, bias, scratch);
        return;
    }
    if (p->tiles) {
        nb_fwino_forward(p->isa, &p->g, y, x, panels, bias, scratch);
        return;
    }
    nb_frows r = {.out = y,
                  .in = nb_fpadded(&p->x, x, scratch),
                  .b = panels,
                  .bias = bias,
                  .out_off = p->y_off,
                  .row_off = p->x_row,
                  .sum_off = p->x_tap,
                  .n_rows = p->n_pixels,
                  .n_sum = p->n_taps};
    run_columns(p, &r, p->ocg, p->cg);
}

void nb_fconv_input_grad(const nb_fconv_plan *p, float *dx, bool add, const float *dy, const void *panels,
                         void *scratch)
{
    if (p->rows3) {
        nb_fdepth_input_grad(p->isa, &p->g, dx, add, dy, panels);
        return;
    }
    if (p->tiles) {
        nb_fwino_input_grad(p->isa, &p->g, dx, add, dy, panels, scratch);
        return;
    }
    nb_fconv_image image = {dy, NB_F32, 0};
    const float *in = nb_fpadded(&p->dy, &image, scratch);
    for (int32_t i = 0; i < p->n_phases; i++) {
        const nb_fphase *f = &p->phase[i];
        nb_frows r = {.out = dx,
                      .in = in,
                      .b = (const float *)panels + f->panel,
                      .out_off = p->dx_off + f->first_row,
                      .row_off = p->dy_row + f->first_row,
                      .sum_off = p->dy_tap + f->first_pos * p->tap_depth,
                      .n_rows = f->n_rows,
                      .n_sum = f->n_pos * p->tap_depth,
                      .add = add};
        run_columns(p, &r, p->cg, p->ocg);
    }
}

/* Output gradient as columns, see column_floats. */
static const float *gradient_columns(const nb_fconv_plan *p, const float *dy, float *out)
{
    if (p->depthwise && p->g.oc % NB_PANEL == 0)
        return dy;
    const float *start = out;
    for (int32_t g = 0; g < p->groups; g++) {
        if (p->depthwise) {
            for (int32_t i = 0; i < p->n_pixels; i++, out += p->x.stride) {
                memcpy(out, dy + (int64_t)i * p->g.oc, (size_t)p->g.oc * sizeof *out);
                memset(out + p->g.oc, 0, (size_t)(p->x.stride - p->g.oc) * sizeof *out);
            }
            continue;
        }
        for (int32_t j = 0; j < p->ocg; j += NB_PANEL) {
            int32_t n = at_most(p->ocg - j, NB_PANEL);
            for (int32_t i = 0; i < p->n_pixels; i++, out += NB_PANEL)
                copy_panel_row(out, dy + (int64_t)i * p->g.oc + (int64_t)g * p->ocg + j, n);
        }
    }
    return start;
}

void nb_fconv_weight_grad(const nb_fconv_plan *p, void *slot, const nb_fconv_image *x, const float *dy, void *scratch)
{
    if (p->rows3) {
        nb_fdepth_weight_grad(p->isa, &p->g, slot, x, dy, scratch);
        return;
    }
    if (p->tiles) {
        nb_fwino_weight_grad(p->isa, &p->g, slot, x, dy, scratch);
        return;
    }
    float *columns = (float *)scratch + bytes_of(nb_fborder_floats(&p->x)) / sizeof(float);
    nb_frows r = {.in = nb_fpadded(&p->x, x, scratch),
                  .out_off = p->slot_off,
                  .row_off = p->x_tap,
                  .sum_off = p->x_row,
                  .n_rows = p->n_taps,
                  .n_sum = p->n_pixels,
                  .ldb = p->depthwise ? p->x.stride : NB_PANEL,
                  .add = true};
    const float *b = gradient_columns(p, dy, columns), *in = r.in;
    for (int32_t g = 0; g < p->groups; g++)
        for (int32_t j = 0; j < p->ocg; j += NB_PANEL) {
            int64_t panel = (int64_t)g * nb_fpanels(p->ocg) + j / NB_PANEL;
            r.n_cols = at_most(p->ocg - j, NB_PANEL);
            r.out = (float *)slot + (p->depthwise ? j : panel * p->n_taps * NB_PANEL);
            r.b = b + (p->depthwise ? j : panel * p->n_pixels * NB_PANEL);
            r.in = in + (p->depthwise ? j : (int64_t)g * p->cg);
            for (int32_t at = 0; at < p->n_pixels; at += PIXEL_BLOCK) {
                nb_frows block = r;
                block.n_sum = at_most(p->n_pixels - at, PIXEL_BLOCK);
                block.sum_off += at;
                block.b += (int64_t)at * r.ldb;
                (p->depthwise ? p->isa->depth : p->isa->dense)(&block);
            }
        }
}

/* n columns of one panel of the slots, rows of `stride` floats from `base` on, into n rows of weights. */
static void finish_panel(const nb_fconv_plan *p, const nb_fconv_rows *to, const nb_fconv_slots *s, int64_t base,
                         int32_t n)
{
    const int32_t stride = p->depthwise ? p->x.stride : NB_PANEL;
    for (int32_t k0 = 0; k0 < to->taps; k0 += NB_PANEL) {
        float sum[NB_PANEL][NB_PANEL] = {{0}};
        const int32_t rows = at_most(to->taps - k0, NB_PANEL);
        for (int32_t i = 0; i < s->n; i++) {
            const float *from = (const float *)s->slots[i] + base + (int64_t)k0 * stride;
            for (int32_t k = 0; k < rows; k++, from += stride)
                for (int32_t j = 0; j < NB_PANEL; j++)
                    sum[k][j] += from[j];
        }
        for (int32_t j = 0; j < n; j++) {
            float *dw = to->dw + j * to->row + k0;
            if (to->set)
                for (int32_t k = 0; k < rows; k++)
                    dw[k] = s->scale * sum[k][j];
            else
                for (int32_t k = 0; k < rows; k++)
                    dw[k] += s->scale * sum[k][j];
        }
    }
}

int32_t nb_fconv_finish_parts(const nb_fconv_plan *p)
{
    return p->groups * nb_fpanels(p->ocg);
}

void nb_fconv_finish_rows(const nb_fconv_plan *p, const nb_fconv_rows *to, const nb_fconv_slots *s, int32_t part)
{
    const int32_t j = part % nb_fpanels(p->ocg) * NB_PANEL;
    finish_panel(p, to, s, p->depthwise ? j : (int64_t)part * p->n_taps * NB_PANEL, at_most(p->ocg - j, NB_PANEL));
}

void nb_fconv_finish_part(const nb_fconv_plan *p, float *dw, const nb_fconv_slots *s, int32_t part)
{
    const int32_t each = nb_fpanels(p->ocg), channel = part / each * p->ocg + part % each * NB_PANEL;
    const nb_fconv_rows to = {dw + (int64_t)channel * p->n_taps, p->n_taps, p->n_taps, false};
    if (p->tiles)
        nb_fwino_finish(&p->g, dw, s, part);
    else
        nb_fconv_finish_rows(p, &to, s, part);
}

void nb_fconv_weight_grad_finish(const nb_fconv_plan *p, float *dw, const nb_fconv_slots *s)
{
    for (int32_t i = 0; i < nb_fconv_finish_parts(p); i++)
        nb_fconv_finish_part(p, dw, s, i);
}
