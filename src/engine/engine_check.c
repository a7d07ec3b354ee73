/* engine_check.c - proves that a model can be run without further checks: each rule with its sentence.
 *
 * Sizes are bounded before they are multiplied, indices before they are used. What is proven per step: its shapes agree
 * with its tensors, no 32-bit sum and no 64-bit product can overflow, its output does not touch a tensor that is still
 * needed. Quadratic in the number of steps at worst (a few thousand), no memory of its own. */
#include "engine/engine_check.h"

#include <stdbool.h>

#include "kernels/integer/ibytes.h"
#include "kernels/integer/iconv.h"
#include "kernels/integer/ipool.h"

enum { MULT_MIN = 1 << 30, SHIFT_MAX = 62 };

typedef nb_everdict verdict;

static bool within(int64_t v, int64_t lo, int64_t hi)
{
    return lo <= v && v <= hi;
}

static nb_erange type_range(int32_t type)
{
    switch (type) {
    case NB_EI_U8:
        return (nb_erange){0, 255};
    case NB_EI_S8:
        return (nb_erange){-128, 127};
    default:
        return (nb_erange){INT32_MIN, INT32_MAX};
    }
}

int64_t nb_estep_weights(const nb_estep *s)
{
    const nb_geom *g = &s->geom;
    return s->kind == NB_STEP_CONV ? (int64_t)g->oc * g->kh * g->kw * (g->c / g->groups) : 0;
}

int32_t nb_estep_mults(const nb_estep *s)
{
    switch (s->kind) {
    case NB_STEP_CONV:
        return s->geom.oc;
    case NB_STEP_ADD:
    case NB_STEP_CONCAT:
        return s->n_in;
    case NB_STEP_AVGPOOL:
    case NB_STEP_AVGPOOL_INSIDE:
    case NB_STEP_MUL:
        return 1;
    default:
        return 0;
    }
}

int32_t nb_estep_shifts(const nb_estep *s)
{
    return s->kind == NB_STEP_ADD ? 1 : nb_estep_mults(s);
}

int32_t nb_estep_indices(const nb_emodel *m, const nb_estep *s, int32_t axis)
{
    const nb_etensor *out = &m->tensors[s->out];
    const int32_t size[3] = {out->h, out->w, out->c};
    return s->kind == NB_STEP_TAKE || (s->kind == NB_STEP_BLEND && axis < 2) ? size[axis] : 0;
}

int32_t nb_estep_tables(const nb_estep *s, const nb_etensor *out)
{
    return s->kind != NB_STEP_TABLE ? 0 : s->one_table ? 1 : out->c;
}

int32_t nb_engine_writer(const nb_emodel *m, int32_t tensor)
{
    for (int32_t i = 0; i < m->n_steps; i++)
        if (m->steps[i].out == tensor)
            return i;
    return -1;
}

nb_erange nb_engine_codes(const nb_emodel *m, int32_t tensor)
{
    const nb_estep *s = &m->steps[nb_engine_writer(m, tensor)];
    const int32_t zero = m->tensors[tensor].zero;
    return (nb_erange){s->lo < zero ? s->lo : zero, s->hi > zero ? s->hi : zero};
}

verdict nb_engine_check_tensor(const nb_emodel *m, int32_t tensor)
{
    const nb_etensor *t = &m->tensors[tensor];
    const int32_t where = 1 + m->n_steps + tensor;
    const nb_erange codes = type_range(t->type);
    if (!within(t->h, 1, NB_EMAX_SIZE) || !within(t->w, 1, NB_EMAX_SIZE) || !within(t->c, 1, NB_EMAX_CHANNELS) ||
        nb_etensor_values(t) > NB_EMAX_VALUES)
        return (verdict){
            where, "size #x#x#: must be at least 1 and at most # values", {t->h, t->w, t->c, NB_EMAX_VALUES}};
    if (t->type != NB_EI_U8 && t->type != NB_EI_S8 && t->type != NB_EI_S32)
        return (verdict){where, "type #: must be u8, s8 or s32", {t->type}};
    if (!within(t->zero, codes.lo, codes.hi) || (t->type == NB_EI_S32 && t->zero != 0))
        return (verdict){where, "zero point #: must be a code of the grid, and 0 for s32", {t->zero}};
    if (t->offset % 64 != 0)
        return (verdict){where, "offset #: must be a multiple of 64", {(int64_t)t->offset}};
    if (t->offset > m->tensor_bytes || nb_etensor_bytes(t) > m->tensor_bytes - t->offset)
        return (verdict){where, "reaches behind the # bytes of the arena", {(int64_t)m->tensor_bytes}};
    return (verdict){0};
}

/* ---- shape ---- */

/* Inputs are written by earlier steps, each tensor by one. */
static verdict check_order(const nb_emodel *m, int32_t step)
{
    const nb_estep *s = &m->steps[step];
    if (step == 0 && s->kind != NB_STEP_TABLE)
        return (verdict){1 + step, "the first step must be the table", {0}};
    if (s->kind == NB_STEP_TABLE && s->n_in != (step > 0))
        return (verdict){1 + step, "only the first step reads the pixels, every other table a tensor", {0}};
    for (int32_t k = 0; k < s->n_in; k++)
        if (!within(nb_engine_writer(m, s->in[k]), 0, step - 1))
            return (verdict){1 + step, "reads a tensor no earlier step has written: @", {s->in[k]}};
    if (nb_engine_writer(m, s->out) != step)
        return (verdict){1 + step, "writes a tensor an earlier step has written: @", {s->out}};
    return (verdict){0};
}

static verdict check_wiring(const nb_emodel *m, int32_t step)
{
    static const int32_t min_in[NB_STEP_KINDS] = {0, 1, 2, 1, 1, 1, 1, 1, 1, 2},
                         max_in[NB_STEP_KINDS] = {1, 1, 2, NB_ENGINE_MAX_IN, 1, 1, 1, 1, 1, 2};
    const nb_estep *s = &m->steps[step];
    if (!within(s->kind, 0, NB_STEP_KINDS - 1))
        return (verdict){1 + step, "kind #: must be 0..#", {s->kind, NB_STEP_KINDS - 1}};
    if (!within(s->n_in, min_in[s->kind], max_in[s->kind]))
        return (verdict){1 + step, "# inputs: must be #..#", {s->n_in, min_in[s->kind], max_in[s->kind]}};
    for (int32_t k = 0; k <= s->n_in; k++) {
        const int32_t t = k < s->n_in ? s->in[k] : s->out;
        if (!within(t, 0, m->n_tensors - 1))
            return (verdict){1 + step, "tensor #: there are #", {t, m->n_tensors}};
        if (k < s->n_in && t == s->out)
            return (verdict){1 + step, "reads the tensor it writes (#)", {t}};
    }
    return check_order(m, step);
}

/* s32 comes out of the last step only, so nobody reads it. */
static verdict check_types(const nb_emodel *m, int32_t step)
{
    const nb_estep *s = &m->steps[step];
    const nb_etensor *out = &m->tensors[s->out];
    const nb_erange codes = type_range(out->type);
    for (int32_t k = 0; k < s->n_in; k++)
        if (m->tensors[s->in[k]].type == NB_EI_S32)
            return (verdict){1 + step, "input @ is s32: only u8 and s8 can be read", {s->in[k]}};
    if (out->type == NB_EI_S32 && s->kind != NB_STEP_CONV)
        return (verdict){1 + step, "output @ is s32: only conv gives s32", {s->out}};
    if (out->type == NB_EI_S32 && step != m->n_steps - 1)
        return (verdict){1 + step, "only the last step's output may be s32", {0}};
    if (s->lo < codes.lo || s->hi > codes.hi || s->lo > s->hi)
        return (verdict){
            1 + step, "clamp #..#: must lie within the grid of @, #..#", {s->lo, s->hi, s->out, codes.lo, codes.hi}};
    return (verdict){0};
}

static verdict wrong_size(const nb_emodel *m, int32_t step, int32_t k)
{
    const nb_estep *s = &m->steps[step];
    const nb_etensor *in = &m->tensors[s->in[k]], *out = &m->tensors[s->out];
    return (verdict){1 + step,
                     "input @ is #x#x#, output @ is #x#x#",
                     {s->in[k], in->h, in->w, in->c, s->out, out->h, out->w, out->c}};
}

/* Every side of the output is that of an input; the other one's may be 1. */
static verdict check_pair(const nb_emodel *m, int32_t step)
{
    const nb_estep *s = &m->steps[step];
    const nb_etensor *out = &m->tensors[s->out];
    const int32_t whole[3] = {out->h, out->w, out->c};
    bool has[3] = {false, false, false};
    for (int32_t k = 0; k < 2; k++) {
        const nb_etensor *in = &m->tensors[s->in[k]];
        const int32_t side[3] = {in->h, in->w, in->c};
        for (int32_t i = 0; i < 3; i++) {
            if (side[i] != whole[i] && side[i] != 1)
                return wrong_size(m, step, k);
            has[i] = has[i] || side[i] == whole[i];
        }
    }
    return has[0] && has[1] && has[2] ? (verdict){0} : wrong_size(m, step, 0);
}

static verdict check_concat(const nb_emodel *m, int32_t step)
{
    const nb_estep *s = &m->steps[step];
    const nb_etensor *out = &m->tensors[s->out];
    int64_t channels = 0;
    for (int32_t k = 0; k < s->n_in; k++) {
        const nb_etensor *in = &m->tensors[s->in[k]];
        if (in->h != out->h || in->w != out->w)
            return wrong_size(m, step, k);
        channels += in->c;
    }
    if (channels != out->c)
        return (verdict){1 + step, "inputs have # channels, the output #", {channels, out->c}};
    return (verdict){0};
}

static verdict check_window(const nb_estep *s, int32_t step)
{
    nb_geom g = s->geom;
    const int32_t max = NB_EMAX_WINDOW;
    const int32_t sizes[] = {g.kh, g.kw, g.stride.h, g.stride.w, g.dilation.h, g.dilation.w};
    const int32_t pads[] = {g.pad.top, g.pad.left, g.pad.bottom, g.pad.right};
    for (int32_t i = 0; i < 6; i++)
        if (!within(sizes[i], 1, max))
            return (verdict){1 + step,
                             "window #x# stride #x# dilation #x#: must be 1..#",
                             {g.kh, g.kw, g.stride.h, g.stride.w, g.dilation.h, g.dilation.w, max}};
    for (int32_t i = 0; i < 4; i++)
        if (!within(pads[i], 0, max))
            return (verdict){1 + step, "pad # # # #: must be 0..#", {pads[0], pads[1], pads[2], pads[3], max}};
    nb_geom fitting = g;
    nb_geom_fit(&fitting);
    if (g.oh != fitting.oh || g.ow != fitting.ow || g.oh < 1 || g.ow < 1)
        return (verdict){
            1 + step, "output #x#: the window gives #x# on #x#", {g.oh, g.ow, fitting.oh, fitting.ow, g.h, g.w}};
    if (s->kind != NB_STEP_CONV) {
        if (g.oc != g.c || g.dilation.h != 1 || g.dilation.w != 1)
            return (verdict){1 + step,
                             "a pool keeps its channels and has no dilation (# -> # channels, dilation #x#)",
                             {g.c, g.oc, g.dilation.h, g.dilation.w}};
        if (!nb_pool_touches(&g)) /* what would be the maximum, or the mean, of nothing? */
            return (verdict){
                1 + step, "pad # # # #: a window of the pool holds no pixel", {pads[0], pads[1], pads[2], pads[3]}};
        g.groups = g.c; /* as a depthwise convolution; pools leave groups unset */
    }
    if (g.groups < 1 || g.c % g.groups != 0 || g.oc % g.groups != 0)
        return (verdict){1 + step, "groups: #: must divide # input and # output channels", {g.groups, g.c, g.oc}};
    if (nb_estep_weights(s) > NB_EMAX_WEIGHTS) /* of at most 2^20 * 2^10 * 2^10 * 2^20 = 2^60 */
        return (verdict){1 + step, "# weights: must be at most #", {nb_estep_weights(s), NB_EMAX_WEIGHTS}};
    if (!nb_iconv_supports(&g))
        return (verdict){1 + step, "its image with padding or its weights are too large for the engine", {0}};
    return (verdict){0};
}

/* A tensor may be read as another shape of the same number of values (a linear layer reads 7x7x16 as 1x1x784). */
static verdict check_geom(const nb_emodel *m, int32_t step)
{
    const nb_estep *s = &m->steps[step];
    const nb_geom *g = &s->geom;
    const nb_etensor *in = &m->tensors[s->in[0]], *out = &m->tensors[s->out];
    const int32_t side[] = {g->h, g->w, g->oh, g->ow}, channels[] = {g->c, g->oc};
    if (s->kind == NB_STEP_MAXPOOL && (in->type != out->type || in->zero != out->zero))
        return (verdict){
            1 + step, "@ and @ must have one type, scale and zero point: a maximum keeps its grid", {s->in[0], s->out}};
    for (int32_t i = 0; i < 4; i++)
        if (!within(side[i], 1, NB_EMAX_SIZE))
            return (verdict){1 + step, "size #: must be 1..#", {side[i], NB_EMAX_SIZE}};
    for (int32_t i = 0; i < 2; i++)
        if (!within(channels[i], 1, NB_EMAX_CHANNELS))
            return (verdict){1 + step, "channels: #: must be 1..#", {channels[i], NB_EMAX_CHANNELS}};
    if ((int64_t)g->h * g->w * g->c != nb_etensor_values(in))
        return (verdict){1 + step, "reads #x#x#, but @ is #x#x#", {g->h, g->w, g->c, s->in[0], in->h, in->w, in->c}};
    if ((int64_t)g->oh * g->ow * g->oc != nb_etensor_values(out))
        return (verdict){
            1 + step, "writes #x#x#, but @ is #x#x#", {g->oh, g->ow, g->oc, s->out, out->h, out->w, out->c}};
    return check_window(s, step);
}

/* As above: activations stand behind flattened images, too. */
static verdict check_lookup(const nb_emodel *m, int32_t step)
{
    const nb_estep *s = &m->steps[step];
    if (!within(s->one_table, 0, 1))
        return (verdict){1 + step, "one_table: #: must be 0 or 1", {s->one_table}};
    if (s->n_in == 0)
        return (verdict){0};
    const nb_etensor *in = &m->tensors[s->in[0]], *out = &m->tensors[s->out];
    if (nb_etensor_values(in) != nb_etensor_values(out))
        return (verdict){1 + step,
                         "input @ is #x#x#, output @ is #x#x#",
                         {s->in[0], in->h, in->w, in->c, s->out, out->h, out->w, out->c}};
    return (verdict){0};
}

/* Codes move on their grid, and none of them meets a clamp. */
static verdict check_take(const nb_emodel *m, int32_t step)
{
    const nb_estep *s = &m->steps[step];
    const nb_etensor *in = &m->tensors[s->in[0]], *out = &m->tensors[s->out];
    const nb_erange x = nb_engine_codes(m, s->in[0]);
    if (in->type != out->type || in->zero != out->zero)
        return (verdict){1 + step,
                         "@ and @ must have one type, scale and zero point: what moves codes keeps their grid",
                         {s->in[0], s->out}};
    if (s->kind == NB_STEP_BLEND && in->c != out->c)
        return (verdict){1 + step, "# channels in, # out: must be equal", {in->c, out->c}};
    if (s->lo > x.lo || s->hi < x.hi)
        return (verdict){1 + step, "clamp #..#: must hold all codes of @, #..#", {s->lo, s->hi, s->in[0], x.lo, x.hi}};
    return (verdict){0};
}

verdict nb_engine_check_shape(const nb_emodel *m, int32_t step)
{
    verdict v = check_wiring(m, step);
    if (!v.where)
        v = check_types(m, step);
    if (v.where)
        return v;
    switch (m->steps[step].kind) {
    case NB_STEP_TABLE:
        return check_lookup(m, step);
    case NB_STEP_ADD:
    case NB_STEP_MUL:
        return check_pair(m, step);
    case NB_STEP_CONCAT:
        return check_concat(m, step);
    case NB_STEP_TAKE:
    case NB_STEP_BLEND:
        return check_take(m, step);
    default:
        return check_geom(m, step);
    }
}

/* ---- values ---- */

/* No 64-bit sum can overflow: a window holds at most 2^20 codes, |(a - za) * m0 + (b - zb) * m1| < 2 * 2^8 * 2^31, and
 * |(a - za) * (b - zb) * m| < 2^16 * 2^31. */
static verdict check_rescales(const nb_estep *s, int32_t step)
{
    for (int32_t i = 0; i < nb_estep_mults(s); i++) {
        /* The operands of an add share one shift, so the smaller multiplier may be any size; the second one's sign, too.
         */
        const int32_t min = s->kind != NB_STEP_ADD ? MULT_MIN : i == 0 ? 0 : -INT32_MAX;
        if (s->mult[i] < min)
            return (verdict){1 + step, "mult[#]: #: must be at least #", {i, s->mult[i], min}};
    }
    for (int32_t i = 0; i < nb_estep_shifts(s); i++)
        if (!within(s->shift[i], 1, SHIFT_MAX))
            return (verdict){1 + step, "shift[#]: #: must be 1..#", {i, s->shift[i], SHIFT_MAX}};
    return (verdict){0};
}

static verdict check_table(const nb_estep *s, const nb_etensor *out, int32_t step)
{
    for (int32_t i = 0; i < nb_estep_tables(s, out) * 256; i++) {
        const int32_t code = nb_code(s->table[i], out->type == NB_EI_S8);
        if (!within(code, s->lo, s->hi))
            return (verdict){1 + step, "table[#][#]: #: must be #..#", {i / 256, i % 256, code, s->lo, s->hi}};
    }
    return (verdict){0};
}

static verdict check_indices(const nb_emodel *m, int32_t step)
{
    static const char *const outside[3] = {"rows[#]: #: must be #..#", "columns[#]: #: must be #..#",
                                           "channels[#]: #: must be #..#"};
    const nb_estep *s = &m->steps[step];
    const nb_etensor *in = &m->tensors[s->in[0]];
    const int32_t size[3] = {in->h, in->w, in->c};
    for (int32_t axis = 0; axis < 3; axis++) {
        const int32_t lo = s->kind == NB_STEP_TAKE ? -1 : 0;
        const int32_t hi = (size[axis] - 1) * (s->kind == NB_STEP_TAKE ? 1 : NB_BLEND_ONE);
        const int32_t n = nb_estep_indices(m, s, axis), *index = s->index[axis];
        if (n && !index)
            return (verdict){1 + step, "has no indices", {0}};
        for (int32_t i = 0; i < n; i++)
            if (!within(index[i], lo, hi))
                return (verdict){1 + step, outside[axis], {i, index[i], lo, hi}};
    }
    return (verdict){0};
}

/* Every channel's sum, alone and with its bias, for whatever codes come. */
static verdict check_sums(const nb_emodel *m, int32_t step, int64_t *bound)
{
    const nb_estep *s = &m->steps[step];
    nb_erange x = nb_engine_codes(m, s->in[0]);
    x.lo = x.lo < 0 ? x.lo : 0; /* the range holds 0, so the ends of a whole sum bound its partial sums, too */
    x.hi = x.hi > 0 ? x.hi : 0;
    const nb_geom *g = &s->geom; /* no 64-bit division: a 32-bit machine would need a library for it */
    const int64_t per_channel = (int64_t)g->kh * g->kw * (g->c / g->groups);
    const int8_t *w = s->weights;
    for (int32_t c = 0; c < g->oc; c++) {
        int64_t positive = 0, negative = 0;
        for (int64_t i = 0; i < per_channel; i++, w++)
            *(*w > 0 ? &positive : &negative) += *w;
        const int64_t most = positive * x.hi + negative * x.lo, least = positive * x.lo + negative * x.hi;
        const int64_t ends[] = {most, -least, most + s->bias[c], -(least + s->bias[c])};
        for (int32_t i = 0; i < 4; i++)
            *bound = ends[i] > *bound ? ends[i] : *bound;
        if (*bound > INT32_MAX)
            return (verdict){1 + step, "channel #: the accumulator could reach #: must stay below 2^31", {c, *bound}};
    }
    return (verdict){0};
}

verdict nb_engine_check_values(const nb_emodel *m, int32_t step, int64_t *bound)
{
    const nb_estep *s = &m->steps[step];
    const nb_etensor *out = &m->tensors[s->out];
    const bool conv = s->kind == NB_STEP_CONV, raw = out->type == NB_EI_S32 && !s->mult && !s->shift;
    *bound = 0;
    if (nb_estep_mults(s) > 0 && !raw && (!s->mult || !s->shift))
        return (verdict){1 + step, "has no multipliers or no shifts", {0}};
    if ((s->kind == NB_STEP_TABLE && !s->table) || (conv && (!s->weights || !s->bias)))
        return (verdict){1 + step, "has no table, weights, bias or weight scales", {0}};
    const verdict v = raw ? (verdict){0} : check_rescales(s, step);
    if (v.where)
        return v;
    if (s->kind == NB_STEP_TAKE || s->kind == NB_STEP_BLEND)
        return check_indices(m, step);
    return conv ? check_sums(m, step, bound) : s->kind == NB_STEP_TABLE ? check_table(s, out, step) : v;
}

/* ---- the whole ---- */

static bool overlap(const nb_etensor *a, const nb_etensor *b)
{
    return a->offset < b->offset + nb_etensor_bytes(b) && b->offset < a->offset + nb_etensor_bytes(a);
}

static bool reads(const nb_estep *s, int32_t t)
{
    for (int32_t k = 0; k < s->n_in; k++)
        if (s->in[k] == t)
            return true;
    return false;
}

/* No step destroys the output of step i before its last reader is done. */
static verdict check_place(const nb_emodel *m, int32_t i)
{
    const int32_t t = m->steps[i].out;
    int32_t last = i;
    for (int32_t k = i + 1; k < m->n_steps; k++)
        if (reads(&m->steps[k], t))
            last = k;
    for (int32_t k = i + 1; k <= last; k++)
        if (overlap(&m->tensors[t], &m->tensors[m->steps[k].out]))
            return (verdict){
                1 + k, "tensors # @ and # @ overlap in the arena", {t, t, m->steps[k].out, m->steps[k].out}};
    return (verdict){0};
}

verdict nb_engine_judge(const nb_emodel *m)
{
    verdict v = {0};
    int64_t bound;
    if (!within(m->n_steps, 1, NB_ENGINE_MAX_STEPS) || !m->steps)
        return (verdict){1, "# steps: must be 1..#", {m->n_steps, NB_ENGINE_MAX_STEPS}};
    const int32_t first_tensor = 1 + m->n_steps;
    if (!within(m->n_tensors, 1, NB_ENGINE_MAX_TENSORS) || !m->tensors)
        return (verdict){first_tensor, "# tensors: must be 1..#", {m->n_tensors, NB_ENGINE_MAX_TENSORS}};
    if (m->tensor_bytes > SIZE_MAX / 2)
        return (verdict){first_tensor, "an arena of # bytes is too large", {(int64_t)m->tensor_bytes}};
    for (int32_t t = 0; t < m->n_tensors && !v.where; t++)
        v = nb_engine_check_tensor(m, t);
    for (int32_t i = 0; i < m->n_steps && !v.where; i++) {
        v = nb_engine_check_shape(m, i);
        if (!v.where)
            v = nb_engine_check_values(m, i, &bound);
    }
    for (int32_t i = 0; i < m->n_steps && !v.where; i++)
        v = check_place(m, i); /* only now are all indices and sizes known to be good */
    for (int32_t t = 0; t < m->n_tensors && !v.where; t++)
        if (nb_engine_writer(m, t) < 0)
            v = (verdict){first_tensor + t, "no step writes it", {0}};
    return v;
}

int32_t nb_engine_check(const nb_emodel *m)
{
    return nb_engine_judge(m).where;
}
