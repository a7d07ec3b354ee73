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

static bool needs_rescale(const nb_intmodel *m)
{
    for (int32_t i = 0; i < m->e.n_steps; i++)
        if (m->e.steps[i].mult)
            return true;
    return false;
}

static bool needs_width(const nb_intmodel *m, int32_t lo, int32_t hi)
{
    for (int32_t i = 0; i < m->e.n_steps; i++)
        if (m->e.steps[i].kind == NB_STEP_CONV && m->steps[i].weight_bits >= lo && m->steps[i].weight_bits <= hi)
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

static const char unpack_text[] =
    "/* n weight codes from the first-th on: $b bits each, two's complement, first code in the lowest bits. */\n"
    "static void @unpack$b(int8_t *to, const uint8_t *from, int32_t first, int32_t n)\n"
    "{\n"
    "    int32_t i;\n"
    "    for (i = first; i < first + n; i++)\n"
    "        *to++ = (int8_t)((((from[i / $p] >> (i % $p * $b)) & $m) ^ $h) - $h);\n"
    "}\n\n";

static const char simd_head[] = "#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)\n"
                                "#    include <arm_mve.h>\n"
                                "#elif defined(__ARM_FEATURE_SIMD32)\n"
                                "#    include <arm_acle.h>\n"
                                "static inline uint32_t @word(const void *p) /* may be unaligned */\n"
                                "{\n"
                                "    uint32_t v;\n"
                                "    __builtin_memcpy(&v, p, 4);\n"
                                "    return v;\n"
                                "}\n"
                                "#endif\n\n";

/* $n name suffix, $T type of the input, $v zero-point parameter, $m "- z", $U (u)xtb16, $Z subtraction of the zero
 * point on SIMD registers, $L Helium load. */
static const char dot2_text[] =
    "/* acc += x0 . w0, x0 . w1, x1 . w0, x1 . w1 */\n"
    "static void @dot2$n(int32_t *acc, const $T *x0, const $T *x1, const int8_t *w0, const int8_t *w1, int32_t n$v)\n"
    "{\n"
    "    int32_t a = acc[0], b = acc[1], c = acc[2], d = acc[3], i = 0;\n"
    "#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)\n"
    "    for (; i < n; i += 8) {\n"
    "        const mve_pred16_t p = vctp16q((uint32_t)(n - i));\n"
    "        const int16x8_t u = $Z($L(x0 + i, p)), v = $Z($L(x1 + i, p));\n"
    "        const int16x8_t q = vldrbq_z_s16(w0 + i, p), r = vldrbq_z_s16(w1 + i, p);\n"
    "        a = vmladavaq_s16(a, u, q);\n"
    "        b = vmladavaq_s16(b, u, r);\n"
    "        c = vmladavaq_s16(c, v, q);\n"
    "        d = vmladavaq_s16(d, v, r);\n"
    "    }\n"
    "#elif defined(__ARM_FEATURE_SIMD32)\n"
    "    for (; i + 4 <= n; i += 4) {\n"
    "        const uint32_t xa = @word(x0 + i), xb = @word(x1 + i), wa = @word(w0 + i), wb = @word(w1 + i);\n"
    "        const int16x2_t q = __sxtb16((int8x4_t)wa), s = __sxtb16((int8x4_t)__ror(wa, 8));\n"
    "        const int16x2_t r = __sxtb16((int8x4_t)wb), t = __sxtb16((int8x4_t)__ror(wb, 8));\n"
    "        const int16x2_t u = $Z($U(xa)), v = $Z($U(__ror(xa, 8)));\n"
    "        const int16x2_t y = $Z($U(xb)), z0 = $Z($U(__ror(xb, 8)));\n"
    "        a = __smlad(v, s, __smlad(u, q, a));\n"
    "        b = __smlad(v, t, __smlad(u, r, b));\n"
    "        c = __smlad(z0, s, __smlad(y, q, c));\n"
    "        d = __smlad(z0, t, __smlad(y, r, d));\n"
    "    }\n"
    "#endif\n"
    "    for (; i < n; i++) {\n"
    "        const int32_t u = x0[i]$m, v = x1[i]$m;\n"
    "        a += u * w0[i];\n"
    "        b += u * w1[i];\n"
    "        c += v * w0[i];\n"
    "        d += v * w1[i];\n"
    "    }\n"
    "    acc[0] = a;\n"
    "    acc[1] = b;\n"
    "    acc[2] = c;\n"
    "    acc[3] = d;\n"
    "}\n\n";

static const char dot1_text[] =
    "/* the same for one pixel: acc += x . w0, x . w1 */\n"
    "static void @dot1$n(int32_t *acc, const $T *x, const int8_t *w0, const int8_t *w1, int32_t n$v)\n"
    "{\n"
    "    int32_t a = acc[0], b = acc[1], i = 0;\n"
    "#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)\n"
    "    for (; i < n; i += 8) {\n"
    "        const mve_pred16_t p = vctp16q((uint32_t)(n - i));\n"
    "        const int16x8_t u = $Z($L(x + i, p));\n"
    "        a = vmladavaq_s16(a, u, vldrbq_z_s16(w0 + i, p));\n"
    "        b = vmladavaq_s16(b, u, vldrbq_z_s16(w1 + i, p));\n"
    "    }\n"
    "#elif defined(__ARM_FEATURE_SIMD32)\n"
    "    for (; i + 4 <= n; i += 4) {\n"
    "        const uint32_t xa = @word(x + i), wa = @word(w0 + i), wb = @word(w1 + i);\n"
    "        const int16x2_t u = $Z($U(xa)), v = $Z($U(__ror(xa, 8)));\n"
    "        a = __smlad(v, __sxtb16((int8x4_t)__ror(wa, 8)), __smlad(u, __sxtb16((int8x4_t)wa), a));\n"
    "        b = __smlad(v, __sxtb16((int8x4_t)__ror(wb, 8)), __smlad(u, __sxtb16((int8x4_t)wb), b));\n"
    "    }\n"
    "#endif\n"
    "    for (; i < n; i++) {\n"
    "        const int32_t u = x[i]$m;\n"
    "        a += u * w0[i];\n"
    "        b += u * w1[i];\n"
    "    }\n"
    "    acc[0] = a;\n"
    "    acc[1] = b;\n"
    "}\n\n";

/* Inactive lanes of a Helium load are 0, become -z, and meet a weight of 0. */
static const char zero_text[] =
    "#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)\n"
    "#    define @LESS_ZERO(v) vsubq_n_s16(v, (int16_t)z)\n"
    "#elif defined(__ARM_FEATURE_SIMD32)\n"
    "#    define @LESS_ZERO(v) __ssub16(v, (int16x2_t)(((uint32_t)z & 0xffffu) * 0x10001u))\n"
    "#endif\n\n";

static const char load_u8_text[] = "#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)\n"
                                   "#    define @LOAD_U8(p, mask) vreinterpretq_s16_u16(vldrbq_z_u16(p, mask))\n"
                                   "#elif defined(__ARM_FEATURE_SIMD32)\n"
                                   "#    define @UXTB(v) ((int16x2_t)__uxtb16((uint8x4_t)(v)))\n"
                                   "#endif\n\n";
static const char load_s8_text[] = "#if defined(__ARM_FEATURE_SIMD32)\n"
                                   "#    define @SXTB(v) __sxtb16((int8x4_t)(v))\n"
                                   "#endif\n\n";

static void put_dots(cgen *g, int32_t type, bool zero, int32_t pixels)
{
    const bool s8 = type == NB_EI_S8;
    char name[8], less[64] = "", load[64], extend[64];
    snprintf(name, sizeof name, "_%s%s", s8 ? "s8" : "u8", zero ? "z" : "");
    if (zero)
        snprintf(less, sizeof less, "%s_LESS_ZERO", g->prefix);
    snprintf(load, sizeof load, "%s%s", s8 ? "" : g->prefix, s8 ? "vldrbq_z_s16" : "_LOAD_U8");
    snprintf(extend, sizeof extend, "%s_%s", g->prefix, s8 ? "SXTB" : "UXTB");
    const cgen_sub subs[] = {
        {'n', name                     },
        {'T', cgen_type(type)          },
        {'v', zero ? ", int32_t z" : ""},
        {'m', zero ? " - z" : ""       },
        {'Z', less                     },
        {'L', load                     },
        {'U', extend                   },
        {0,   NULL                     }
    };
    if (pixels == 2)
        cgen_add(g, dot2_text, subs);
    cgen_add(g, dot1_text, subs);
}

static void put_unpack(cgen *g, const char *bits, const char *per, const char *mask, const char *half)
{
    const cgen_sub subs[] = {
        {'b', bits},
        {'p', per },
        {'m', mask},
        {'h', half},
        {0,   NULL}
    };
    cgen_add(g, unpack_text, subs);
}

void cgen_helpers(cgen *g)
{
    const nb_intmodel *m = g->m;
    bool any = false, zero = false, type[2] = {false, false};
    for (int32_t t = NB_EI_U8; t <= NB_EI_S8; t++)
        for (int32_t z = 0; z < 2; z++)
            if (needs_dot(m, t, z)) {
                any = type[t == NB_EI_S8] = true;
                zero |= z;
            }
    if (needs_rescale(m))
        cgen_add(g, rescale_text, NULL);
    if (needs_width(m, 3, 4))
        put_unpack(g, "4", "2", "15", "8");
    if (needs_width(m, 1, 2))
        put_unpack(g, "2", "4", "3", "2");
    if (any)
        cgen_add(g, simd_head, NULL);
    if (type[0])
        cgen_add(g, load_u8_text, NULL);
    if (type[1])
        cgen_add(g, load_s8_text, NULL);
    if (zero)
        cgen_add(g, zero_text, NULL);
    for (int32_t t = NB_EI_U8; t <= NB_EI_S8; t++)
        for (int32_t z = 0; z < 2; z++)
            if (needs_dot(m, t, z))
                put_dots(g, t, z, needs_dot(m, t, z));
}
