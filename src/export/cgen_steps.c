/* cgen_steps.c - one C function per distinct step, its shape written out in constants, and the calls.
 *
 * Layers of one shape and one arithmetic share a function: what differs between them, weights and per-channel numbers,
 * are arguments. */
#include "export/cgen.h"

#include "base/check.h"
#include "kernels/integer/ipool.h"
#include "lower/intcheck.h"

#include <inttypes.h>
#include <string.h>

const char *cgen_type(int32_t etype)
{
    return etype == NB_EI_S32 ? "int32_t" : etype == NB_EI_S8 ? "int8_t" : "uint8_t";
}

static const nb_etensor *input(const cgen *g, const nb_estep *s, int32_t k)
{
    return &g->m->e.tensors[s->in[k]];
}

static const nb_etensor *output(const cgen *g, const nb_estep *s)
{
    return &g->m->e.tensors[s->out];
}

static int32_t values(const nb_etensor *t)
{
    return t->h * t->w * t->c;
}

/* "x - 3" without the noise of "x - 0". */
static void put_less(cgen *g, const char *x, int32_t zero)
{
    if (zero)
        cgen_printf(g, "(%s - %d)", x, zero);
    else
        cgen_printf(g, "%s", x);
}

static void put_close(cgen *g, const nb_estep *s, int32_t shift)
{
    cgen_printf(g, ", %d, %d, %d, %d);\n", shift, output(g, s)->zero, s->lo, s->hi);
}

static void put_table(cgen *g, const nb_estep *s, int32_t i)
{
    const nb_etensor *out = output(g, s);
    const char *type = cgen_type(out->type), *from = s->n_in ? cgen_type(input(g, s, 0)->type) : "uint8_t";
    const char *cast = s->n_in && input(g, s, 0)->type == NB_EI_S8 ? "(uint8_t)" : "";
    cgen_printf(g, "net_STEP void net_step%d(%s *y, const %s *x, const uint8_t *table)\n{\n", i, type, from);
    if (s->one_table || out->c == 1) {
        cgen_printf(g, "    int32_t i;\n    for (i = 0; i < %d; i++)\n        y[i] = (%s)table[%sx[i]];\n}\n\n",
                    values(out), type, cast);
        return;
    }
    cgen_printf(g, "    int32_t i, c;\n    for (i = 0; i < %d; i++)\n        for (c = 0; c < %d; c++)\n",
                out->h * out->w, out->c);
    cgen_printf(g, "            *y++ = (%s)table[c * 256 + %s*x++];\n}\n\n", type, cast);
}

/* "a[(oy * 4 + ox) * 8 + c]": the value that belongs to y's at (oy, ox, c), sides of 1 repeated. */
static void operand(char *text, size_t len, const char *name, const nb_etensor *x)
{
    char at[96] = "";
    if (x->h > 1 && x->w > 1)
        snprintf(at, sizeof at, "(oy * %d + ox) * %d + ", x->w, x->c);
    else if (x->h > 1 || x->w > 1)
        snprintf(at, sizeof at, "%s * %d + ", x->h > 1 ? "oy" : "ox", x->c);
    snprintf(text, len, "%s[%s%s]", name, at, x->c > 1 ? "c" : "0");
}

static bool same_size(const nb_etensor *a, const nb_etensor *b)
{
    return a->h == b->h && a->w == b->w && a->c == b->c;
}

/* A sum, or a product. */
static void put_pair(cgen *g, const nb_estep *s, int32_t i)
{
    const nb_etensor *a = input(g, s, 0), *b = input(g, s, 1), *out = output(g, s);
    char left[128] = "a[i]", right[128] = "b[i]";
    cgen_printf(g, "net_STEP void net_step%d(%s *y, const %s *a, const %s *b)\n{\n", i, cgen_type(out->type),
                cgen_type(a->type), cgen_type(b->type));
    if (same_size(a, out) && same_size(b, out)) {
        cgen_printf(g, "    int32_t i;\n    for (i = 0; i < %d; i++)\n        y[i]", values(out));
    } else {
        operand(left, sizeof left, "a", a);
        operand(right, sizeof right, "b", b);
        cgen_printf(g, "    int32_t oy, ox, c;\n    for (oy = 0; oy < %d; oy++)\n", out->h);
        cgen_printf(g,
                    "        for (ox = 0; ox < %d; ox++)\n            for (c = 0; c < %d; c++)\n                *y++",
                    out->w, out->c);
    }
    cgen_printf(g, " = (%s)net_close((int64_t)", cgen_type(out->type));
    put_less(g, left, a->zero);
    if (s->kind == NB_STEP_ADD)
        cgen_printf(g, " * %d + (int64_t)", s->mult[0]);
    else
        nb_text_add(&g->out, " * ");
    put_less(g, right, b->zero);
    cgen_printf(g, " * %d", s->mult[s->kind == NB_STEP_ADD]);
    put_close(g, s, s->shift[0]);
    nb_text_add(&g->out, "}\n\n");
}

static void put_concat(cgen *g, const nb_estep *s, int32_t i)
{
    const nb_etensor *out = output(g, s);
    int32_t at = 0;
    cgen_printf(g, "net_STEP void net_step%d(%s *y", i, cgen_type(out->type));
    for (int32_t k = 0; k < s->n_in; k++)
        cgen_printf(g, ", const %s *x%d", cgen_type(input(g, s, k)->type), k);
    cgen_printf(g, ")\n{\n    int32_t i, c;\n    for (i = 0; i < %d; i++, y += %d) {\n", out->h * out->w, out->c);
    for (int32_t k = 0; k < s->n_in; k++) {
        const nb_etensor *x = input(g, s, k);
        char name[32];
        snprintf(name, sizeof name, "x%d[i * %d + c]", k, x->c);
        cgen_printf(g, "        for (c = 0; c < %d; c++)\n            y[%d + c] = (%s)net_close((int64_t)", x->c, at,
                    cgen_type(out->type));
        put_less(g, name, x->zero);
        cgen_printf(g, " * %d", s->mult[k]);
        put_close(g, s, s->shift[k]);
        at += x->c;
    }
    nb_text_add(&g->out, "    }\n}\n\n");
}

/* Loops over pixels, channels and a window; `inner` runs for each tap, with `at` its index in x. */
static void put_window(cgen *g, const nb_geom *q, const char *begin, const char *inner)
{
    cgen_printf(g, "    int32_t oy, ox, c, ky, kx;\n    for (oy = 0; oy < %d; oy++)\n", q->oh);
    cgen_printf(g, "        for (ox = 0; ox < %d; ox++)\n            for (c = 0; c < %d; c++) {\n", q->ow, q->c);
    cgen_printf(g, "                %s\n", begin);
    cgen_printf(g, "                for (ky = 0; ky < %d; ky++)\n", q->kh);
    cgen_printf(g, "                    for (kx = 0; kx < %d; kx++) {\n", q->kw);
    cgen_printf(g, "                        const int32_t iy = oy * %d + ky - %d, ix = ox * %d + kx - %d;\n",
                q->stride.h, q->pad.top, q->stride.w, q->pad.left);
    if (!nb_geom_inside(q))
        cgen_printf(g,
                    "                        if (iy < 0 || iy >= %d || ix < 0 || ix >= %d)\n                           "
                    " continue;\n",
                    q->h, q->w);
    cgen_printf(g, "                        const int32_t at = (iy * %d + ix) * %d + c;\n", q->w, q->c);
    cgen_printf(g, "                        %s\n                    }\n", inner);
}

static void put_pool_head(cgen *g, const nb_estep *s, int32_t i)
{
    cgen_printf(g, "net_STEP void net_step%d(%s *y, const %s *x)\n{\n", i, cgen_type(output(g, s)->type),
                cgen_type(input(g, s, 0)->type));
}

static void put_maxpool(cgen *g, const nb_estep *s, int32_t i)
{
    put_pool_head(g, s, i);
    put_window(g, &s->geom, "int32_t most = -129;", "most = x[at] > most ? x[at] : most;");
    cgen_printf(g, "                *y++ = (%s)(most < %d ? %d : most > %d ? %d : most);\n            }\n}\n\n",
                cgen_type(output(g, s)->type), s->lo, s->lo, s->hi, s->hi);
}

/* What a sum over n pixels is multiplied with and shifted by, for n = 0, 1, ...: 0 never occurs. */
static void put_multipliers(cgen *g, const nb_estep *s)
{
    const int32_t most = s->geom.kh * s->geom.kw;
    int32_t mult, shift;
    nb_text_add(&g->out, "    static const int32_t mult[] = {0");
    for (int32_t n = 1; n <= most; n++) {
        nb_avgpool_multiplier(n, &mult, &shift);
        cgen_printf(g, n % 8 ? ", %d" : ",\n        %d", n < most ? mult : s->mult[0]);
    }
    nb_text_add(&g->out, "};\n    static const uint8_t shift[] = {0");
    for (int32_t n = 1; n <= most; n++) {
        nb_avgpool_multiplier(n, &mult, &shift);
        cgen_printf(g, n % 16 ? ", %d" : ",\n        %d", n < most ? shift : s->shift[0]);
    }
    nb_text_add(&g->out, "};\n");
}

static void put_avgpool_inside(cgen *g, const nb_estep *s, int32_t i)
{
    char inner[64];
    put_pool_head(g, s, i);
    put_multipliers(g, s);
    snprintf(inner, sizeof inner, "sum += x[at] - %d, n++;", input(g, s, 0)->zero);
    put_window(g, &s->geom, "int32_t sum = 0, n = 0;", inner);
    cgen_printf(g, "                *y++ = (%s)net_close((int64_t)sum * mult[n], shift[n]",
                cgen_type(output(g, s)->type));
    cgen_printf(g, ", %d, %d, %d);\n            }\n}\n\n", output(g, s)->zero, s->lo, s->hi);
}

static void put_avgpool(cgen *g, const nb_estep *s, int32_t i)
{
    const bool whole = nb_geom_inside(&s->geom); /* every window: its zero points are one constant */
    const int32_t zero = input(g, s, 0)->zero;
    char begin[64], inner[64] = "sum += x[at];";
    snprintf(begin, sizeof begin, "int32_t sum = %d;", whole ? -zero * s->geom.kh * s->geom.kw : 0);
    if (!whole && zero)
        snprintf(inner, sizeof inner, "sum += x[at] - %d;", zero);
    put_pool_head(g, s, i);
    put_window(g, &s->geom, begin, inner);
    cgen_printf(g, "                *y++ = (%s)net_close((int64_t)sum * %d", cgen_type(output(g, s)->type), s->mult[0]);
    put_close(g, s, s->shift[0]);
    nb_text_add(&g->out, "            }\n}\n\n");
}

static void put_function(cgen *g, int32_t i)
{
    const nb_estep *s = &g->m->e.steps[i];
    switch ((nb_step_kind)s->kind) {
    case NB_STEP_TABLE:
        put_table(g, s, i);
        break;
    case NB_STEP_CONV:
        cgen_conv(g, i);
        break;
    case NB_STEP_ADD:
    case NB_STEP_MUL:
        put_pair(g, s, i);
        break;
    case NB_STEP_CONCAT:
        put_concat(g, s, i);
        break;
    case NB_STEP_MAXPOOL:
        put_maxpool(g, s, i);
        break;
    case NB_STEP_AVGPOOL:
        put_avgpool(g, s, i);
        break;
    case NB_STEP_AVGPOOL_INSIDE:
        put_avgpool_inside(g, s, i);
        break;
    case NB_STEP_TAKE:
    case NB_STEP_BLEND:
        cgen_take(g, i);
        break;
    case NB_STEP_KINDS:
        break;
    }
}

nb_status cgen_functions(cgen *g)
{
    const int32_t n = g->m->e.n_steps;
    size_t *from = nb_alloc(g->ctx, 2 * (size_t)n * sizeof *from);
    if (!from)
        return NB_E_NOMEM;
    size_t *to = from + n;
    nb_text_add(&g->out, "/* ---- steps: one function per shape ---- */\n\n");
    for (int32_t i = 0; i < n && g->out.st == NB_OK; i++) {
        size_t start = g->out.len;
        put_function(g, i);
        if (g->out.st != NB_OK)
            break;
        from[i] = start + (size_t)(strchr(g->out.s + start, '(') - (g->out.s + start));
        to[i] = g->out.len;
        g->same[i] = i;
        for (int32_t k = 0; k < i && g->same[i] == i; k++)
            if (g->same[k] == k && to[k] - from[k] == to[i] - from[i] &&
                memcmp(g->out.s + from[k], g->out.s + from[i], to[i] - from[i]) == 0)
                g->same[i] = k;
        if (g->same[i] != i)
            g->out.len = start;
    }
    nb_free(g->ctx, from);
    return g->out.st;
}

static void put_tensor(cgen *g, int32_t t, bool is_const)
{
    const int32_t type = g->m->e.tensors[t].type;
    if (g->offset[t] == CGEN_IN_LOGITS)
        nb_text_add(&g->out, "logits");
    else if (type == NB_EI_U8)
        cgen_printf(g, "a + %" PRId64, g->offset[t]);
    else
        cgen_printf(g, "(%sint8_t *)(a + %" PRId64 ")", is_const ? "const " : "", g->offset[t]);
}

/* Names come from configs: only what cannot end a comment or start a trigraph. */
static void put_name(cgen *g, const char *name)
{
    for (; *name; name++) {
        const char c =
            strchr("*/\\?$@%", *name) || (unsigned char)*name < 0x20 || (unsigned char)*name > 0x7e ? '_' : *name;
        nb_text_bytes(&g->out, &c, 1);
    }
}

void cgen_calls(cgen *g)
{
    const nb_intmodel *m = g->m;
    for (int32_t i = 0; i < m->e.n_steps; i++) {
        const nb_estep *s = &m->e.steps[i];
        cgen_printf(g, "    net_step%d(", g->same[i]);
        put_tensor(g, s->out, false);
        for (int32_t k = 0; k < s->n_in; k++) {
            nb_text_add(&g->out, ", ");
            put_tensor(g, s->in[k], true);
        }
        if (s->kind == NB_STEP_TABLE)
            cgen_printf(g, "%s, net_t%d", s->n_in ? "" : ", pixels", i);
        cgen_index_arguments(g, i);
        if (s->kind == NB_STEP_CONV) {
            if (cgen_scratch_bytes(m, i))
                cgen_printf(g, ", (int8_t *)(a + %" PRId64 ")", g->scratch[i]);
            cgen_printf(g, ", net_w%d, ", i);
            if (cgen_has_table(m, i))
                cgen_printf(g, "net_l%d, ", i);
            cgen_printf(g, "net_b%d", i);
            if (s->mult)
                cgen_printf(g, ", net_m%d, net_s%d", i, i);
        }
        nb_text_add(&g->out, "); /* ");
        put_name(g, m->steps[i].name);
        nb_text_add(&g->out, " */\n");
    }
}
