/* cgen_data.c - the constants of an exported program: pixel tables, packed weights, levels, biases, multipliers, shifts.
 *
 * Weights are the bytes of the integer checkpoint (lower/pack.h). The engine's bias holds -zero * sum(w) because its
 * padding holds the zero point; here inputs are taken as (code - zero) and padding is skipped, so that part is taken
 * out again. The sum of a channel is checked anew in this form: every partial sum fits 32 bits. */
#include "export/cgen.h"

#include "base/check.h"
#include "lower/intcheck.h"
#include "lower/intfile.h"

#include <inttypes.h>
#include <stdlib.h>

/* Packed weights; *tables: what their indices stand for, levels or lows. */
static size_t weight_bytes(const nb_intmodel *m, int32_t step, size_t *tables)
{
    const nb_estep *s = &m->e.steps[step];
    const nb_sinfo *info = &m->steps[step];
    const nb_stream p = nb_stream_of(s, info);
    const bool codes = info->packing == NB_PACKING_CODES;
    *tables = codes ? 0 : info->level ? (size_t)info->n_tables * (size_t)info->n_levels : (size_t)info->n_low;
    return codes ? nb_pack_bytes(nb_estep_weights(s), info->weight_bits) : nb_stream_bytes(&p);
}

size_t cgen_flash_bytes(const nb_intmodel *m)
{
    size_t all = 0, tables;
    for (int32_t i = 0; i < m->e.n_steps; i++) {
        const nb_estep *s = &m->e.steps[i];
        all += 256 * (size_t)nb_estep_tables(s, &m->e.tensors[s->out]);
        for (int32_t axis = 0; axis < 3; axis++)
            all += cgen_index_bytes(m, i, axis);
        if (s->kind != NB_STEP_CONV)
            continue;
        const size_t bias = sizeof(int32_t), scale = s->mult ? sizeof(int32_t) + 1 : 0;
        all += weight_bytes(m, i, &tables) + (bias + scale) * (size_t)s->geom.oc;
        all += tables;
    }
    return all;
}

static void put_bytes(cgen *g, const char *what, int32_t step, const uint8_t *v, int64_t n, bool is_signed)
{
    cgen_printf(g, "static const %s net_%s%d[%" PRId64 "] = {", is_signed ? "int8_t" : "uint8_t", what, step, n);
    for (int64_t i = 0; i < n; i++) {
        nb_text_add(&g->out, i % 24 == 0 ? "\n    " : " ");
        nb_text_printf(&g->out, "%d,", is_signed ? (int)(int8_t)v[i] : (int)v[i]);
    }
    nb_text_add(&g->out, "\n};\n");
}

static void put_int32(cgen *g, const char *what, int32_t step, const int32_t *v, int32_t n)
{
    cgen_printf(g, "static const int32_t net_%s%d[%d] = {", what, step, n);
    for (int32_t i = 0; i < n; i++) {
        nb_text_add(&g->out, i % 8 == 0 ? "\n    " : " ");
        nb_text_printf(&g->out, "%d,", v[i]);
    }
    nb_text_add(&g->out, "\n};\n");
}

nb_status cgen_real_bias(nb_ctx *ctx, const nb_intmodel *m, int32_t step, int32_t *bias)
{
    const nb_estep *s = &m->e.steps[step];
    const nb_estep *from = &m->e.steps[nb_engine_writer(&m->e, s->in[0])];
    const int32_t zero = m->e.tensors[s->in[0]].zero;
    const int64_t reach = llabs(from->lo - (int64_t)zero) > llabs(from->hi - (int64_t)zero)
                              ? llabs(from->lo - (int64_t)zero)
                              : llabs(from->hi - (int64_t)zero);
    const int64_t row = cgen_row(&s->geom);
    for (int32_t c = 0; c < s->geom.oc; c++) {
        int64_t sum = 0, size = 0;
        for (int64_t i = 0; i < row; i++) {
            sum += s->weights[c * row + i];
            size += abs(s->weights[c * row + i]);
        }
        const int64_t b = s->bias[c] + zero * sum;
        if (llabs(b) + size * reach > INT32_MAX)
            return nb_fail(ctx, NB_E_RANGE, "%s: channel %d: a partial sum could exceed 31 bits in the exported form",
                           m->steps[step].name, c);
        bias[c] = (int32_t)b;
    }
    return NB_OK;
}

static nb_status put_weights(cgen *g, int32_t step)
{
    const nb_estep *s = &g->m->e.steps[step];
    const nb_sinfo *info = &g->m->steps[step];
    const nb_stream p = nb_stream_of(s, info);
    const int64_t n = nb_estep_weights(s);
    const bool codes = info->packing == NB_PACKING_CODES;
    size_t tables;
    const size_t bytes = weight_bytes(g->m, step, &tables);
    uint8_t *packed = nb_alloc(g->ctx, bytes);
    if (!packed)
        return NB_E_NOMEM;
    if (codes)
        nb_pack(packed, s->weights, n, info->weight_bits);
    else
        nb_stream_pack(packed, s->weights, &p);
    put_bytes(g, "w", step, packed, (int64_t)bytes, cgen_in_bytes(g->m, step));
    if (info->level) /* l: what the indices in w stand for */
        put_bytes(g, "l", step, (const uint8_t *)info->level, (int64_t)tables, true);
    else if (cgen_has_table(g->m, step))
        put_bytes(g, "l", step, (const uint8_t *)info->low, (int64_t)tables, true);
    nb_free(g->ctx, packed);
    return NB_OK;
}

/* Two where Helium has a function of its own; one of them is compiled. Sums are modulo 2^32, so a bias may be, too. */
static void put_bias(cgen *g, int32_t step, int32_t *bias)
{
    const int32_t n = g->m->e.steps[step].geom.oc;
    if (!cgen_windowed(g->m, step)) {
        put_int32(g, "b", step, bias, n);
        return;
    }
    nb_text_add(&g->out, "#if !(" CGEN_WINDOWS ")\n");
    put_int32(g, "b", step, bias, n);
    nb_text_add(&g->out, "#else\n");
    for (int32_t c = 0; c < n; c++)
        bias[c] = (int32_t)(uint32_t)(bias[c] + cgen_window_bias(g->m, step, c));
    put_int32(g, "b", step, bias, n);
    nb_text_add(&g->out, "#endif\n");
}

static nb_status put_channels(cgen *g, int32_t step)
{
    const nb_estep *s = &g->m->e.steps[step];
    const int32_t n = s->geom.oc;
    int32_t *bias = nb_alloc(g->ctx, (size_t)n * sizeof *bias);
    uint8_t *shift = nb_alloc(g->ctx, (size_t)n);
    nb_status st = bias && shift ? cgen_real_bias(g->ctx, g->m, step, bias) : NB_E_NOMEM;
    if (st == NB_OK) {
        put_bias(g, step, bias);
        for (int32_t c = 0; s->mult && c < n; c++)
            shift[c] = (uint8_t)s->shift[c];
        if (s->mult) {
            put_int32(g, "m", step, s->mult, n);
            put_bytes(g, "s", step, shift, n, false);
        }
    }
    nb_free(g->ctx, bias);
    nb_free(g->ctx, shift);
    return st;
}

/* The sizes the header states, proven by the compiler. */
static void put_check(cgen *g)
{
    const nb_emodel *e = &g->m->e;
    cgen_add(g, "typedef char net_flash_is_as_stated[\n    (0", NULL);
    for (int32_t i = 0; i < e->n_steps; i++) {
        const char *names = e->steps[i].kind == NB_STEP_TABLE  ? "t"
                            : e->steps[i].kind != NB_STEP_CONV ? ""
                            : e->steps[i].mult                 ? "wbms"
                                                               : "wb";
        for (; *names; names++)
            cgen_printf(g, " + sizeof(net_%c%d)", *names, i);
        if (cgen_has_table(g->m, i))
            cgen_printf(g, " + sizeof(net_l%d)", i);
        cgen_index_sizes(g, i);
    }
    cgen_add(g, ") == NET_FLASH_BYTES ? 1 : -1];\n\n", NULL);
}

nb_status cgen_data(cgen *g)
{
    nb_text_add(&g->out, "/* ---- constants: w weights, b biases, m multipliers, s shifts of a step; t "
                         "a table, r c k rows, columns, channels ---- */\n\n");
    for (int32_t i = 0; i < g->m->e.n_steps; i++) {
        const nb_estep *s = &g->m->e.steps[i];
        if (s->kind == NB_STEP_TABLE)
            put_bytes(g, "t", i, s->table, (int64_t)nb_estep_tables(s, &g->m->e.tensors[s->out]) * 256, false);
        cgen_index_data(g, i);
        if (s->kind != NB_STEP_CONV)
            continue;
        NB_TRY(put_weights(g, i));
        NB_TRY(put_channels(g, i));
    }
    put_check(g);
    return NB_OK;
}
