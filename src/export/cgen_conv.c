/* cgen_conv.c - the convolution of one shape as C.
 *
 * dense      output channels in pairs, weights of a pair unpacked once; then pixels in pairs where the windows of both
 *            lie inside, one by one at the borders. A kernel row is one dot product where its codes are consecutive
 *            (no groups, no dilation), else every tap is one.
 * depthwise  pixel by pixel, channel by channel.
 *
 * Helium has another function for most dense ones: cgen_window.c. */
#include "export/cgen.h"

#include "lower/intfile.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct {
    cgen *g;
    int32_t step;
    nb_geom geom;
    const nb_estep *s;
    const nb_etensor *in, *out;
    const char *dot;   /* suffix of the dot products */
    char distance[48]; /* from a channel's weights to those of the pair's other */
    char zero[32];     /* ", 3" or "" */
    int32_t width;     /* of a weight, or of its level's index */
    const char *l;     /* what indices refer to, "level" or "low"; NULL: there are none */
    bool stream;       /* every channel begins on a byte: indices, or blocks */
    bool bytes;        /* are weights bytes that are used where they lie? */
    int32_t pad;       /* does any window leave the image? */
    bool pairs;        /* can two neighbours both lie inside? */
    bool rows;         /* a kernel row is one run */
    bool far;          /* a window may lie outside altogether */
} conv;

nb_geom cgen_view(const nb_geom *geom)
{
    nb_geom q = *geom;
    if (nb_geom_is_pixels(&q)) {
        q.w = q.ow = q.h * q.w;
        q.h = q.oh = 1;
    }
    return q;
}

/* From a window's left edge to the last tap of its right neighbour. */
static int32_t reach(const nb_geom *q)
{
    return q->stride.w + q->dilation.w * (q->kw - 1);
}

bool cgen_pairs(const nb_geom *geom)
{
    const nb_geom q = cgen_view(geom);
    return q.ow > 1 && (nb_geom_inside(&q) || q.w > reach(&q));
}

static conv conv_of(cgen *g, int32_t step)
{
    conv v = {.g = g, .step = step, .s = &g->m->e.steps[step], .width = cgen_width(g->m, step)};
    v.l = g->m->steps[step].packing == NB_PACKING_LEVELS   ? "level"
          : g->m->steps[step].packing == NB_PACKING_OFFSET ? "low"
                                                           : NULL;
    v.stream = g->m->steps[step].packing != NB_PACKING_CODES;
    v.bytes = cgen_in_bytes(g->m, step);
    v.in = &g->m->e.tensors[v.s->in[0]];
    v.out = &g->m->e.tensors[v.s->out];
    v.geom = cgen_view(&v.s->geom);
    const nb_geom *q = &v.geom;
    v.pad = !nb_geom_inside(q);
    v.pairs = cgen_pairs(&v.s->geom);
    v.rows = q->groups == 1 && (q->dilation.w == 1 || q->kw == 1);
    v.far = q->pad.left > q->dilation.w * (q->kw - 1) || q->pad.top > q->dilation.h * (q->kh - 1) ||
            q->pad.right > q->dilation.w * (q->kw - 1) || q->pad.bottom > q->dilation.h * (q->kh - 1);
    v.dot = v.in->type == NB_EI_S8 ? (v.in->zero ? "_s8z" : "_s8") : (v.in->zero ? "_u8z" : "_u8");
    const bool alone = q->oc / q->groups % 2 != 0; /* some channel has no partner and is its own */
    snprintf(v.distance, sizeof v.distance, alone && v.bytes ? "(p - o) * %" PRId64 : "%" PRId64, cgen_row(q));
    if (v.in->zero)
        snprintf(v.zero, sizeof v.zero, ", %d", v.in->zero);
    return v;
}

/* The taps of one axis that meet the image: [axis]0 .. [axis]1, from the window's first coordinate `from`. */
static void put_range(const conv *v, const char *indent, const char *axis, const char *from, int32_t size, int32_t taps)
{
    const int32_t d = axis[1] == 'y' ? v->geom.dilation.h : v->geom.dilation.w;
    if (!v->pad)
        return;
    if (d == 1) {
        cgen_printf(v->g, "%sconst int32_t %s0 = %s < 0 ? -%s : 0;\n", indent, axis, from, from);
        cgen_printf(v->g, "%sconst int32_t %s1 = %s > %d ? %d - %s : %d;\n", indent, axis, from, size - taps, size,
                    from, taps);
        return;
    }
    cgen_printf(v->g, "%sconst int32_t %s0 = %s < 0 ? (%d - %s) / %d : 0;\n", indent, axis, from, d - 1, from, d);
    cgen_printf(v->g, "%sconst int32_t %s1 = %s > %d ? (%d - %s) / %d : %d;\n", indent, axis, from,
                size - 1 - d * (taps - 1), size - 1 + d, from, d, taps);
}

static void put_loop(const conv *v, const char *indent, const char *axis, int32_t taps)
{
    if (v->pad)
        cgen_printf(v->g, "%sfor (%s = %s0; %s < %s1; %s++)", indent, axis, axis, axis, axis, axis);
    else
        cgen_printf(v->g, "%sfor (%s = 0; %s < %d; %s++)", indent, axis, axis, taps, axis);
}

/* (product + half) >> shift is ((product >> 32) + (half >> 32)) >> (shift - 32) where half has no bits below 32. */
bool cgen_high(const nb_estep *s)
{
    for (int32_t c = 0; s->mult && c < s->geom.oc; c++)
        if (s->shift[c] < 33)
            return false;
    return s->mult != NULL;
}

void cgen_store(cgen *g, int32_t step, const char *indent, const char *at, const char *acc, const char *c)
{
    const nb_estep *s = &g->m->e.steps[step];
    const nb_etensor *out = &g->m->e.tensors[s->out];
    const char *type = cgen_type(out->type);
    if (cgen_high(s))
        cgen_printf(g, "%sy[%s] = (%s)net_close_high(%s, mult[%s], shift[%s]", indent, at, type, acc, c, c);
    else if (s->mult)
        cgen_printf(g, "%sy[%s] = (%s)net_close((int64_t)%s * mult[%s], shift[%s]", indent, at, type, acc, c, c);
    if (s->mult)
        cgen_printf(g, ", %d, %d, %d);\n", out->zero, s->lo, s->hi);
    else if (s->lo == INT32_MIN && s->hi == INT32_MAX)
        cgen_printf(g, "%sy[%s] = %s;\n", indent, at, acc);
    else
        cgen_printf(g, "%sy[%s] = %s < %d ? %d : %s > %d ? %d : %s;\n", indent, at, acc, s->lo, s->lo, acc, s->hi,
                    s->hi, acc);
}

/* ---- dense ---- */

/* Channel c's weights from indices, or blocks, to `to`. */
static void put_stream(const conv *v, const char *indent, const char *to, const char *c)
{
    const nb_sinfo *info = &v->g->m->steps[v->step];
    const nb_stream p = nb_stream_of(v->s, info);
    const char *how = "levels";
    char l[48] = "level";
    if (info->packing == NB_PACKING_LEVELS && info->n_tables > 1)
        snprintf(l, sizeof l, "level + %s * %d", c, info->n_levels);
    if (info->packing == NB_PACKING_OFFSET) {
        how = "offsets";
        snprintf(l, sizeof l, "low[%s]", info->n_low > 1 ? c : "0");
    }
    if (info->packing == NB_PACKING_BLOCKS) {
        how = "blocks";
        snprintf(l, sizeof l, "%d", info->block);
    }
    cgen_printf(v->g, "%snet_%s(%s, w + %s * %zu, %s, %d, %" PRId64 ");\n", indent, how, to, c, nb_stream_row_bytes(&p),
                l, v->width, p.row);
}

/* Channel c's weights to rows + at. */
static void put_unpack(const conv *v, const char *indent, int64_t at, const char *c)
{
    const int64_t row = cgen_row(&v->geom);
    char to[40] = "rows";
    if (at > 0)
        snprintf(to, sizeof to, "rows + %" PRId64, at);
    if (v->stream)
        put_stream(v, indent, to, c);
    else
        cgen_printf(v->g, "%snet_unpack%d(%s, w, %s * %" PRId64 ", %" PRId64 ");\n", indent, v->width, to, c, row, row);
}

static void put_channel_pair(const conv *v)
{
    cgen *g = v->g;
    const nb_geom *q = &v->geom;
    const int64_t row = cgen_row(q);
    const int32_t per_group = q->oc / q->groups;
    if (per_group % 2 == 0) {
        cgen_printf(g, "    for (o = 0; o < %d; o += 2) {\n        const int32_t p = o + 1;\n", q->oc);
    } else if (q->groups == 1) {
        cgen_printf(g, "    for (o = 0; o < %d; o += 2) {\n", q->oc);
        cgen_printf(g, "        const int32_t p = o + 1 < %d ? o + 1 : o; /* the last stands alone */\n", q->oc);
    } else {
        cgen_printf(g, "    for (o = 0; o < %d; o++) {\n        const int32_t p = o;\n", q->oc);
    }
    if (v->bytes) {
        cgen_printf(g, "        const int8_t *const row = w + o * %" PRId64 ";\n", row);
        return;
    }
    nb_text_add(&g->out, "        const int8_t *const row = rows;\n");
    put_unpack(v, "        ", 0, "o");
    put_unpack(v, "        ", row, "p");
}

/* One dot product of n codes; x at `at`, weights at `k`. */
static void put_dot(const conv *v, const char *indent, const char *n)
{
    const nb_geom *q = &v->geom;
    if (v->pairs) {
        cgen_printf(v->g, "%sif (pair)\n", indent);
        cgen_printf(v->g, "%s    net_dot2%s(acc, x + at, %d, row + k, %s, %s%s);\n", indent, v->dot, q->stride.w * q->c,
                    v->distance, n, v->zero);
        cgen_printf(v->g, "%selse\n    ", indent);
    }
    cgen_printf(v->g, "%snet_dot1%s(acc, x + at, row + k, %s, %s%s);\n", indent, v->dot, v->distance, n, v->zero);
}

static void put_taps(const conv *v)
{
    cgen *g = v->g;
    const nb_geom *q = &v->geom;
    const int32_t cg = q->c / q->groups;
    char n[64];
    put_loop(v, "                ", "ky", q->kh);
    nb_text_add(&g->out, " {\n");
    if (v->rows) {
        const char *kx0 = v->pad ? " + kx0" : "";
        cgen_printf(
            g, "                    const int32_t at = ((top + ky * %d) * %d + left%s) * %d, k = (ky * %d%s) * %d;\n",
            q->dilation.h, q->w, kx0, q->c, q->kw, kx0, q->c);
        snprintf(n, sizeof n, v->pad ? "(kx1 - kx0) * %d" : "%d", v->pad ? q->c : q->kw * q->c);
        put_dot(v, "                    ", n);
    } else {
        put_loop(v, "                    ", "kx", q->kw);
        cgen_printf(g, " {\n                        const int32_t at = ((top + ky * %d) * %d + left + kx * %d) * %d",
                    q->dilation.h, q->w, q->dilation.w, q->c);
        if (q->groups > 1)
            cgen_printf(g, " + o / %d * %d", q->oc / q->groups, cg);
        cgen_printf(g, ", k = (ky * %d + kx) * %d;\n", q->kw, cg);
        snprintf(n, sizeof n, "%d", cg);
        put_dot(v, "                        ", n);
        nb_text_add(&g->out, "                    }\n");
    }
    nb_text_add(&g->out, "                }\n");
}

static void put_pixels(const conv *v)
{
    cgen *g = v->g;
    const nb_geom *q = &v->geom;
    cgen_printf(g, "        for (oy = 0; oy < %d; oy++) {\n", q->oh);
    cgen_printf(g, "            const int32_t top = oy * %d - %d;\n", q->stride.h, q->pad.top);
    put_range(v, "            ", "ky", "top", q->h, q->kh);
    cgen_printf(g, "            for (ox = 0; ox < %d;) {\n", q->ow);
    cgen_printf(g, "                const int32_t left = ox * %d - %d;\n", q->stride.w, q->pad.left);
    put_range(v, "                ", "kx", "left", q->w, q->kw);
    if (v->pairs && v->pad)
        cgen_printf(g, "                const int32_t pair = left >= 0 && left < %d && ox + 1 < %d;\n", q->w - reach(q),
                    q->ow);
    else if (v->pairs)
        cgen_printf(g, "                const int32_t pair = ox + 1 < %d;\n", q->ow);
    cgen_printf(g, "                const int32_t to = (oy * %d + ox) * %d;\n", q->ow, q->oc);
    nb_text_add(&g->out, "                int32_t acc[4];\n"
                         "                acc[0] = acc[2] = bias[o];\n"
                         "                acc[1] = acc[3] = bias[p];\n");
    if (v->far && v->rows)
        nb_text_add(&g->out, "                if (kx0 < kx1)\n");
    put_taps(v);
    cgen_store(v->g, v->step, "                ", "to + o", "acc[0]", "o");
    cgen_store(v->g, v->step, "                ", "to + p", "acc[1]", "p");
    if (v->pairs) {
        char at[32];
        nb_text_add(&g->out, "                if (pair) {\n");
        snprintf(at, sizeof at, "to + %d + o", q->oc);
        cgen_store(v->g, v->step, "                    ", at, "acc[2]", "o");
        snprintf(at, sizeof at, "to + %d + p", q->oc);
        cgen_store(v->g, v->step, "                    ", at, "acc[3]", "p");
        nb_text_add(&g->out, "                }\n");
    }
    nb_text_add(&g->out, v->pairs ? "                ox += pair ? 2 : 1;\n" : "                ox++;\n");
    nb_text_add(&g->out, "            }\n        }\n    }\n");
}

static void put_dense(const conv *v)
{
    cgen_printf(v->g, "    int32_t o, oy, ox, ky%s;\n", v->rows ? "" : ", kx");
    put_channel_pair(v);
    put_pixels(v);
}

/* ---- depthwise ---- */

static void put_depthwise(const conv *v)
{
    cgen *g = v->g;
    const nb_geom *q = &v->geom;
    const int64_t row = cgen_row(q);
    const char *weights = "w";
    nb_text_add(&g->out, "    int32_t oy, ox, c, ky, kx;\n");
    if (v->stream) {
        char to[40];
        snprintf(to, sizeof to, "rows + c * %" PRId64, row);
        cgen_printf(g, "    for (c = 0; c < %d; c++)\n", q->c);
        put_stream(v, "        ", to, "c");
    } else if (!v->bytes) {
        cgen_printf(g, "    net_unpack%d(rows, w, 0, %" PRId64 ");\n", v->width, row * q->oc);
    }
    if (!v->bytes)
        weights = "rows";
    cgen_printf(g, "    for (oy = 0; oy < %d; oy++) {\n", q->oh);
    cgen_printf(g, "        const int32_t top = oy * %d - %d;\n", q->stride.h, q->pad.top);
    put_range(v, "        ", "ky", "top", q->h, q->kh);
    cgen_printf(g, "        for (ox = 0; ox < %d; ox++) {\n", q->ow);
    cgen_printf(g, "            const int32_t left = ox * %d - %d;\n", q->stride.w, q->pad.left);
    put_range(v, "            ", "kx", "left", q->w, q->kw);
    cgen_printf(g, "            for (c = 0; c < %d; c++) {\n", q->c);
    cgen_printf(g, "                const int8_t *const wc = %s + c * %" PRId64 ";\n", weights, row);
    nb_text_add(&g->out, "                int32_t acc = bias[c];\n");
    put_loop(v, "                ", "ky", q->kh);
    nb_text_add(&g->out, "\n");
    put_loop(v, "                    ", "kx", q->kw);
    nb_text_add(&g->out, v->in->zero ? "\n                        acc += (x[" : "\n                        acc += x[");
    cgen_printf(g, "((top + ky * %d) * %d + left + kx * %d) * %d + c]", q->dilation.h, q->w, q->dilation.w, q->c);
    if (v->in->zero)
        cgen_printf(g, " - %d)", v->in->zero);
    cgen_printf(g, " * wc[ky * %d + kx];\n", q->kw);
    char at[64];
    snprintf(at, sizeof at, "(oy * %d + ox) * %d + c", q->ow, q->oc);
    cgen_store(v->g, v->step, "                ", at, "acc", "c");
    nb_text_add(&g->out, "            }\n        }\n    }\n");
}

void cgen_conv(cgen *g, int32_t step)
{
    const conv v = conv_of(g, step);
    const bool windowed = cgen_windowed(g->m, step);
    char l[32] = "";
    if (v.l)
        snprintf(l, sizeof l, "const int8_t *%s, ", v.l);
    cgen_printf(g, "net_STEP void net_step%d(%s *y, const %s *x, %sconst %s *w, %sconst int32_t *bias%s)\n{\n", step,
                cgen_type(v.out->type), cgen_type(v.in->type), cgen_scratch_bytes(g->m, step) ? "int8_t *rows, " : "",
                v.bytes ? "int8_t" : "uint8_t", l, v.s->mult ? ", const int32_t *mult, const uint8_t *shift" : "");
    if (windowed) {
        nb_text_add(&g->out, "#if " CGEN_WINDOWS "\n");
        cgen_window_body(g, step);
        nb_text_add(&g->out, "#else\n");
    }
    if (cgen_depthwise(&v.s->geom))
        put_depthwise(&v);
    else
        put_dense(&v);
    if (windowed && v.bytes)
        nb_text_add(&g->out, "    (void)rows;\n");
    nb_text_add(&g->out, windowed ? "#endif\n}\n\n" : "}\n\n");
}
