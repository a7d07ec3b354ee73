/* cgen_window.c - convolutions for Helium: windows copied together, then long dot products of 16 codes at a time.
 *
 * Vectors of 16 want both factors signed, and codes are mostly u8: a window is copied once for all channels, its codes
 * moved to s8 (code - 128) on the way and its padding filled with the zero point. A channel's bias then holds what
 * that adds: sum(w) * (128 - zero), -zero for inputs that are s8. Every other target takes the loops of cgen_conv.c;
 * both give the engine's sums. Packed weights are taken apart in registers, not in memory, so their rows have to begin
 * on a byte; indices of levels take the loops. */
#include "export/cgen.h"

#include <inttypes.h>
#include <stdio.h>

bool cgen_windowed(const nb_intmodel *m, int32_t step)
{
    const nb_estep *s = &m->e.steps[step];
    const nb_geom *q = &s->geom;
    return s->kind == NB_STEP_CONV && !m->steps[step].level && q->groups == 1 && q->oh * q->ow > 1 &&
           cgen_row(q) * cgen_width(m, step) % 8 == 0;
}

int64_t cgen_window_bias(const nb_intmodel *m, int32_t step, int32_t c)
{
    const nb_estep *s = &m->e.steps[step];
    const nb_etensor *in = &m->e.tensors[s->in[0]];
    const int64_t row = cgen_row(&s->geom);
    int64_t sum = 0;
    for (int64_t i = 0; i < row; i++)
        sum += s->weights[c * row + i];
    return sum * ((in->type == NB_EI_S8 ? 0 : 128) - in->zero);
}

/* ---- helper functions ---- */

/* vmulh is the product's upper half, vrshl by a negative number the rounding shift: what close_high does. */
static const char close_text[] =
    "/* Four sums of two channels, `next` apart, and two pixels, dy apart, rescaled and stored; two: else the first "
    "pixel\n"
    " * alone. */\n"
    "@INLINE void @closew(void *y, uint32_t dy, const int32_t *acc, const int32_t *mult, const uint8_t *shift,\n"
    "                     uint32_t next, int32_t two, int32_t zero, int32_t lo, int32_t hi)\n"
    "{\n"
    "    const uint32x4_t at = {0, next, 0, next}, to = {0, next, dy, dy + next};\n"
    "    const int32x4_t m = vldrwq_gather_shifted_offset_s32(mult, at);\n"
    "    const int32x4_t s = vreinterpretq_s32_u32(vldrbq_gather_offset_u32(shift, at));\n"
    "    int32x4_t v = vmulhq_s32(vldrwq_s32(acc), m);\n"
    "    v = vaddq_n_s32(vrshlq_s32(v, vsubq_s32(vdupq_n_s32(32), s)), zero);\n"
    "    v = vminq_s32(vmaxq_s32(v, vdupq_n_s32(lo)), vdupq_n_s32(hi));\n"
    "    vstrbq_scatter_offset_p_u32((uint8_t *)y, to, vreinterpretq_u32_s32(v), two ? 0xffff : 0x00ff);\n"
    "}\n\n";

static const char copy_text[] =
    "/* A window of codes, kw * c after one another for every ky; what lies outside is `zero`. flip: 0x80 for u8. */\n"
    "static void @window(int8_t *to, const void *from, int32_t top, int32_t left, int32_t h, int32_t w, int32_t c,\n"
    "                    int32_t kh, int32_t kw, int32_t d, uint8_t zero, uint8_t flip)\n"
    "{\n"
    "    const uint8_t *const x = (const uint8_t *)from;\n"
    "    uint8_t *y = (uint8_t *)to;\n"
    "    int32_t ky, kx, i;\n"
    "    for (ky = 0; ky < kh; ky++) {\n"
    "        const int32_t iy = top + ky * d, row = iy >= 0 && iy < h;\n"
    "        const int32_t whole = row && d == 1 && left >= 0 && left + kw <= w;\n"
    "        const int32_t n = whole ? kw * c : c;\n"
    "        for (kx = 0; kx < kw; kx += whole ? kw : 1) {\n"
    "            const int32_t ix = left + kx * d, inside = row && ix >= 0 && ix < w;\n"
    "            const uint8_t *const p = inside ? x + (iy * w + ix) * c : x;\n"
    "            for (i = 0; i < n; i += 16) {\n"
    "                const mve_pred16_t some = vctp8q((uint32_t)(n - i));\n"
    "                const uint8x16_t v = inside ? vldrbq_z_u8(p + i, some) : vdupq_n_u8(zero);\n"
    "                vstrbq_p_u8(y + i, veorq_u8(v, vdupq_n_u8(flip)), some);\n"
    "            }\n"
    "            y += n;\n"
    "        }\n"
    "    }\n"
    "}\n\n";

/* n codes come 16 at a time; what is missing in the last step adds nothing (letp). In assembler because compilers
 * unroll the loop whole, or keep sums in memory. */
static const char dot_text[] =
    "/* Two windows of n codes times two channels, whose biases are given and $b-bit weights dw bytes apart. */\n"
    "@INLINE void @dotw$b(int32_t *acc, int32_t first, int32_t second, const int8_t *x, const $T *w, int32_t dw,\n"
    "                    int32_t n)\n"
    "{\n"
    "    int32_t a = first, b = second, c = first, d = second;\n"
    "    const int8_t *z = x + n;\n"
    "    const $T *v = w + dw;\n"
    "    __asm__ volatile(\"   dlstp.8 lr, %[n]\\n\"\n"
    "                     \"1: vldrb.8 q0, [%[x]], #16\\n\"\n"
    "                     \"   vldrb.8 q1, [%[z]], #16\\n\"\n"
    "$r"
    "                     \"   vmladava.s8 %[a], q0, q2\\n\"\n"
    "                     \"   vmladava.s8 %[c], q1, q2\\n\"\n"
    "$s"
    "                     \"   vmladava.s8 %[b], q0, q3\\n\"\n"
    "                     \"   vmladava.s8 %[d], q1, q3\\n\"\n"
    "                     \"   letp lr, 1b\\n\"\n"
    "                     : [a] \"+Te\"(a), [b] \"+Te\"(b), [c] \"+Te\"(c), [d] \"+Te\"(d), [x] \"+r\"(x), [z] "
    "\"+r\"(z),\n"
    "                       [w] \"+$l\"(w), [v] \"+$l\"(v)\n"
    "                     : [n] \"r\"(n)\n"
    "                     : \"q0\", \"q1\", \"q2\", \"q3\", \"q4\", \"lr\", \"cc\", \"memory\");\n"
    "    acc[0] = a;\n"
    "    acc[1] = b;\n"
    "    acc[2] = c;\n"
    "    acc[3] = d;\n"
    "}\n\n";

/* 16 weights from $w into q$q. s4: a byte 0xHL is a lane 0x00HL, becomes 0xHLL0, and its two bytes shifted right
 * arithmetically are the codes; s2 likewise, four to a lane. */
static const char *const weights_text[] = {
    [8] = "                     \"   vldrb.8 q$q, [%[$w]], #16\\n\"\n",
    [4] = "                     \"   vldrb.u16 q$q, [%[$w]], #8\\n\"\n"
          "                     \"   vshl.i16 q4, q$q, #4\\n\"\n"
          "                     \"   vsli.16 q4, q$q, #8\\n\"\n"
          "                     \"   vshr.s8 q$q, q4, #4\\n\"\n",
    [2] = "                     \"   vldrb.u32 q$q, [%[$w]], #4\\n\"\n"
          "                     \"   vshl.i32 q4, q$q, #6\\n\"\n"
          "                     \"   vsli.32 q4, q$q, #12\\n\"\n"
          "                     \"   vsli.32 q4, q$q, #18\\n\"\n"
          "                     \"   vsli.32 q4, q$q, #24\\n\"\n"
          "                     \"   vshr.s8 q$q, q4, #6\\n\"\n",
};

/* weights_text with its two keys replaced; the rest of it has none. */
static void put_load(char *to, size_t size, int32_t bits, char pointer, char reg)
{
    size_t n = 0;
    for (const char *p = weights_text[bits]; *p && n + 1 < size; p++)
        to[n++] = *p != '$' ? *p : *++p == 'w' ? pointer : reg;
    to[n] = '\0';
}

static void put_width(cgen *g, int32_t bits)
{
    const char digit[2] = {(char)('0' + bits), '\0'};
    char load[2][512];
    put_load(load[0], sizeof load[0], bits, 'w', '2');
    put_load(load[1], sizeof load[1], bits, 'v', '3');
    const cgen_sub subs[] = {{'b', digit},
                             {'T', bits == 8 ? "int8_t" : "uint8_t"},
                             {'l', bits == 8 ? "r" : "l"}, /* widening loads want low registers */
                             {'r', load[0]},
                             {'s', load[1]},
                             {0, NULL}};
    cgen_add(g, dot_text, subs);
}

void cgen_window_helpers(cgen *g)
{
    bool width[9] = {false}, any = false;
    for (int32_t i = 0; i < g->m->e.n_steps; i++)
        if (cgen_windowed(g->m, i))
            any = width[cgen_width(g->m, i)] = true;
    if (!any)
        return;
    nb_text_add(&g->out, "#if " CGEN_WINDOWS "\n");
    cgen_add(g, copy_text, NULL);
    cgen_add(g, close_text, NULL);
    for (int32_t bits = 2; bits <= 8; bits *= 2)
        if (width[bits])
            put_width(g, bits);
    nb_text_add(&g->out, "#endif\n\n");
}

/* ---- a step ---- */

static void put_windows(cgen *g, int32_t step)
{
    const nb_estep *s = &g->m->e.steps[step];
    const nb_etensor *in = &g->m->e.tensors[s->in[0]];
    const nb_geom q = cgen_view(&s->geom);
    cgen_printf(g,
                "            for (k = 0; k < 2; k++)\n"
                "                @window(rows + k * %" PRId64 ", x, oy * %d - %d, (ox + k) * %d - %d, ",
                cgen_row(&q), q.stride, q.pad, q.stride, q.pad);
    cgen_printf(g, "%d, %d, %d,\n                        %d, %d, %d, %d, %d);\n", q.h, q.w, q.c, q.kh, q.kw, q.dilation,
                (int32_t)(uint8_t)in->zero, in->type == NB_EI_S8 ? 0 : 128);
}

static void put_stores(cgen *g, int32_t step, const nb_geom *q)
{
    const nb_estep *s = &g->m->e.steps[step];
    const nb_etensor *out = &g->m->e.tensors[s->out];
    char at[48];
    if (cgen_high(s) && out->type != NB_EI_S32) {
        cgen_printf(g,
                    "                @closew(y + to + o, %d, acc, mult + o, shift + o, %s, ox + 1 < %d, %d, %d, %d);\n",
                    q->oc, q->oc % 2 == 0 ? "1" : "(uint32_t)(p - o)", q->ow, out->zero, s->lo, s->hi);
        return;
    }
    cgen_store(g, step, "                ", "to + o", "acc[0]", "o");
    cgen_store(g, step, "                ", "to + p", "acc[1]", "p");
    cgen_printf(g, "                if (ox + 1 < %d) {\n", q->ow);
    snprintf(at, sizeof at, "to + %d + o", q->oc);
    cgen_store(g, step, "                    ", at, "acc[2]", "o");
    snprintf(at, sizeof at, "to + %d + p", q->oc);
    cgen_store(g, step, "                    ", at, "acc[3]", "p");
    nb_text_add(&g->out, "                }\n");
}

void cgen_window_body(cgen *g, int32_t step)
{
    const nb_geom q = cgen_view(&g->m->e.steps[step].geom);
    const int64_t row = cgen_row(&q), bytes = row * cgen_width(g->m, step) / 8;
    const bool even = q.oc % 2 == 0;
    nb_text_add(&g->out, "    int32_t oy, ox, o, k;\n");
    cgen_printf(g, "    for (oy = 0; oy < %d; oy++)\n        for (ox = 0; ox < %d; ox += 2) {\n", q.oh, q.ow);
    cgen_printf(g, "            const int32_t to = (oy * %d + ox) * %d;\n", q.ow, q.oc);
    put_windows(g, step);
    cgen_printf(g, "            for (o = 0; o < %d; o += 2) {\n", q.oc);
    if (even)
        nb_text_add(&g->out, "                const int32_t p = o + 1;\n");
    else
        cgen_printf(g, "                const int32_t p = o + 1 < %d ? o + 1 : o; /* the last stands alone */\n", q.oc);
    nb_text_add(&g->out, "                int32_t acc[4];\n");
    cgen_printf(
        g, "                @dotw%d(acc, bias[o], bias[p], rows, w + o * %" PRId64 ", %s%" PRId64 ", %" PRId64 ");\n",
        cgen_width(g->m, step), bytes, even ? "" : "(p - o) * ", bytes, row);
    put_stores(g, step, &q);
    nb_text_add(&g->out, "            }\n        }\n");
}
