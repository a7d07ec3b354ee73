/* tflite_table.c - tables of 256 codes in TensorFlow Lite: CAST to int32, ADD where the entries of 0 and of every channel
 * begin, GATHER. The values between take four bytes of RAM each. */
#include "export/tflite_writer.h"

#include "base/check.h"
#include "engine/engine_check.h"

#include <string.h>

enum { ENTRIES = 256 };

typedef struct {
    int32_t channels; /* 1: all have the same table */
    int8_t *code;     /* [channels][ENTRIES] by byte, or by code from -128 on */
} table;

/* Of u8 codes, moved by 128 is the top bit turned over; an s8 code from -128 on is its byte with that bit turned over. */
static nb_status read_table(const tfl_writer *w, const nb_estep *s, bool by_s8, table *t)
{
    const nb_etensor *y = tfl_etensor(w, s->out);
    const int32_t has = nb_estep_tables(s, y);
    *t = (table){.channels = 1};
    for (int32_t c = 1; c < has; c++)
        if (memcmp(s->table, s->table + (size_t)c * ENTRIES, ENTRIES) != 0)
            t->channels = has;
    t->code = nb_alloc(w->ctx, (size_t)t->channels * ENTRIES);
    if (!t->code)
        return NB_E_NOMEM;
    for (int32_t k = 0; k < t->channels * ENTRIES; k++)
        t->code[k] = (int8_t)(s->table[k ^ (by_s8 ? 128 : 0)] ^ (y->type == NB_EI_U8 ? 128 : 0));
    return NB_OK;
}

static bool is_moved(const table *t)
{
    bool moved = t->channels == 1;
    for (int32_t k = 0; moved && k < ENTRIES; k++)
        moved = t->code[k] == k - 128;
    return moved;
}

/* What is added to values that count from `least`, so that they count entries. */
static nb_status put_places(tfl_writer *w, int32_t i, const table *t, int32_t least, int32_t *index)
{
    if (t->channels == 1 && least == 0)
        return NB_OK;
    int32_t *first = nb_alloc(w->ctx, (size_t)t->channels * sizeof *first);
    if (!first)
        return NB_E_NOMEM;
    for (int32_t c = 0; c < t->channels; c++)
        first[c] = ENTRIES * c - least;
    const int32_t in[2] = {*index, tfl_constant(w->o, tfl_name(w, i, "first"), TFL_INT32, (tfl_shape){1, {t->channels}},
                                                first, (size_t)t->channels * sizeof *first)};
    nb_free(w->ctx, first);
    *index = tfl_like(w->o, *index, tfl_name(w, i, "entry"), tfl_shape_of(w->o, *index));
    tfl_op(w->o, TFL_ADD, in, 2, *index, (tfl_options){0});
    return NB_OK;
}

/* y = table[channel][x] of step i; x counts from `least`. */
static nb_status gather(tfl_writer *w, int32_t i, const table *t, int32_t x, tfl_type type, int32_t least)
{
    const int32_t n = t->channels * ENTRIES;
    int32_t index = tfl_tensor(w->o, tfl_name(w, i, "index"), TFL_INT32, tfl_shape_of(w->o, x));
    tfl_op(w->o, TFL_CAST, &x, 1, index, (tfl_options){.v = {(int32_t)type, TFL_INT32}});
    NB_TRY(put_places(w, i, t, least, &index));
    const int32_t y = w->m->e.steps[i].out, in[2] = {tfl_constant(w->o, tfl_name(w, i, "table"), TFL_INT8,
                                                                  (tfl_shape){1, {n}}, t->code, (size_t)n),
                                                     index};
    tfl_on_grid_of(w, y, in[0]);
    tfl_op(w->o, TFL_GATHER, in, 2, w->at[y], (tfl_options){0});
    return NB_OK;
}

nb_status tfl_pixels(tfl_writer *w, bool as_they_are, int32_t *input)
{
    const nb_estep *s = &w->m->e.steps[0];
    const nb_etensor *y = tfl_etensor(w, s->out);
    const tfl_shape shape = tfl_shape4(y->h, y->w, y->c);
    table t;
    NB_TRY(read_table(w, s, false, &t));
    nb_status st = NB_OK;
    *input = w->at[s->out] = tfl_on_grid(w, s->out, w->m->tensors[s->out].name, shape);
    if (!as_they_are) {
        tfl_metadata(w->o, "nibble.pixels", t.code, (size_t)t.channels * ENTRIES);
    } else {
        *input = tfl_tensor(w->o, "pixels", TFL_UINT8, shape);
        if (is_moved(&t)) {
            tfl_quantize(w->o, *input, &w->m->tensors[s->out].scale, 1, tfl_code(w, s->out, y->zero) + 128, 0);
            tfl_op(w->o, TFL_QUANTIZE, input, 1, w->at[s->out], (tfl_options){0});
        } else
            st = gather(w, 0, &t, *input, TFL_UINT8, 0);
    }
    nb_free(w->ctx, t.code);
    return st;
}

nb_status tfl_table(tfl_writer *w, int32_t i)
{
    const nb_estep *s = &w->m->e.steps[i];
    const nb_etensor *y = tfl_etensor(w, s->out);
    const tfl_shape shape = tfl_shape4(y->h, y->w, y->c);
    table t;
    NB_TRY(read_table(w, s, tfl_etensor(w, s->in[0])->type == NB_EI_S8, &t));
    const int32_t x = tfl_codes(w, s->in[0], shape);
    w->at[s->out] = tfl_on_grid(w, s->out, w->m->tensors[s->out].name, shape);
    const nb_status st = gather(w, i, &t, x, TFL_INT8, -128);
    nb_free(w->ctx, t.code);
    return st;
}
