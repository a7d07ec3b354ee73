/* random_network.c - random networks from a seed. */
#include "ref/random_network.h"

#include "base/rng.h"

#include <nibble/geom.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    nb_rng rng;
    char *text;
    size_t at;
    int32_t h, w, c, layer;
} writer;

static int32_t pick(writer *w, int32_t lo, int32_t hi)
{
    return lo + (int32_t)nb_rng_below(&w->rng, (uint32_t)(hi - lo + 1));
}

static void put(writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(writer *w, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(w->text + w->at, REF_NETWORK_BYTES - w->at, fmt, ap);
    va_end(ap);
    assert_true(n >= 0 && w->at + (size_t)n < REF_NETWORK_BYTES);
    w->at += (size_t)n;
}

/* Behind anything, also where a value is codes already. */
static void maybe_norm(writer *w, int32_t one_in)
{
    static const char *const all[] = {"batchnorm", "batchnorm", "batchnorm", "affine", "affine: {channels: no}"};
    if (pick(w, 1, one_in) == 1)
        put(w, "  - %s\n", all[pick(w, 0, 4)]);
}

/* Also two in a row, or a relu behind one: a single table. */
static void activation(writer *w)
{
    static const char *const all[] = {"sigmoid",
                                      "tanh",
                                      "hardsigmoid",
                                      "hardsigmoid: {alpha: 0.2}",
                                      "hardswish",
                                      "silu",
                                      "gelu",
                                      "gelu_tanh",
                                      "leakyrelu",
                                      "prelu",
                                      "elu",
                                      "prelu: {channels: no, slope: -0.5}",
                                      "celu",
                                      "selu",
                                      "softplus",
                                      "mish",
                                      "softsign",
                                      "relu",
                                      "relu",
                                      "relu: {cap: 2}",
                                      "abs",
                                      "clip",
                                      "tanh\n  - exp",
                                      "log: {floor: 0.5}",
                                      "pow: {power: 1.5}"};
    for (int32_t n = pick(w, 0, 3) ? 1 : 2; n > 0; n--)
        put(w, "  - %s\n", all[pick(w, 0, (int32_t)(sizeof all / sizeof *all) - 1)]);
}

static void maybe_norm_and_relu(writer *w)
{
    if (pick(w, 0, 2))
        put(w, "  - batchnorm\n");
    if (pick(w, 0, 2) == 0)
        activation(w);
    else if (pick(w, 0, 1))
        put(w, pick(w, 0, 3) ? "  - relu\n" : "  - relu: {cap: 2}\n");
    maybe_norm(w, 6); /* behind another batch norm, or a relu */
}

static void conv(writer *w)
{
    int32_t k = pick(w, 0, 2) ? 3 : 1, d = k == 3 ? pick(w, 1, 2) : 1, pad = k == 3 ? d : pick(w, 0, 1);
    int32_t stride = w->h > 6 && w->w > 6 ? pick(w, 1, 2) : 1, out = pick(w, 1, 20), groups = 1;
    if (w->c % 2 == 0 && pick(w, 0, 3) == 0) {
        groups = 2;
        out += out % 2;
    }
    put(w, "  - conv2d: {out: %d, kernel: %d, stride: %d, pad: %d, dilation: %d, groups: %d, bias: %s}\n", out, k,
        stride, pad, d, groups, pick(w, 0, 1) ? "yes" : "no");
    w->h = (w->h + 2 * pad - d * (k - 1) - 1) / stride + 1;
    w->w = (w->w + 2 * pad - d * (k - 1) - 1) / stride + 1;
    w->c = out;
    maybe_norm_and_relu(w);
}

/* Rows and columns each with a window, stride and padding of their own. */
static void oblong(writer *w)
{
    nb_geom g = {.h = w->h, .w = w->w, .dilation = {1, 1}};
    g.kh = pick(w, 1, 4);
    g.kw = pick(w, 1, 4);
    const bool deep = pick(w, 0, 3) == 0, same = pick(w, 0, 2) == 0;
    const int32_t out = pick(w, 1, 20);
    g.stride.h = w->h > 6 ? pick(w, 1, 2) : 1;
    g.stride.w = w->w > 6 ? pick(w, 1, 2) : 1;
    g.dilation.w = g.kw <= 2 ? pick(w, 1, 2) : 1;
    const int32_t top = pick(w, 0, 2), left = pick(w, 0, 2), bottom = pick(w, 0, 2), right = pick(w, 0, 2);
    g.pad = (nb_sides){top, left, bottom, right};
    nb_geom_fit(&g);
    if (!same && (g.oh < 2 || g.ow < 2))
        return;
    put(w, "  - %s: {", deep ? "dwconv2d" : "conv2d");
    if (!deep)
        put(w, "out: %d, ", out);
    put(w, "kernel: [%d, %d], stride: [%d, %d], dilation: [%d, %d], ", g.kh, g.kw, g.stride.h, g.stride.w, g.dilation.h,
        g.dilation.w);
    if (same)
        put(w, "pad: same}\n");
    else
        put(w, "pad: [%d, %d, %d, %d]}\n", g.pad.top, g.pad.left, g.pad.bottom, g.pad.right);
    w->h = same ? (w->h - 1) / g.stride.h + 1 : g.oh;
    w->w = same ? (w->w - 1) / g.stride.w + 1 : g.ow;
    w->c = deep ? w->c : out;
    maybe_norm_and_relu(w);
}

static void depthwise(writer *w)
{
    put(w, "  - dwconv2d: {kernel: 3, pad: 1, bias: %s}\n", pick(w, 0, 1) ? "yes" : "no");
    maybe_norm_and_relu(w);
}

/* Means whose last windows reach over the edge, or that keep the size. */
static void reaching_pool(writer *w)
{
    if (pick(w, 0, 1)) {
        put(w, "  - avgpool: {kernel: 3, stride: 1, pad: same, count_pad: %s}\n", pick(w, 0, 1) ? "yes" : "no");
        return;
    }
    put(w, "  - %s: {kernel: [2, 3], stride: 2, ceil: yes}\n", pick(w, 0, 1) ? "maxpool" : "avgpool");
    w->h = (w->h - 1) / 2 + 1;
    w->w = (w->w - 2) / 2 + 1;
}

static void pool(writer *w)
{
    if (w->h < 4 || w->w < 4)
        return;
    int32_t pad = pick(w, 0, 1);
    if (pick(w, 0, 2) == 0) {
        reaching_pool(w);
    } else if (pick(w, 0, 1)) {
        put(w, "  - maxpool: {kernel: 3, stride: 2, pad: %d}\n", pad);
        w->h = (w->h + 2 * pad - 3) / 2 + 1;
        w->w = (w->w + 2 * pad - 3) / 2 + 1;
    } else {
        put(w, "  - avgpool: {kernel: 2}\n");
        w->h = (w->h - 2) / 2 + 1;
        w->w = (w->w - 2) / 2 + 1;
    }
    maybe_norm(w, 3);
}

/* Two branches off a conv: joined by add (same channels) or concat. */
static void join(writer *w)
{
    int32_t id = w->layer++, out = pick(w, 2, 9), other = pick(w, 0, 1) ? out : pick(w, 1, 9);
    put(w, "  - conv2d: {name: j%d, out: %d, kernel: 3, pad: 1}\n", id, out);
    put(w, "  - conv2d: {name: j%da, in: j%d, out: %d, kernel: 1, bias: no}\n  - batchnorm: {name: j%dn}\n", id, id,
        other, id);
    put(w, "  - %s: {in: [j%d, j%dn]}\n", other == out && pick(w, 0, 1) ? "add" : "concat", id, id);
    bool added = strstr(w->text + w->at - 40, "- add") != NULL;
    w->c = added ? out : out + other;
    maybe_norm(w, 3);
    if (pick(w, 0, 1))
        activation(w);
    maybe_norm(w, 6);
}

/* A value and what is repeated over it: one for each channel, from a pool, or one for each pixel. */
static void gated(writer *w)
{
    static const char *const ops[] = {"mul", "mul", "add", "sub"};
    const int32_t id = w->layer++;
    const bool vector = pick(w, 0, 2) > 0, first = pick(w, 0, 1);
    put(w, "  - conv2d: {name: g%d, out: %d, kernel: 1}\n", id, w->c);
    if (vector)
        put(w, "  - avgpool: {global: yes}\n");
    put(w, "  - conv2d: {out: %d, kernel: 1}\n", vector && pick(w, 0, 3) ? w->c : 1);
    if (pick(w, 0, 1))
        put(w, "  - relu\n");
    put(w, pick(w, 0, 1) ? "  - batchnorm: {name: g%dn}\n" : "  - dwconv2d: {name: g%dn, kernel: 1}\n", id);
    put(w, "  - %s: {in: [g%d%s, g%d%s]}\n", ops[pick(w, 0, 3)], id, first ? "n" : "", id, first ? "" : "n");
    maybe_norm_and_relu(w);
}

/* Blocks in a row: a value that a convolution and an add read, over several adds. */
static void residual(writer *w)
{
    int32_t stride = w->h > 6 && w->w > 6 ? pick(w, 1, 2) : 1, out = pick(w, 0, 1) ? w->c : pick(w, 1, 12);
    put(w, "  - resblock: {out: %d, stride: %d, repeat: %d}\n", out, stride, pick(w, 1, 3));
    w->h = (w->h - 1) / stride + 1;
    w->w = (w->w - 1) / stride + 1;
    w->c = out;
    maybe_norm(w, 4);
}

/* Two sums of three values that are read in an order in which their gradients must not share memory. */
static void crossed(writer *w)
{
    int32_t id = w->layer++, out = pick(w, 1, 9);
    put(w, "  - conv2d: {name: x%d, out: %d, kernel: 1}\n", id, out);
    put(w, "  - conv2d: {name: x%da, in: x%d, out: %d, kernel: 3, pad: 1}\n  - batchnorm: {name: x%db}\n", id, id, out,
        id);
    put(w, "  - conv2d: {name: x%dc, in: x%db, out: %d, kernel: 1, bias: no}\n", id, id, out);
    put(w, "  - add: {name: x%dd, in: [x%d, x%db]}\n  - add: {in: [x%dd, x%dc]}\n", id, id, id, id, id);
    w->c = out;
    maybe_norm(w, 4);
}

/* Two halves of the channels, one of them through a convolution, side by side again and mixed. */
static void halves(writer *w)
{
    const int32_t id = w->layer++, half = w->c / 2;
    put(w, "  - relu: {name: h%d}\n  - slice: {name: h%da, in: h%d, channels: \":%d\"}\n", id, id, id, half);
    put(w, "  - slice: {name: h%db, in: h%d, channels: \"%d:\"}\n", id, id, half);
    put(w, "  - dwconv2d: {name: h%dc, kernel: 3, pad: 1}\n  - concat: {in: [h%da, h%dc]}\n  - shuffle\n", id, id, id);
}

static void padded(writer *w)
{
    static const char *const modes[] = {"zero", "reflect", "edge", "wrap"};
    const int32_t top = pick(w, 0, 2), left = pick(w, 0, 2), bottom = pick(w, 0, 1), right = pick(w, 0, 2);
    const int32_t more = pick(w, 0, 3);
    put(w, "  - pad: {pad: [%d, %d, %d, %d], mode: %s, channels: [%d, %d]}\n", top, left, bottom, right,
        modes[pick(w, 0, 3)], more, more / 2);
    w->h += top + bottom;
    w->w += left + right;
    w->c += more + more / 2;
}

static void resized(writer *w)
{
    static const char *const aligns[] = {"half_pixel", "corners", "asymmetric"};
    const int32_t h = pick(w, 3, 12), width = pick(w, 3, 12);
    const char *align = aligns[pick(w, 0, 2)], *mode = pick(w, 0, 1) ? "nearest" : "bilinear";
    put(w, "  - upsample: {size: [%d, %d], mode: %s, align: %s}\n", h, width, mode, align);
    w->h = h;
    w->w = width;
}

static void moved(writer *w)
{
    const int32_t kind = pick(w, 0, 4);
    if (kind == 0 && w->c % 2 == 0) {
        halves(w);
    } else if (kind == 1 && w->h > 6 && w->w > 6) {
        put(w, "  - slice: {rows: \"::2\", cols: \"1::-1, 2:\"}\n");
        w->h = (w->h + 1) / 2;
    } else if (kind == 2 && w->h < 6 && w->w < 6 && pick(w, 0, 1)) {
        const int32_t out = pick(w, 1, 6), k = pick(w, 2, 3), pad = pick(w, 0, 1);
        put(w, "  - convtranspose2d: {out: %d, kernel: [%d, 2], stride: 2, pad: [%d, 0], output_pad: [1, 0]}\n", out, k,
            pad);
        w->h = 2 * (w->h - 1) + k - 2 * pad + 1;
        w->w = 2 * w->w;
        w->c = out;
        maybe_norm_and_relu(w);
    } else if (kind == 2 && w->h < 6 && w->w < 6) {
        put(w, "  - pad: {between: [1, %d]}\n", pick(w, 0, 1));
        w->h = 2 * w->h - 1;
        w->w = w->text[w->at - 3] == '1' ? 2 * w->w - 1 : w->w;
    } else if (kind == 3 && w->h > 2 && w->w > 2 && w->h < 12 && w->w < 12) {
        padded(w);
    } else if (kind == 4) {
        resized(w);
    }
}

/* From images to logits: rows with batch norms per feature, joined by adds and concats of rows. */
static void rows(writer *w)
{
    const bool image = pick(w, 0, 1);
    if (image || pick(w, 0, 1)) {
        put(w, "  - avgpool: {global: yes}\n");
        maybe_norm(w, 3);
        w->h = w->w = 1;
    }
    const int32_t features = w->h * w->w * w->c;
    if (!image || pick(w, 0, 1)) {
        put(w, "  - flatten: {name: rows}\n");
        if (pick(w, 0, 3) == 0 && features <= 400) {
            put(w, "  - batchnorm: {name: side, in: rows}\n");
            const char *in = pick(w, 0, 1) ? "rows, side" : "side, rows", *joined = pick(w, 0, 1) ? "add" : "concat";
            put(w, "  - %s: {in: [%s]}\n", joined, in);
        }
        maybe_norm(w, 2);
        if (pick(w, 0, 3) == 0)
            activation(w);
    }
    if (pick(w, 0, 2) == 0) {
        put(w, "  - linear: {out: %d}\n", pick(w, 3, 9));
        maybe_norm_and_relu(w);
    }
    put(w, "  - linear: {out: 4}\n");
    maybe_norm(w, 6);
}

/* Formats of weights, with the bits they have and their other keys; the first three are not of levels. */
static const struct {
    const char *name, *keys;
    int32_t least, most;
    bool finds_scale; /* itself */
} formats[] = {{"uniform", "", 2, 8, false},
               {"uniform", "", 2, 8, false},
               {"pow2", "", 2, 8, false},
               {"log", "", 2, 4, false},
               {"odd", "", 2, 7, false},
               {"apot", "", 2, 5, false},
               {"fp4", "", 4, 4, false},
               {"fp6_e2m3", "", 6, 6, false},
               {"minifloat", ", exponent: 2, mantissa: 2", 5, 5, false},
               {"minifloat", ", exponent: 3, mantissa: 0", 4, 4, false},
               {"codebook", "", 1, 7, true},
               {"codebook", "", 1, 7, true},
               {"ternary", "", 2, 2, true},
               {"ternary", "", 2, 2, true},
               {"binary", "", 1, 1, true},
               {"binary", "", 1, 1, true},
               {"fixed", "", 2, 8, false},
               {"block", "", 2, 7, true},
               {"block", ", block: 5, exponents: mse", 2, 7, true},
               {"block", ", block: 1, depth: 1, exponents: largest", 2, 7, true}};

static void weight_rules(writer *w, bool levels)
{
    static const char *const schemes[] = {"symmetric", "full", "asymmetric"};
    static const char *const learn[] = {"lsq", "lsq", "tqt", "lsqplus", "dorefa"};
    const int32_t f = pick(w, 0, levels ? (int32_t)(sizeof formats / sizeof *formats) - 1 : 2), scheme = pick(w, 0, 3);
    const bool plain = f >= 3 || scheme % 3 == 0, odd = formats[f].name[0] == 'o';
    put(w, "quant:\n  weights: {bits: %d, scheme: %s, format: %s%s, ",
        pick(w, formats[f].least, plain ? formats[f].most : 7), schemes[f < 3 ? scheme % 3 : 0], formats[f].name,
        formats[f].keys);
    if (!formats[f].finds_scale)
        put(w, "range: %s, ", pick(w, 0, 3) ? "minmax" : "mse");
    const bool one_scale = strcmp(formats[f].name, "fixed") == 0;
    if (pick(w, 0, 3) == 0 && !one_scale)
        put(w, "granularity: group, group: %d, ", pick(w, 1, 5));
    else
        put(w, "granularity: %s, ", pick(w, 0, 1) ? "channel" : "tensor");
    const bool fixed = strcmp(formats[f].name, "fixed") == 0 || strcmp(formats[f].name, "block") == 0;
    const bool learns = pick(w, 0, 2) == 0 && !fixed;
    put(w, "learn: %s}\n", learns ? learn[pick(w, 0, odd ? 4 : plain ? 3 : 1)] : "none");
}

static void value_rules(writer *w)
{
    static const char *const ranges[] = {"ema", "minmax", "mse"};
    static const char *const schemes[] = {"asymmetric", "symmetric", "unsigned"};
    static const char *const learn[] = {"lsq", "tqt", "lsqplus", "scale_zero"}; /* the last two: offsets, asymmetric */
    static const char *const kinds[] = {"uniform", "uniform", "uniform", "pow2", "fixed"};
    const char *format = kinds[pick(w, 0, 4)];
    const int32_t scheme = pick(w, 0, 2);
    const bool learns = pick(w, 0, 2) == 0 && strcmp(format, "fixed") != 0;
    const char *learned = learns ? learn[pick(w, 0, scheme == 0 ? 3 : 1)] : "none", *range = ranges[pick(w, 0, 2)];
    put(w, "  activations: {bits: %d, scheme: %s, range: %s, format: %s, learn: %s}\n", pick(w, 2, 8), schemes[scheme],
        range, format, learned);
}

/* Of the first n_kinds kinds of layers; levels: weights may have a format of levels. */
static void write_network(writer *w, int32_t n_kinds, bool levels)
{
    w->h = pick(w, 5, 12);
    w->w = pick(w, 5, 12);
    w->c = pick(w, 0, 1) ? 3 : 1;
    if (w->c == 3 && w->h == 11)
        w->c = 6; /* no image: its channels share a table */
    put(w,
        "seed: %d\ndata: {name: synth, count: 64, height: %d, width: %d, channels: %d, classes: 4}\nmodel:\n  - "
        "input\n",
        pick(w, 1, 1000), w->h, w->w, w->c);
    maybe_norm(w, 4);
    conv(w);
    for (int32_t i = 0, n = pick(w, 1, 5); i < n; i++) {
        static void (*const kinds[])(writer *) = {conv, depthwise, pool, join, residual, crossed};
        const int32_t kind = pick(w, 0, n_kinds - 1);
        const bool other = pick(w, 0, 1);
        (kind == 0 && other ? oblong : kind == 3 && other ? gated : kinds[kind])(w);
        if (pick(w, 0, 2) == 0)
            moved(w);
    }
    rows(w);
    weight_rules(w, levels);
    value_rules(w);
    put(w, "  means: %s\n", pick(w, 0, 1) ? "own" : "keep");
    const char *norm = pick(w, 0, 1) ? "keep" : "fold";
    const int32_t output = pick(w, 0, 1) ? 8 : 0, ends = pick(w, 0, 1) ? 8 : 0;
    put(w, "  first_last_bits: %d\n  output_bits: %d\n  batchnorm: %s\n", ends, output, norm);
}

/* Batch norms as training seldom leaves them: negative, zero and nearly zero gamma. */
static void disturb(nb_graph *g, writer *w)
{
    for (int32_t i = 0; i < g->n; i++) {
        const char *dot = strrchr(g->node[i]->name, '.');
        if (!dot || strcmp(dot, ".gamma") != 0)
            continue;
        float *gamma = g->node[i]->out.data;
        for (int64_t c = 0; c < nb_count(&g->node[i]->out); c++) {
            static const float odd[] = {0, 1e-12f, -1e-3f};
            int32_t kind = pick(w, 0, 7);
            gamma[c] = kind < 3 ? odd[kind] : kind < 5 ? -gamma[c] : gamma[c];
        }
    }
}

void ref_network_text(int32_t seed, char *text)
{
    writer w = {.rng = nb_rng_make(0x6e657473, (uint64_t)seed), .text = text};
    write_network(&w, 4, true);
}

void ref_network_text_residual(int32_t seed, char *text)
{
    writer w = {.rng = nb_rng_make(0x6e657473, (uint64_t)seed), .text = text};
    write_network(&w, 6, true);
}

bool ref_network_fold_corrected(char *text)
{
    static const char key[] = "  batchnorm: ";
    char *mode = strstr(text, key), was[16];
    assert_true(mode && (size_t)(mode - text) + sizeof key + sizeof was < REF_NETWORK_BYTES);
    mode += sizeof key - 1; /* the last value there is */
    snprintf(was, sizeof was, "%s", mode);
    strcpy(mode, "fold_corrected\n");
    ref_street s;
    const nb_status st = ref_street_open(&s, text, 1, REF_QUANTIZED);
    ref_street_close(&s);
    if (st != NB_OK)
        strcpy(mode, was);
    return st == NB_OK;
}

void ref_network_disturb(int32_t seed, nb_graph *g)
{
    writer w = {.rng = nb_rng_make(0x67616d6d, (uint64_t)seed)};
    disturb(g, &w);
}

void ref_network_open(int32_t seed, const char *text, ref_street *s)
{
    nb_status st = ref_street_open(s, text, REF_NETWORK_BATCH, REF_FLOAT);
    if (st == NB_OK) {
        ref_network_disturb(seed, s->graph);
        st = nb_model_quantize(s->graph, s->exp.quant);
    }
    if (st != NB_OK)
        fail_msg("%s\n%s", text, nb_ctx_error(s->ctx));
}

nb_status ref_network_integers(ref_street *s, nb_intmodel **out)
{
    nb_graph *g;
    ref_street_steps(s, 3, 0.01f, false);
    nb_status st = ref_street_copy(s, REF_NETWORK_BATCH, REF_QUANTIZED, &g);
    if (st == NB_OK)
        st = nb_lower(g, "", out);
    nb_graph_free(g);
    return st;
}
