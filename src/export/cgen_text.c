/* cgen_text.c - text with replacements, and the functions that every exported program shares: rescale, dot products,
 * unpacking.
 *
 * The dot product is the program's inner loop: two output pixels times two output channels, so that every load serves
 * two products. Portable C is the definition; on Arm, SMLAD (Cortex-M4, M7, M33) or Helium (M55, M85) do the same sums:
 * integer addition has one result in any order. */
#include "export/cgen.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *replacement(const cgen_sub *subs, char key)
{
    for (; subs && subs->key; subs++)
        if (subs->key == key)
            return subs->value;
    return "";
}

void cgen_add(cgen *g, const char *text, const cgen_sub *subs)
{
    while (*text) {
        size_t n = strcspn(text, "@$");
        nb_text_bytes(&g->out, text, n);
        text += n;
        if (*text == '@') {
            nb_text_add(&g->out, g->prefix);
            nb_text_add(&g->out, "_");
            text++;
        } else if (*text == '$' && text[1] == 'P') {
            for (const char *p = g->prefix; *p; p++)
                nb_text_fill(&g->out, (char)toupper((unsigned char)*p), 1);
            nb_text_add(&g->out, "_");
            text += 2;
        } else if (*text == '$') {
            nb_text_add(&g->out, replacement(subs, text[1]));
            text += 2;
        }
    }
}

/* Takes out " * 1" and " - 0": strides and paddings are often that. */
static void tidy(char *s)
{
    char *to = s;
    while (*s) {
        bool noise = (strncmp(s, " * 1", 4) == 0 || strncmp(s, " - 0", 4) == 0) && !isalnum((unsigned char)s[4]);
        if (noise)
            s += 4;
        else
            *to++ = *s++;
    }
    *to = '\0';
}

void cgen_printf(cgen *g, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof line)
        g->out.st = nb_fail(g->ctx, NB_E_RANGE, "a line of the exported program is longer than %zu bytes", sizeof line);
    else {
        tidy(line);
        cgen_add(g, line, NULL);
    }
}

/* ---- which helpers a program needs ---- */

static bool is_dense(const nb_estep *s)
{
    return s->kind == NB_STEP_CONV && !cgen_depthwise(&s->geom);
}

/* pixels: 2 where some layer has two in a row, else 1; 0: no layer has such inputs. */
static int32_t needs_dot(const nb_intmodel *m, int32_t type, bool zero)
{
    int32_t pixels = 0;
    for (int32_t i = 0; i < m->e.n_steps; i++) {
        const nb_estep *s = &m->e.steps[i];
        if (!is_dense(s) || m->e.tensors[s->in[0]].type != type || (m->e.tensors[s->in[0]].zero != 0) != zero)
            continue;
        pixels = cgen_pairs(&s->geom) || pixels == 2 ? 2 : 1;
    }
    return pixels;
}

/* high: the rescale of convolutions with large shifts, else every other. */
static bool needs_rescale(const nb_intmodel *m, bool high)
{
    for (int32_t i = 0; i < m->e.n_steps; i++) {
        const nb_estep *s = &m->e.steps[i];
        if (s->mult && (s->kind == NB_STEP_CONV && cgen_high(s)) == high)
            return true;
    }
    return false;
}

static bool needs_width(const nb_intmodel *m, int32_t lo, int32_t hi)
{
    for (int32_t i = 0; i < m->e.n_steps; i++)
        if (m->e.steps[i].kind == NB_STEP_CONV && !m->steps[i].level && m->steps[i].weight_bits >= lo &&
            m->steps[i].weight_bits <= hi)
            return true;
    return false;
}

static bool needs_levels(const nb_intmodel *m)
{
    for (int32_t i = 0; i < m->e.n_steps; i++)
        if (m->steps[i].level)
            return true;
    return false;
}

/* ---- their texts ---- */

static const char rescale_text[] =
    "/* (product + half) >> shift in 64 bits: one rounding, ties up; then zero point and clamp. */\n"
    "static int32_t @close(int64_t product, int32_t shift, int32_t zero, int32_t lo, int32_t hi)\n"
    "{\n"
    "    const int64_t v = ((product + ((int64_t)1 << (shift - 1))) >> shift) + zero;\n"
    "    return (int32_t)(v < lo ? lo : v > hi ? hi : v);\n"
    "}\n\n";

static const char high_text[] =
    "/* A rescale by shift > 32: half has no bits below 32, so the upper half of the product says it all. */\n"
    "@HELPER int32_t @close_high(int32_t acc, int32_t mult, int32_t shift, int32_t zero, int32_t lo, int32_t hi)\n"
    "{\n"
    "    const int32_t high = (int32_t)(((int64_t)acc * mult) >> 32);\n"
    "    const int32_t v = ((high + ((int32_t)1 << (shift - 33))) >> (shift - 32)) + zero;\n"
    "    return v < lo ? lo : v > hi ? hi : v;\n"
    "}\n\n";

/* Helium leaves some of the others' functions without a caller. */
static const char helper_text[] = "#if " CGEN_HELIUM "\n"
                                  "#    define @HELPER static __attribute__((unused))\n"
                                  "#else\n"
                                  "#    define @HELPER static\n"
                                  "#endif\n\n";

static const char unpack_text[] =
    "/* n weight codes from the first-th on: $b bits each, two's complement, first code in the lowest bits. */\n"
    "@HELPER void @unpack$b(int8_t *to, const uint8_t *from, int32_t first, int32_t n)\n"
    "{\n"
    "    int32_t i;\n"
    "    for (i = first; i < first + n; i++)\n"
    "        *to++ = (int8_t)((((from[i / $p] >> (i % $p * $b)) & $m) ^ $h) - $h);\n"
    "}\n\n";

static const char levels_text[] =
    "/* n weights from indices of `bits` bits each, a little-endian stream, through their table of levels. */\n"
    "@HELPER void @levels(int8_t *to, const uint8_t *from, const int8_t *level, int32_t bits, int32_t n)\n"
    "{\n"
    "    uint32_t stream = 0;\n"
    "    int32_t have = 0;\n"
    "    for (; n > 0; n--) {\n"
    "        if (have < bits) {\n"
    "            stream |= (uint32_t)*from++ << have;\n"
    "            have += 8;\n"
    "        }\n"
    "        *to++ = level[stream & (((uint32_t)1 << bits) - 1)];\n"
    "        stream >>= bits;\n"
    "        have -= bits;\n"
    "    }\n"
    "}\n\n";

/* Inlined where registers are what the loop is short of: the distances are then constants in the addresses. */
static const char simd_head[] = "#if " CGEN_HELIUM "\n"
                                "#    include <arm_mve.h>\n"
                                "#    define @INLINE static inline __attribute__((always_inline))\n"
                                "#elif defined(__ARM_FEATURE_SIMD32) && defined(__GNUC__)\n"
                                "#    include <arm_acle.h>\n"
                                "#    define @INLINE static inline __attribute__((always_inline))\n"
                                "@INLINE uint32_t @word(const void *p) /* may be unaligned */\n"
                                "{\n"
                                "    uint32_t v;\n"
                                "    __builtin_memcpy(&v, p, 4);\n"
                                "    return v;\n"
                                "}\n"
                                "@INLINE int16x2_t @odd_s8(uint32_t v) /* bytes 1 and 3 */\n"
                                "{\n"
                                "    int16x2_t r;\n"
                                "    __asm__(\"sxtb16 %0, %1, ror #8\" : \"=r\"(r) : \"r\"(v));\n"
                                "    return r;\n"
                                "}\n"
                                "@INLINE int16x2_t @odd_u8(uint32_t v)\n"
                                "{\n"
                                "    int16x2_t r;\n"
                                "    __asm__(\"uxtb16 %0, %1, ror #8\" : \"=r\"(r) : \"r\"(v));\n"
                                "    return r;\n"
                                "}\n"
                                "#    define @even_s8(v) __sxtb16((int8x4_t)(v)) /* bytes 0 and 2 */\n"
                                "#    define @even_u8(v) ((int16x2_t)__uxtb16((uint8x4_t)(v)))\n"
                                "#else\n"
                                "#    define @INLINE static\n"
                                "#endif\n\n";

/* $n name suffix, $T type of the input, $t its short name, $v zero-point parameter, $m "- z", $Z subtraction of the
 * zero point on SIMD registers, $L Helium load. */
static const char dot2_text[] =
    "/* Two pixels, dx codes apart, times two channels, dw apart: acc += x0 . w0, x0 . w1, x1 . w0, x1 . w1 */\n"
    "@INLINE void @dot2$n(int32_t *acc, const $T *x, int32_t dx, const int8_t *w, int32_t dw, int32_t n$v)\n"
    "{\n"
    "    int32_t a = acc[0], b = acc[1], c = acc[2], d = acc[3];\n"
    "#if " CGEN_HELIUM "\n"
    "    for (; n > 0; n -= 8, x += 8, w += 8) {\n"
    "        const mve_pred16_t p = vctp16q((uint32_t)n);\n"
    "        const int16x8_t u = $Z($L(x, p)), v = $Z($L(x + dx, p));\n"
    "        const int16x8_t q = vldrbq_z_s16(w, p), r = vldrbq_z_s16(w + dw, p);\n"
    "        a = vmladavaq_s16(a, u, q);\n"
    "        b = vmladavaq_s16(b, u, r);\n"
    "        c = vmladavaq_s16(c, v, q);\n"
    "        d = vmladavaq_s16(d, v, r);\n"
    "    }\n"
    "#else\n"
    "#    if defined(__ARM_FEATURE_SIMD32) && defined(__GNUC__)\n"
    "    int32_t i;\n"
    "    for (i = n >> 2; i > 0; i--, x += 4, w += 4) {\n"
    "        const uint32_t xa = @word(x), xb = @word(x + dx), wa = @word(w), wb = @word(w + dw);\n"
    "        const int16x2_t u = $Z(@even_$t(xa)), v = $Z(@even_$t(xb)), q = @even_s8(wa), r = @even_s8(wb);\n"
    "        const int16x2_t e = $Z(@odd_$t(xa)), f = $Z(@odd_$t(xb)), g = @odd_s8(wa), h = @odd_s8(wb);\n"
    "        a = __smlad(e, g, __smlad(u, q, a));\n"
    "        b = __smlad(e, h, __smlad(u, r, b));\n"
    "        c = __smlad(f, g, __smlad(v, q, c));\n"
    "        d = __smlad(f, h, __smlad(v, r, d));\n"
    "    }\n"
    "    n &= 3;\n"
    "#    endif\n"
    "    for (; n > 0; n--, x++, w++) {\n"
    "        const int32_t u = x[0]$m, v = x[dx]$m;\n"
    "        a += u * w[0];\n"
    "        b += u * w[dw];\n"
    "        c += v * w[0];\n"
    "        d += v * w[dw];\n"
    "    }\n"
    "#endif\n"
    "    acc[0] = a;\n"
    "    acc[1] = b;\n"
    "    acc[2] = c;\n"
    "    acc[3] = d;\n"
    "}\n\n";

static const char dot1_text[] =
    "/* The same for one pixel: acc += x . w0, x . w1 */\n"
    "@HELPER void @dot1$n(int32_t *acc, const $T *x, const int8_t *w, int32_t dw, int32_t n$v)\n"
    "{\n"
    "    int32_t a = acc[0], b = acc[1];\n"
    "#if " CGEN_HELIUM "\n"
    "    for (; n > 0; n -= 8, x += 8, w += 8) {\n"
    "        const mve_pred16_t p = vctp16q((uint32_t)n);\n"
    "        const int16x8_t u = $Z($L(x, p));\n"
    "        a = vmladavaq_s16(a, u, vldrbq_z_s16(w, p));\n"
    "        b = vmladavaq_s16(b, u, vldrbq_z_s16(w + dw, p));\n"
    "    }\n"
    "#else\n"
    "#    if defined(__ARM_FEATURE_SIMD32) && defined(__GNUC__)\n"
    "    int32_t i;\n"
    "    for (i = n >> 2; i > 0; i--, x += 4, w += 4) {\n"
    "        const uint32_t xa = @word(x), wa = @word(w), wb = @word(w + dw);\n"
    "        const int16x2_t u = $Z(@even_$t(xa)), v = $Z(@odd_$t(xa));\n"
    "        a = __smlad(v, @odd_s8(wa), __smlad(u, @even_s8(wa), a));\n"
    "        b = __smlad(v, @odd_s8(wb), __smlad(u, @even_s8(wb), b));\n"
    "    }\n"
    "    n &= 3;\n"
    "#    endif\n"
    "    for (; n > 0; n--, x++, w++) {\n"
    "        const int32_t u = x[0]$m;\n"
    "        a += u * w[0];\n"
    "        b += u * w[dw];\n"
    "    }\n"
    "#endif\n"
    "    acc[0] = a;\n"
    "    acc[1] = b;\n"
    "}\n\n";

/* Inactive lanes of a Helium load are 0, become -z, and meet a weight of 0. */
static const char zero_text[] =
    "#if " CGEN_HELIUM "\n"
    "#    define @LESS_ZERO(v) vsubq_n_s16(v, (int16_t)z)\n"
    "#elif defined(__ARM_FEATURE_SIMD32)\n"
    "#    define @LESS_ZERO(v) __ssub16(v, (int16x2_t)(((uint32_t)z & 0xffffu) * 0x10001u))\n"
    "#endif\n\n";

static const char load_u8_text[] = "#if " CGEN_HELIUM "\n"
                                   "#    define @LOAD_U8(p, mask) vreinterpretq_s16_u16(vldrbq_z_u16(p, mask))\n"
                                   "#endif\n\n";

static void put_dots(cgen *g, int32_t type, bool zero, int32_t pixels)
{
    const bool s8 = type == NB_EI_S8;
    char name[8], less[64] = "", load[64];
    snprintf(name, sizeof name, "_%s%s", s8 ? "s8" : "u8", zero ? "z" : "");
    if (zero)
        snprintf(less, sizeof less, "%s_LESS_ZERO", g->prefix);
    snprintf(load, sizeof load, "%s%s", s8 ? "" : g->prefix, s8 ? "vldrbq_z_s16" : "_LOAD_U8");
    const cgen_sub subs[] = {{'n', name},
                             {'T', cgen_type(type)},
                             {'v', zero ? ", int32_t z" : ""},
                             {'m', zero ? " - z" : ""},
                             {'t', s8 ? "s8" : "u8"},
                             {'Z', less},
                             {'L', load},
                             {0, NULL}};
    if (pixels == 2)
        cgen_add(g, dot2_text, subs);
    cgen_add(g, dot1_text, subs);
}

static void put_unpack(cgen *g, const char *bits, const char *per, const char *mask, const char *half)
{
    const cgen_sub subs[] = {{'b', bits}, {'p', per}, {'m', mask}, {'h', half}, {0, NULL}};
    cgen_add(g, unpack_text, subs);
}

void cgen_helpers(cgen *g)
{
    const nb_intmodel *m = g->m;
    bool any = false, zero = false, u8 = false;
    for (int32_t t = NB_EI_U8; t <= NB_EI_S8; t++)
        for (int32_t z = 0; z < 2; z++)
            if (needs_dot(m, t, z)) {
                any = true;
                u8 |= t == NB_EI_U8;
                zero |= z;
            }
    if (needs_rescale(m, false))
        cgen_add(g, rescale_text, NULL);
    if (any || needs_width(m, 1, 4) || needs_levels(m) || needs_rescale(m, true))
        cgen_add(g, helper_text, NULL);
    if (needs_rescale(m, true))
        cgen_add(g, high_text, NULL);
    if (needs_width(m, 3, 4))
        put_unpack(g, "4", "2", "15", "8");
    if (needs_width(m, 1, 2))
        put_unpack(g, "2", "4", "3", "2");
    if (needs_levels(m))
        cgen_add(g, levels_text, NULL);
    if (any)
        cgen_add(g, simd_head, NULL);
    if (u8)
        cgen_add(g, load_u8_text, NULL);
    if (zero)
        cgen_add(g, zero_text, NULL);
    for (int32_t t = NB_EI_U8; t <= NB_EI_S8; t++)
        for (int32_t z = 0; z < 2; z++)
            if (needs_dot(m, t, z))
                put_dots(g, t, z, needs_dot(m, t, z));
    cgen_window_helpers(g);
}
