/* cgen_window.c - convolutions for Helium: windows copied together, then long dot products of 16 codes at a time.
 *
 * Vectors of 16 want both factors signed, and codes are mostly u8: a window is copied once for all channels, its codes
 * moved to s8 (code - 128) on the way and its padding filled with the zero point. A channel's bias then holds what
 * that adds: sum(w) * (128 - zero), -zero for inputs that are s8. Every other target takes the loops of cgen_conv.c;
 * both give the engine's sums. Packed weights are taken apart in registers, not in memory, so their rows have to begin
 * on a byte; indices take the loops. */
#include "export/cgen.h"

#include <inttypes.h>
#include <stdio.h>

bool cgen_windowed(const nb_intmodel *m, int32_t step)
{
    const nb_estep *s = &m->e.steps[step];
    const nb_geom *q = &s->geom;
    return s->kind == NB_STEP_CONV && m->steps[step].packing == NB_PACKING_CODES && q->groups == 1 &&
           q->oh * q->ow > 1 && cgen_row(q) * cgen_width(m, step) % 8 == 0;
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

void cgen_window_helpers(cgen *g)
{
    bool width[9] = {false}, any = false;
    for (int32_t i = 0; i < g->m->e.n_steps; i++)
        if (cgen_windowed(g->m, i))
            any = width[cgen_width(g->m, i)] = true;
    if (!any)
        return;
    nb_text_add(&g->out, "#if " CGEN_WINDOWS "\n");
    cgen_helper(g, cgen_text_window);
    cgen_helper(g, cgen_text_closew);
    if (width[2])
        cgen_helper(g, cgen_text_dotw2);
    if (width[4])
        cgen_helper(g, cgen_text_dotw4);
    if (width[8])
        cgen_helper(g, cgen_text_dotw8);
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
                "                net_window(rows + k * %" PRId64 ", x, oy * %d - %d"
                ", (ox + k) * %d - %d, ",
                cgen_row(&q), q.stride.h, q.pad.top, q.stride.w, q.pad.left);
    cgen_printf(g, "%d, %d, %d,\n                        %d, %d, %d, %d, %d, %d);\n", q.h, q.w, q.c, q.kh, q.kw,
                q.dilation.h, q.dilation.w, (int32_t)(uint8_t)in->zero, in->type == NB_EI_S8 ? 0 : 128);
}

static void put_stores(cgen *g, int32_t step, const nb_geom *q)
{
    const nb_estep *s = &g->m->e.steps[step];
    const nb_etensor *out = &g->m->e.tensors[s->out];
    char at[48];
    if (cgen_high(s) && out->type != NB_EI_S32) {
        cgen_printf(g,
                    "                net_closew(y + to + o, %d"
                    ", acc, mult + o, shift + o, %s, ox + 1 < %d, %d, %d, %d);\n",
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
    cgen_printf(g,
                "                net_dotw%d(acc, bias[o], bias[p], rows, w + o * %" PRId64 ", %s%" PRId64 ", %" PRId64
                ");\n",
                cgen_width(g->m, step), bytes, even ? "" : "(p - o) * ", bytes, row);
    put_stores(g, step, &q);
    nb_text_add(&g->out, "            }\n        }\n");
}
