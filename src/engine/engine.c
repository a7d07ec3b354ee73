/* engine.c - runs an integer model that nb_engine_check has accepted. It checks nothing itself.
 *
 * The arena is [tensors][scratch of part 0][of part 1]... Scratch serves one conv at a time; int32 outputs are computed
 * in place. A step is cut into parts by rows of its output, so parts of one step never write the same byte. */
#include "engine/engine_check.h"

#include <stdbool.h>

#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv.h"
#include "kernels/integer/ipair.h"
#include "kernels/integer/ipool.h"
#include "kernels/integer/itake.h"

static size_t align64(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

/* a + b, or SIZE_MAX when that does not fit: then no allocation succeeds. */
static size_t add_bytes(size_t a, size_t b)
{
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

size_t nb_engine_packed_bytes(const nb_emodel *m)
{
    size_t bytes = 0;
    for (int32_t i = 0; i < m->n_steps; i++)
        if (m->steps[i].kind == NB_STEP_CONV)
            bytes = add_bytes(bytes, nb_iconv_packed_bytes(&m->steps[i].geom));
    return bytes;
}

/* For one part. */
static size_t scratch_bytes(const nb_emodel *m)
{
    size_t scratch = 0;
    for (int32_t i = 0; i < m->n_steps; i++) {
        if (m->steps[i].kind != NB_STEP_CONV)
            continue;
        const size_t need = nb_iconv_scratch_bytes(&m->steps[i].geom);
        scratch = need > scratch ? need : scratch;
    }
    return scratch;
}

void nb_engine_prepare(nb_emodel *m, void *mem)
{
    m->scratch_bytes = scratch_bytes(m);
    char *to = mem;
    for (int32_t i = 0; i < m->n_steps; i++) {
        nb_estep *s = &m->steps[i];
        if (s->kind != NB_STEP_CONV)
            continue;
        const nb_erange x = nb_engine_codes(m, s->in[0]);
        nb_iconv_pack(to, s->weights, (nb_icodes){(int32_t)x.lo, (int32_t)x.hi}, &s->geom);
        s->packed = to;
        to += nb_iconv_packed_bytes(&s->geom);
    }
}

size_t nb_engine_parts_bytes(const nb_emodel *m, int32_t parts)
{
    const size_t scratch = scratch_bytes(m);
    size_t bytes = align64((size_t)m->tensor_bytes);
    for (int32_t i = 0; i < parts; i++)
        bytes = add_bytes(bytes, scratch);
    return bytes;
}

size_t nb_engine_arena_bytes(const nb_emodel *m)
{
    return nb_engine_parts_bytes(m, 1);
}

void *nb_engine_tensor(const nb_emodel *m, void *arena, int32_t tensor)
{
    return (char *)arena + m->tensors[tensor].offset;
}

typedef struct { /* what one part of a step does */
    int32_t y0, y1;
    void *scratch;
} slice;

/* Whole bands of four rows, which is what the largest tiles are made of. */
static slice slice_of(const nb_emodel *m, void *arena, int32_t rows, int32_t part, int32_t parts)
{
    const int32_t bands = (rows + 3) / 4, each = bands / parts, more = bands % parts; /* `more` parts have one more */
    const int32_t first = each * part + (part < more ? part : more), n = each + (part < more);
    slice s = {.y0 = first * 4, .y1 = (first + n) * 4};
    s.y0 = s.y0 < rows ? s.y0 : rows;
    s.y1 = s.y1 < rows ? s.y1 : rows;
    s.scratch = (char *)arena + align64((size_t)m->tensor_bytes) + (size_t)part * m->scratch_bytes;
    return s;
}

static void run_table(uint8_t *y, const uint8_t *x, const nb_estep *s, const nb_etensor *out, slice part)
{
    const int64_t n = (int64_t)(part.y1 - part.y0) * out->w, first = (int64_t)part.y0 * out->w * out->c;
    y += first;
    x += first;
    if (s->one_table) {
        for (int64_t i = 0; i < n * out->c; i++)
            y[i] = s->table[x[i]];
        return;
    }
    for (int64_t p = 0; p < n; p++, y += out->c, x += out->c)
        for (int32_t c = 0; c < out->c; c++)
            y[c] = s->table[c * 256 + x[c]];
}

static void run_conv(const nb_emodel *m, void *arena, const nb_estep *s, slice part)
{
    const nb_etensor *in = &m->tensors[s->in[0]], *out = &m->tensors[s->out];
    const nb_geom *g = &s->geom;
    const nb_irequant q = {
        .bias = s->bias, .mult = s->mult, .shift = s->shift, .zero = out->zero, .lo = s->lo, .hi = s->hi};
    void *y = nb_engine_tensor(m, arena, s->out);
    const nb_iconv_input x = {
        .x = nb_engine_tensor(m, arena, s->in[0]), .is_signed = in->type == NB_EI_S8, .zero = in->zero};
    const bool raw = out->type == NB_EI_S32;
    const nb_iconv_output to = {.acc = raw ? y : NULL, .codes = raw ? NULL : y, .q = &q};
    nb_iconv_rows(&to, &x, s->packed, g, part.y0, part.y1, part.scratch);
    if (raw) {
        int32_t *sums = (int32_t *)y + (int64_t)part.y0 * g->ow * g->oc;
        nb_iconv_requantize_s32(sums, sums, &q, (int64_t)(part.y1 - part.y0) * g->ow, g->oc);
    }
}

static void run_pair(const nb_emodel *m, void *arena, const nb_estep *s, slice part)
{
    const nb_etensor *a = &m->tensors[s->in[0]], *b = &m->tensors[s->in[1]], *out = &m->tensors[s->out];
    const bool product = s->kind == NB_STEP_MUL;
    const nb_ipair p = {.product = product,
                        .x_signed = {a->type == NB_EI_S8, b->type == NB_EI_S8},
                        .zero = {a->zero, b->zero},
                        .mult = {s->mult[0], product ? 0 : s->mult[1]},
                        .shift = s->shift[0],
                        .y_zero = out->zero,
                        .lo = s->lo,
                        .hi = s->hi};
    const uint8_t *const x[2] = {nb_engine_tensor(m, arena, s->in[0]), nb_engine_tensor(m, arena, s->in[1])};
    const nb_isize size[2] = {{a->h, a->w, a->c}, {b->h, b->w, b->c}}, whole = {out->h, out->w, out->c};
    nb_k_pair_rows(nb_engine_tensor(m, arena, s->out), x, size, &whole, part.y0, part.y1, &p);
}

static nb_regrid regrid_of(const nb_emodel *m, const nb_estep *s, int32_t k)
{
    const nb_etensor *in = &m->tensors[s->in[k]], *out = &m->tensors[s->out];
    return (nb_regrid){.x_signed = in->type == NB_EI_S8,
                       .x_zero = in->zero,
                       .mult = s->mult[k],
                       .shift = s->shift[k],
                       .y_zero = out->zero,
                       .lo = s->lo,
                       .hi = s->hi};
}

static void run_concat(const nb_emodel *m, void *arena, const nb_estep *s)
{
    const nb_etensor *out = &m->tensors[s->out];
    uint8_t *y = nb_engine_tensor(m, arena, s->out);
    for (int32_t k = 0; k < s->n_in; k++) {
        const nb_regrid r = regrid_of(m, s, k);
        const int32_t c = m->tensors[s->in[k]].c;
        nb_k_concat_codes(y, out->c, nb_engine_tensor(m, arena, s->in[k]), (int64_t)out->h * out->w, c, &r);
        y += c;
    }
}

static void run_take(const nb_emodel *m, void *arena, const nb_estep *s, slice part)
{
    const nb_etensor *in = &m->tensors[s->in[0]], *out = &m->tensors[s->out];
    const nb_take t = {
        .in = {in->h, in->w, in->c}, .out = {out->h, out->w, out->c}, .index = {s->index[0], s->index[1], s->index[2]}};
    uint8_t *y = nb_engine_tensor(m, arena, s->out), *x = nb_engine_tensor(m, arena, s->in[0]);
    if (s->kind == NB_STEP_TAKE)
        nb_k_take(y, x, &t, 1, out->zero, part.y0, part.y1);
    else
        nb_k_blend_codes(y, x, out->type == NB_EI_S8, &t, part.y0, part.y1);
}

const void *nb_engine_run_part(const nb_emodel *m, void *arena, int32_t step, int32_t part, int32_t parts,
                               const uint8_t *pixels)
{
    const nb_estep *s = &m->steps[step];
    uint8_t *y = nb_engine_tensor(m, arena, s->out);
    const nb_etensor *out = &m->tensors[s->out];
    switch ((nb_step_kind)s->kind) {
    case NB_STEP_TABLE:
        run_table(y, s->n_in ? nb_engine_tensor(m, arena, s->in[0]) : pixels, s, out,
                  slice_of(m, arena, out->h, part, parts));
        break;
    case NB_STEP_CONV:
        run_conv(m, arena, s, slice_of(m, arena, s->geom.oh, part, parts));
        break;
    case NB_STEP_ADD:
    case NB_STEP_MUL:
        run_pair(m, arena, s, slice_of(m, arena, out->h, part, parts));
        break;
    case NB_STEP_CONCAT:
        if (part == 0) /* and the rest: little work, done whole by the first part */
            run_concat(m, arena, s);
        break;
    case NB_STEP_MAXPOOL:
        if (part == 0)
            nb_k_maxpool_codes(y, nb_engine_tensor(m, arena, s->in[0]), m->tensors[s->in[0]].type == NB_EI_S8, s->lo,
                               s->hi, &s->geom);
        break;
    case NB_STEP_AVGPOOL:
    case NB_STEP_AVGPOOL_INSIDE: {
        const nb_regrid r = regrid_of(m, s, 0);
        if (part == 0)
            nb_k_avgpool_codes(y, nb_engine_tensor(m, arena, s->in[0]), &r, &s->geom,
                               s->kind == NB_STEP_AVGPOOL_INSIDE);
        break;
    }
    case NB_STEP_TAKE:
    case NB_STEP_BLEND:
        run_take(m, arena, s, slice_of(m, arena, out->h, part, parts));
        break;
    case NB_STEP_KINDS:
        break;
    }
    return y;
}

const void *nb_engine_run_step(const nb_emodel *m, void *arena, int32_t step, const uint8_t *pixels)
{
    return nb_engine_run_part(m, arena, step, 0, 1, pixels);
}

const void *nb_engine_run(const nb_emodel *m, void *arena, const uint8_t *pixels)
{
    const void *y = arena;
    for (int32_t i = 0; i < m->n_steps; i++)
        y = nb_engine_run_step(m, arena, i, pixels);
    return y;
}

static int32_t value_at(const void *out, int32_t type, int64_t i)
{
    return type == NB_EI_S32 ? ((const int32_t *)out)[i] : nb_code(((const uint8_t *)out)[i], type == NB_EI_S8);
}

int32_t nb_engine_argmax(const nb_emodel *m, const void *out)
{
    const nb_etensor *t = &m->tensors[m->steps[m->n_steps - 1].out];
    const int64_t n = nb_etensor_values(t);
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (value_at(out, t->type, i) > value_at(out, t->type, best))
            best = i;
    return (int32_t)best;
}
