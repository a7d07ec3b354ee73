/* cgen_text.c - text with replacements, and the choice of the functions that steps share: rescale, dot products,
 * unpacking. Their C is in c/. */
#include "export/cgen.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The replacement that applies at *text, NULL for none; *text then stands behind what it replaces. */
static const char *replacement(const cgen_sub *subs, const char **text)
{
    for (; subs && subs->from; subs++) {
        const size_t n = strlen(subs->from);
        if (strncmp(*text, subs->from, n) == 0) {
            *text += n;
            return subs->to;
        }
    }
    return NULL;
}

static void add_prefix(cgen *g, bool capitals)
{
    for (const char *p = g->prefix; *p; p++)
        nb_text_fill(&g->out, capitals ? (char)toupper((unsigned char)*p) : *p, 1);
    nb_text_fill(&g->out, '_', 1);
}

void cgen_add(cgen *g, const char *text, const cgen_sub *subs)
{
    bool word = false; /* within a word, where no name of ours begins */
    while (*text) {
        const char *to = replacement(subs, &text);
        if (to) {
            cgen_add(g, to, NULL);
            word = false;
        } else if (!word && (strncmp(text, "net_", 4) == 0 || strncmp(text, "NET_", 4) == 0)) {
            add_prefix(g, *text == 'N');
            text += 4;
            word = true;
        } else {
            word = isalnum((unsigned char)*text) || *text == '_';
            nb_text_fill(&g->out, *text++, 1);
        }
    }
}

void cgen_helper(cgen *g, const char *text)
{
    cgen_add(g, text, NULL);
    nb_text_add(&g->out, "\n");
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

/* Octal escapes have at most three digits, so what follows them is not taken for more; ?? could begin a trigraph. */
void cgen_string(cgen *g, const char *s)
{
    nb_text_add(&g->out, "\"");
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\' || c == '?')
            nb_text_fill(&g->out, '\\', 1);
        if (c < ' ' || c > '~')
            nb_text_printf(&g->out, "\\%03o", c);
        else
            nb_text_fill(&g->out, (char)c, 1);
    }
    nb_text_add(&g->out, "\"");
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

/* bits: 0 for any; bytes need no unpacking. */
static bool needs_unpacking(const nb_intmodel *m, nb_packing packing, int32_t bits)
{
    for (int32_t i = 0; i < m->e.n_steps; i++)
        if (m->e.steps[i].kind == NB_STEP_CONV && !cgen_in_bytes(m, i) && m->steps[i].packing == packing &&
            (bits == 0 || m->steps[i].weight_bits == bits))
            return true;
    return false;
}

/* The dot products for one kind of input, from those for u8 with zero point 0. */
static void put_dots(cgen *g, int32_t type, bool zero, int32_t pixels)
{
    const bool s8 = type == NB_EI_S8;
    char name[24];
    snprintf(name, sizeof name, "_%s%s(int32_t", s8 ? "s8" : "u8", zero ? "z" : "");
    const cgen_sub subs[] = {
        {"_u8(int32_t", name},
        {"_u8", s8 ? "_s8" : "_u8"},
        {"const uint8_t", s8 ? "const int8_t" : "const uint8_t"},
        {"net_LOAD_U8", s8 ? "vldrbq_z_s16" : "net_LOAD_U8"},
        {"int32_t n)", zero ? "int32_t n, int32_t z)" : "int32_t n)"},
        {"= (", zero ? "= net_LESS_ZERO(" : "= ("},
        {"x[0]", zero ? "x[0] - z" : "x[0]"},
        {"x[dx]", zero ? "x[dx] - z" : "x[dx]"},
        {NULL, NULL},
    };
    for (int32_t k = pixels; k > 0; k--) {
        cgen_add(g, k == 2 ? cgen_text_dot2 : cgen_text_dot1, subs);
        nb_text_add(&g->out, "\n");
    }
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
    cgen_helper(g, cgen_text_step);
    if (needs_rescale(m, false))
        cgen_helper(g, cgen_text_close);
    if (any || needs_unpacking(m, NB_PACKING_CODES, 0) || needs_unpacking(m, NB_PACKING_OFFSET, 0) ||
        needs_unpacking(m, NB_PACKING_LEVELS, 0) || needs_unpacking(m, NB_PACKING_BLOCKS, 0) || needs_rescale(m, true))
        cgen_helper(g, cgen_text_helper);
    if (needs_rescale(m, true))
        cgen_helper(g, cgen_text_close_high);
    if (needs_unpacking(m, NB_PACKING_CODES, 4))
        cgen_helper(g, cgen_text_unpack4);
    if (needs_unpacking(m, NB_PACKING_CODES, 2))
        cgen_helper(g, cgen_text_unpack2);
    if (needs_unpacking(m, NB_PACKING_LEVELS, 0))
        cgen_helper(g, cgen_text_levels);
    if (needs_unpacking(m, NB_PACKING_OFFSET, 0))
        cgen_helper(g, cgen_text_offsets);
    if (needs_unpacking(m, NB_PACKING_BLOCKS, 0))
        cgen_helper(g, cgen_text_blocks);
    if (any)
        cgen_helper(g, cgen_text_simd);
    if (u8)
        cgen_helper(g, cgen_text_load_u8);
    if (zero)
        cgen_helper(g, cgen_text_less_zero);
    for (int32_t t = NB_EI_U8; t <= NB_EI_S8; t++)
        for (int32_t z = 0; z < 2; z++)
            if (needs_dot(m, t, z))
                put_dots(g, t, z, needs_dot(m, t, z));
    cgen_window_helpers(g);
}
