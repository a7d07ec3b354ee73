/* intcheck.c - what an integer model must be, each rule with its sentence.
 *
 * Order matters: shape before values, because only a checked shape gives the arrays' lengths. All sizes are capped
 * first, so that no product below can overflow. Messages read "file: step 3 conv "c2": sentence". */
#include "lower/intcheck.h"

#include "base/check.h"
#include "lower/pack.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

const char *const nb_step_names[NB_STEP_KINDS] = {"table", "conv", "add", "concat", "maxpool", "avgpool"};
const char *const nb_etype_names[3] = {"u8", "s8", "s32"};

static const char *text(const char *s)
{
    return s ? s : "";
}

static void refuse(const nb_intplace *p, nb_status st, const char *kind, const char *name, const char *fmt, va_list ap)
    NB_PRINTF(5, 0);
static void refuse(const nb_intplace *p, nb_status st, const char *kind, const char *name, const char *fmt, va_list ap)
{
    char why[512];
    vsnprintf(why, sizeof why, fmt, ap);
    nb_fail(p->ctx, st, "%s%s%s %d \"%.200s\": %s", p->where, *p->where ? ": " : "", kind, p->index, text(name), why);
}

static nb_status bad_tensor(const nb_intplace *p, const nb_inttensor *t, const char *fmt, ...) NB_PRINTF(3, 4);
static nb_status bad_tensor(const nb_intplace *p, const nb_inttensor *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    refuse(p, NB_E_SHAPE, "tensor", t->name, fmt, ap);
    va_end(ap);
    return NB_E_SHAPE;
}

static nb_status bad_step(const nb_intplace *p, const nb_intstep *s, nb_status status, const char *fmt, ...)
    NB_PRINTF(4, 5);
static nb_status bad_step(const nb_intplace *p, const nb_intstep *s, nb_status status, const char *fmt, ...)
{
    char kind[32];
    snprintf(kind, sizeof kind, "%s step", s->kind >= 0 && s->kind < NB_STEP_KINDS ? nb_step_names[s->kind] : "?");
    va_list ap;
    va_start(ap, fmt);
    refuse(p, status, kind, s->name, fmt, ap);
    va_end(ap);
    return status;
}

/* Names become JSON keys, safetensors keys and lines of a listing: no control characters. */
static const char *name_fault(const char *name)
{
    if (!name || !*name)
        return "has no name";
    if (strlen(name) > NB_INT_MAX_NAME)
        return "has a name of more than 200 bytes";
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return "has a control character in its name";
    return NULL;
}

static bool good_scale(float s)
{
    return isnormal(s) && s > 0;
}

nb_intrange nb_int_grid(const nb_inttensor *t)
{
    if (t->type == NB_EI_S32)
        return (nb_intrange){INT32_MIN, INT32_MAX};
    const int64_t half = (int64_t)1 << (t->bits - 1);
    return t->type == NB_EI_U8 ? (nb_intrange){0, 2 * half - 1} : (nb_intrange){-half, half - 1};
}

int64_t nb_int_weights(const nb_intstep *s)
{
    const nb_geom *g = &s->geom;
    return s->kind == NB_STEP_CONV ? (int64_t)g->oc * g->kh * g->kw * (g->c / g->groups) : 0;
}

int32_t nb_int_mults(const nb_intstep *s)
{
    switch (s->kind) {
    case NB_STEP_CONV:
        return s->geom.oc;
    case NB_STEP_ADD:
    case NB_STEP_CONCAT:
        return s->n_in;
    case NB_STEP_AVGPOOL:
        return 1;
    default:
        return 0;
    }
}

int32_t nb_int_shifts(const nb_intstep *s)
{
    return s->kind == NB_STEP_ADD ? 1 : nb_int_mults(s);
}

int64_t nb_int_macs(const nb_intstep *s)
{
    const nb_geom *g = &s->geom;
    return s->kind == NB_STEP_CONV ? (int64_t)g->oh * g->ow * nb_int_weights(s) : 0;
}

nb_status nb_intcheck_tensor(const nb_intplace *p, const nb_inttensor *t)
{
    const char *fault = name_fault(t->name);
    if (fault)
        return bad_tensor(p, t, "%s", fault);
    if (t->h < 1 || t->h > NB_INT_MAX_SIZE || t->w < 1 || t->w > NB_INT_MAX_SIZE || t->c < 1 ||
        t->c > NB_INT_MAX_CHANNELS || nb_int_values(t) > NB_INT_MAX_VALUES)
        return bad_tensor(p, t, "size %" PRId32 "x%" PRId32 "x%" PRId32 ": must be at least 1 and at most %d values",
                          t->h, t->w, t->c, NB_INT_MAX_VALUES);
    if (t->type != NB_EI_U8 && t->type != NB_EI_S8 && t->type != NB_EI_S32)
        return bad_tensor(p, t, "type %" PRId32 ": must be u8, s8 or s32", t->type);
    if (t->type == NB_EI_S32 ? t->bits != 32 : t->bits < 2 || t->bits > 8)
        return bad_tensor(p, t, "bits: %" PRId32 ": must be 2..8, and 32 for s32", t->bits);
    if (!good_scale(t->scale))
        return bad_tensor(p, t, "scale: %g: must be a positive normal number", (double)t->scale);
    const nb_intrange grid = nb_int_grid(t);
    if (t->zero < grid.lo || t->zero > grid.hi || (t->type == NB_EI_S32 && t->zero != 0))
        return bad_tensor(p, t, "zero point %" PRId32 ": must be a code of the grid, and 0 for s32", t->zero);
    if (t->offset % 64 != 0)
        return bad_tensor(p, t, "offset %" PRIu64 ": must be a multiple of 64", t->offset);
    return NB_OK;
}

static nb_status check_window(const nb_intplace *p, const nb_intstep *s)
{
    const nb_geom *g = &s->geom;
    const int32_t max = NB_INT_MAX_WINDOW;
    if (g->kh < 1 || g->kh > max || g->kw < 1 || g->kw > max || g->stride < 1 || g->stride > max || g->pad < 0 ||
        g->pad > max || g->dilation < 1 || g->dilation > max)
        return bad_step(p, s, NB_E_SHAPE,
                        "window %" PRId32 "x%" PRId32 " stride %" PRId32 " pad %" PRId32 " dilation %" PRId32
                        ": must be 1..%d (pad from 0)",
                        g->kh, g->kw, g->stride, g->pad, g->dilation, max);
    int32_t oh = nb_geom_out(g->h, g->kh, g->stride, g->pad, g->dilation);
    int32_t ow = nb_geom_out(g->w, g->kw, g->stride, g->pad, g->dilation);
    if (g->oh != oh || g->ow != ow || oh < 1 || ow < 1)
        return bad_step(p, s, NB_E_SHAPE,
                        "output %" PRId32 "x%" PRId32 ": the window gives %" PRId32 "x%" PRId32 " on %" PRId32
                        "x%" PRId32,
                        g->oh, g->ow, oh, ow, g->h, g->w);
    if (s->kind != NB_STEP_CONV) {
        /* Every window of a maximum must hold at least one pixel; an average divides by its whole window. */
        if (g->oc != g->c || g->dilation != 1)
            return bad_step(p, s, NB_E_SHAPE,
                            "a pool keeps its channels and has no dilation (%" PRId32 " -> %" PRId32
                            " channels, dilation %" PRId32 ")",
                            g->c, g->oc, g->dilation);
        if (g->pad > 0 && (s->kind == NB_STEP_AVGPOOL || g->pad >= g->kh || g->pad >= g->kw))
            return bad_step(p, s, NB_E_SHAPE,
                            "pad: %" PRId32 ": must be 0 for avgpool and less than the window for maxpool", g->pad);
        return NB_OK;
    }
    if (g->groups < 1 || g->c % g->groups != 0 || g->oc % g->groups != 0)
        return bad_step(p, s, NB_E_SHAPE,
                        "groups: %" PRId32 ": must divide %" PRId32 " input and %" PRId32 " output channels", g->groups,
                        g->c, g->oc);
    /* 2^20 * 2^10 * 2^10 * 2^20 = 2^60 */
    if (nb_int_weights(s) > NB_INT_MAX_WEIGHTS)
        return bad_step(p, s, NB_E_SHAPE, "%" PRId64 " weights: must be at most %d", nb_int_weights(s),
                        NB_INT_MAX_WEIGHTS);
    return NB_OK;
}

/* A tensor may be read as another shape of the same number of values (a linear layer reads 7x7x16 as 1x1x784). */
static nb_status check_geom(const nb_intplace *p, const nb_intstep *s, const nb_inttensor *in, const nb_inttensor *out)
{
    const nb_geom *g = &s->geom;
    const int32_t size[] = {g->h, g->w, g->oh, g->ow};
    const int32_t channels[] = {g->c, g->oc};
    for (int32_t i = 0; i < 4; i++)
        if (size[i] < 1 || size[i] > NB_INT_MAX_SIZE)
            return bad_step(p, s, NB_E_SHAPE, "size %" PRId32 ": must be 1..%d", size[i], NB_INT_MAX_SIZE);
    for (int32_t i = 0; i < 2; i++)
        if (channels[i] < 1 || channels[i] > NB_INT_MAX_CHANNELS)
            return bad_step(p, s, NB_E_SHAPE, "channels: %" PRId32 ": must be 1..%d", channels[i], NB_INT_MAX_CHANNELS);
    if ((int64_t)g->h * g->w * g->c != nb_int_values(in))
        return bad_step(p, s, NB_E_SHAPE,
                        "reads %" PRId32 "x%" PRId32 "x%" PRId32 ", but \"%s\" is %" PRId32 "x%" PRId32 "x%" PRId32,
                        g->h, g->w, g->c, in->name, in->h, in->w, in->c);
    if ((int64_t)g->oh * g->ow * g->oc != nb_int_values(out))
        return bad_step(p, s, NB_E_SHAPE,
                        "writes %" PRId32 "x%" PRId32 "x%" PRId32 ", but \"%s\" is %" PRId32 "x%" PRId32 "x%" PRId32,
                        g->oh, g->ow, g->oc, out->name, out->h, out->w, out->c);
    return check_window(p, s);
}

static nb_status check_join(const nb_intplace *p, const nb_intstep *s, const nb_inttensor *tensors)
{
    const nb_inttensor *out = &tensors[s->out];
    int64_t channels = 0;
    for (int32_t i = 0; i < s->n_in; i++) {
        const nb_inttensor *in = &tensors[s->in[i]];
        channels += in->c;
        if (in->h != out->h || in->w != out->w || (s->kind == NB_STEP_ADD && in->c != out->c))
            return bad_step(p, s, NB_E_SHAPE,
                            "input \"%s\" is %" PRId32 "x%" PRId32 "x%" PRId32 ", output \"%s\" is %" PRId32 "x%" PRId32
                            "x%" PRId32,
                            in->name, in->h, in->w, in->c, out->name, out->h, out->w, out->c);
    }
    if (s->kind == NB_STEP_CONCAT && channels != out->c)
        return bad_step(p, s, NB_E_SHAPE, "inputs have %" PRId64 " channels, the output %" PRId32, channels, out->c);
    return NB_OK;
}

static nb_status check_indices(const nb_intplace *p, const nb_intstep *s, int32_t n_tensors)
{
    static const struct {
        int32_t min, max;
    } inputs[NB_STEP_KINDS] = {
        {0, 0               },
        {1, 1               },
        {2, 2               },
        {1, NB_ENGINE_MAX_IN},
        {1, 1               },
        {1, 1               }
    };
    const char *fault = name_fault(s->name);
    if (fault)
        return bad_step(p, s, NB_E_SHAPE, "%s", fault);
    if (s->kind < 0 || s->kind >= NB_STEP_KINDS)
        return bad_step(p, s, NB_E_SHAPE, "kind %" PRId32 ": must be 0..%d", s->kind, NB_STEP_KINDS - 1);
    if (s->n_in < inputs[s->kind].min || s->n_in > inputs[s->kind].max)
        return bad_step(p, s, NB_E_SHAPE, "%" PRId32 " inputs: must be %" PRId32 "..%" PRId32, s->n_in,
                        inputs[s->kind].min, inputs[s->kind].max);
    for (int32_t i = 0; i <= s->n_in; i++) {
        int32_t t = i < s->n_in ? s->in[i] : s->out;
        if (t < 0 || t >= n_tensors)
            return bad_step(p, s, NB_E_SHAPE, "tensor %" PRId32 ": there are %" PRId32, t, n_tensors);
        if (i < s->n_in && t == s->out)
            return bad_step(p, s, NB_E_SHAPE, "reads the tensor it writes (%" PRId32 ")", t);
    }
    return NB_OK;
}

nb_status nb_intcheck_shape(const nb_intplace *p, const nb_intstep *s, const nb_inttensor *tensors, int32_t n_tensors)
{
    NB_TRY(check_indices(p, s, n_tensors));
    const nb_inttensor *out = &tensors[s->out];
    for (int32_t i = 0; i < s->n_in; i++)
        if (tensors[s->in[i]].type == NB_EI_S32)
            return bad_step(p, s, NB_E_SHAPE, "input \"%s\" is s32: only u8 and s8 can be read",
                            tensors[s->in[i]].name);
    if (out->type == NB_EI_S32 && s->kind != NB_STEP_CONV)
        return bad_step(p, s, NB_E_SHAPE, "output \"%s\" is s32: only conv gives s32", out->name);
    const nb_intrange grid = nb_int_grid(out);
    if (s->lo < grid.lo || s->hi > grid.hi || s->lo > s->hi)
        return bad_step(p, s, NB_E_SHAPE,
                        "clamp %" PRId32 "..%" PRId32 ": must lie within the grid of \"%s\", %" PRId64 "..%" PRId64,
                        s->lo, s->hi, out->name, grid.lo, grid.hi);
    if (s->kind == NB_STEP_ADD || s->kind == NB_STEP_CONCAT)
        return check_join(p, s, tensors);
    if (s->kind == NB_STEP_TABLE)
        return NB_OK;
    const nb_inttensor *in = &tensors[s->in[0]];
    if (s->kind == NB_STEP_MAXPOOL && (in->type != out->type || in->zero != out->zero || in->scale != out->scale))
        return bad_step(p, s, NB_E_SHAPE,
                        "\"%s\" and \"%s\" must have one type, scale and zero point: a maximum keeps its grid",
                        in->name, out->name);
    return check_geom(p, s, in, out);
}

static nb_status check_rescale(const nb_intplace *p, const nb_intstep *s)
{
    /* The operands of an add share one shift, so the smaller multiplier may be any size. */
    const int32_t min = s->kind == NB_STEP_ADD ? 0 : (int32_t)1 << 30;
    for (int32_t i = 0, n = s->mult ? nb_int_mults(s) : 0; i < n; i++)
        if (s->mult[i] < min)
            return bad_step(p, s, NB_E_RANGE, "mult[%" PRId32 "]: %" PRId32 ": must be at least %" PRId32, i,
                            s->mult[i], min);
    for (int32_t i = 0, n = s->shift ? nb_int_shifts(s) : 0; i < n; i++)
        if (s->shift[i] < 1 || s->shift[i] > 62)
            return bad_step(p, s, NB_E_RANGE, "shift[%" PRId32 "]: %" PRId32 ": must be 1..62", i, s->shift[i]);
    return NB_OK;
}

static nb_status check_table(const nb_intplace *p, const nb_intstep *s, const nb_inttensor *out)
{
    for (int64_t i = 0, n = (int64_t)out->c * 256; i < n; i++) {
        int32_t code = out->type == NB_EI_S8 ? (int8_t)s->table[i] : s->table[i];
        if (code < s->lo || code > s->hi)
            return bad_step(p, s, NB_E_RANGE,
                            "table[%" PRId64 "][%" PRId64 "]: %" PRId32 ": must be %" PRId32 "..%" PRId32, i / 256,
                            i % 256, code, s->lo, s->hi);
    }
    return NB_OK;
}

/* Largest magnitude of the sum of one channel, with and without its bias, over all inputs. x holds 0, so partial sums
 * stay within too. */
static nb_status check_channel(const nb_intplace *p, const nb_intstep *s, nb_intrange x, int32_t channel,
                               int64_t *bound)
{
    const int64_t k = nb_int_weights(s) / s->geom.oc;
    const int8_t *w = s->weights + channel * k;
    const int32_t limit = (1 << (s->weight_bits - 1)) - 1;
    int64_t positive = 0;
    int64_t negative = 0;
    for (int64_t i = 0; i < k; i++) {
        if (w[i] < -limit || w[i] > limit)
            return bad_step(p, s, NB_E_RANGE,
                            "weight[%" PRId32 "][%" PRId64 "]: %d: must be %" PRId32 "..%" PRId32 " (%" PRId32 " bits)",
                            channel, i, w[i], -limit, limit, s->weight_bits);
        if (w[i] > 0)
            positive += w[i];
        else
            negative += w[i];
    }
    const int64_t most = positive * x.hi + negative * x.lo;
    const int64_t least = positive * x.lo + negative * x.hi;
    const int64_t ends[] = {most, -least, most + s->bias[channel], -(least + s->bias[channel])};
    for (int32_t i = 0; i < 4; i++)
        if (ends[i] > *bound)
            *bound = ends[i];
    if (*bound > INT32_MAX)
        return bad_step(p, s, NB_E_RANGE,
                        "channel %" PRId32 ": the accumulator could reach %" PRId64 ": must stay below 2^31", channel,
                        *bound);
    return NB_OK;
}

static nb_status check_conv(const nb_intplace *p, const nb_intstep *s, nb_intrange x, int64_t *bound)
{
    if (s->weight_bits < NB_PACK_MIN_BITS || s->weight_bits > NB_PACK_MAX_BITS)
        return bad_step(p, s, NB_E_RANGE, "weight_bits: %" PRId32 ": must be 2..8", s->weight_bits);
    if (s->n_scale != 1 && s->n_scale != s->geom.oc)
        return bad_step(p, s, NB_E_RANGE, "%" PRId32 " weight scales: must be 1 or %" PRId32, s->n_scale, s->geom.oc);
    for (int32_t i = 0; i < s->n_scale; i++)
        if (!good_scale(s->weight_scale[i]))
            return bad_step(p, s, NB_E_RANGE, "weight_scale[%" PRId32 "]: %g: must be a positive normal number", i,
                            (double)s->weight_scale[i]);
    for (int32_t c = 0; c < s->geom.oc; c++)
        NB_TRY(check_channel(p, s, x, c, bound));
    return NB_OK;
}

nb_status nb_intcheck_values(const nb_intplace *p, const nb_intstep *s, const nb_inttensor *out, nb_intrange x,
                             int64_t *acc_bound)
{
    *acc_bound = 0;
    const bool raw = s->kind == NB_STEP_CONV && out->type == NB_EI_S32;
    if (nb_int_mults(s) > 0 && (!s->mult != !s->shift || (!s->mult && !raw)))
        return bad_step(p, s, NB_E_RANGE, "has no multipliers or no shifts");
    if ((s->kind == NB_STEP_TABLE && !s->table) ||
        (s->kind == NB_STEP_CONV && (!s->weights || !s->bias || !s->weight_scale)))
        return bad_step(p, s, NB_E_RANGE, "has no table, weights, bias or weight scales");
    NB_TRY(check_rescale(p, s));
    if (s->kind == NB_STEP_TABLE)
        return check_table(p, s, out);
    return s->kind == NB_STEP_CONV ? check_conv(p, s, x, acc_bound) : NB_OK;
}
