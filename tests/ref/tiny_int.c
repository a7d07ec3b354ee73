/* tiny_int.c - small integer models made by hand. */
#include "ref/tiny_int.h"

#include "base/check.h"

#include <string.h>

enum { ONE = 1 << 30 }; /* mult ONE with shift 30 is a factor of 1 */

static const char *const classes[4] = {"cat", "dog", "\"quoted\" \\ name", "\xc3\xa9t\xc3\xa9"};

static void fill_tensors(ref_tiny *t)
{
    static const nb_etensor tensors[9] = {
        {5, 5, 2, NB_EI_U8, 128, 0}, {5, 5, 3, NB_EI_U8, 3, 0},   {2, 2, 3, NB_EI_U8, 3, 0},
        {2, 2, 3, NB_EI_S8, -1, 0},  {2, 2, 3, NB_EI_U8, 100, 0}, {2, 2, 6, NB_EI_S8, 7, 0},
        {2, 2, 6, NB_EI_S8, 7, 0},   {1, 1, 6, NB_EI_S8, 7, 0},   {1, 1, 4, NB_EI_S32, 0, 0},
    };
    static const nb_tinfo tinfo[9] = {
        {"in.fq", 0.0078125f, 8}, {"c1.fq", 0.1f, 8},  {"pool", 0.1f, 8},
        {"dw.fq", 0.3333333f, 4}, {"sum.fq", 0.2f, 8}, {"cat.fq", 0.25f, 8},
        {"clamp", 0.25f, 8},      {"mean", 0.25f, 8},  {"logits", 1.17549435e-38f, 32},
    };
    memcpy(t->tensors, tensors, sizeof tensors);
    memcpy(t->tinfo, tinfo, sizeof tinfo);
    t->n_tensors = 9;
}

static void fill_arrays(ref_tiny *t, int32_t weight_bits)
{
    const int32_t limit = (1 << (weight_bits - 1)) - 1;
    for (int32_t i = 0; i < 512; i++)
        t->table[i] = (uint8_t)(i < 256 ? i : 255 - i % 256);
    for (int32_t i = 0; i < 54; i++)
        t->conv1[i] = (int8_t)(i * 37 % (2 * limit + 1) - limit);
    for (int32_t i = 0; i < 24; i++)
        t->last[i] = (int8_t)(i * 11 % 255 - 127);
    for (int32_t i = 0; i < 4; i++) {
        t->bias[i] = i * 1000 - 1500;
        t->mult[i] = ONE + i * 12345;
        t->shift[i] = 36 + i;
        t->scales[i] = 0.001f * (float)(i + 1);
    }
    memcpy(t->depthwise, (int8_t[]){1, -1, 0}, 3);
}

/* A square window on a square image. */
static nb_geom window(int32_t size, int32_t c, int32_t oc, int32_t k, int32_t stride, int32_t pad, int32_t groups)
{
    const int32_t out = nb_geom_out(size, k, stride, 2 * pad, 1);
    return (nb_geom){size, size, c, out, out, oc, k, k, {stride, stride}, {1, 1}, {pad, pad, pad, pad}, groups};
}

static nb_estep step(nb_step_kind kind, int32_t in, int32_t out, int32_t lo, int32_t hi)
{
    nb_estep s = {.kind = (int32_t)kind, .n_in = 1, .out = out, .lo = lo, .hi = hi};
    s.in[0] = in;
    return s;
}

static void set_conv(ref_tiny *t, int32_t i, const int8_t *weights, int32_t bits, nb_geom g)
{
    nb_estep *s = &t->steps[i];
    s->geom = g;
    s->weights = weights;
    s->bias = t->bias;
    s->mult = t->mult;
    s->shift = t->shift;
    t->sinfo[i].weight_bits = bits;
    t->sinfo[i].weight_scale = t->scales;
    t->sinfo[i].n_scale = g.oc;
}

static void fill_steps(ref_tiny *t, int32_t weight_bits)
{
    static const char *const names[9] = {"in", "c1", "pool", "dw", "sum", "cat", "clamp", "mean", "fc"};
    nb_estep *s = t->steps;
    for (int32_t i = 0; i < 9; i++)
        t->sinfo[i].name = names[i];
    s[0] = step(NB_STEP_TABLE, 0, 0, 0, 255);
    s[0].n_in = 0;
    s[0].table = t->table;
    s[1] = step(NB_STEP_CONV, 0, 1, 3, 255); /* relu: codes from the zero point up */
    set_conv(t, 1, t->conv1, weight_bits, window(5, 2, 3, 3, 1, 1, 1));
    s[2] = step(NB_STEP_MAXPOOL, 1, 2, 3, 255);
    s[2].geom = window(5, 3, 3, 2, 2, 0, 3);
    s[3] = step(NB_STEP_CONV, 2, 3, -8, 7);
    set_conv(t, 3, t->depthwise, 2, window(2, 3, 3, 1, 1, 0, 3));
    t->sinfo[3].n_scale = 1;
    s[4] = step(NB_STEP_ADD, 2, 4, 0, 255);
    s[4].in[s[4].n_in++] = 3;
    s[4].mult = t->mult;
    s[4].shift = t->shift + 1;
    s[5] = step(NB_STEP_CONCAT, 4, 5, -128, 127);
    s[5].in[s[5].n_in++] = 3;
    s[5].mult = t->mult;
    s[5].shift = t->shift;
    s[6] = step(NB_STEP_MAXPOOL, 5, 6, 7, 31);
    s[6].geom = window(2, 6, 6, 1, 1, 0, 6);
    s[7] = step(NB_STEP_AVGPOOL, 6, 7, 7, 31);
    s[7].geom = window(2, 6, 6, 2, 1, 0, 6);
    s[7].mult = t->mult;
    s[7].shift = t->shift;
    s[8] = step(NB_STEP_CONV, 7, 8, INT32_MIN, INT32_MAX);
    set_conv(t, 8, t->last, 8, window(1, 6, 4, 1, 1, 0, 1));
    s[8].mult = s[8].shift = NULL; /* plain int32 sums */
    t->n_steps = 9;
}

void ref_tiny_fill(ref_tiny *t, int32_t weight_bits)
{
    *t = (ref_tiny){0};
    fill_tensors(t);
    fill_arrays(t, weight_bits);
    fill_steps(t, weight_bits);
    t->meta = (nb_intmeta){
        .classes = 4, .class_names = classes, .config = "seed: 7\n# \"text\" \\ of\tthe config\n", .accuracy = 0.1};
}

void ref_tiny_levels(ref_tiny *t, int32_t bits, const int8_t *level, int32_t n)
{
    memcpy(t->levels, level, (size_t)n);
    for (int32_t i = 0; i < 54; i++)
        t->conv1[i] = level[i * 7 % n];
    t->sinfo[1].weight_bits = bits;
    t->sinfo[1].level = t->levels;
    t->sinfo[1].n_levels = n;
    t->sinfo[1].n_tables = 1;
}

void ref_tiny_blocks(ref_tiny *t, int32_t bits, int32_t block)
{
    const int32_t limit = (1 << (bits - 1)) - 1, row = 18;
    for (int32_t i = 0; i < 54; i++)
        t->conv1[i] = (int8_t)((i * 7 % (2 * limit + 1) - limit) * (1 << (i % row / block % (9 - bits))));
    t->sinfo[1].weight_bits = bits;
    t->sinfo[1].block = block;
}

void ref_tiny_moves(ref_tiny *t)
{
    static const int32_t moved[3][6] = {{1, 0}, {0, 1}, {-1, -1, 5, 0, 1, 2}};
    memcpy(t->moved, moved, sizeof moved);
    t->steps[6] = step(NB_STEP_TAKE, 5, 6, t->steps[5].lo, t->steps[5].hi);
    for (int32_t axis = 0; axis < 3; axis++)
        t->steps[6].index[axis] = t->moved[axis];
}

nb_status ref_tiny_build(nb_ctx *ctx, const ref_tiny *t, nb_intmodel **out)
{
    nb_intbuilder *b;
    NB_TRY(nb_intbuilder_create(ctx, "tiny", &b));
    nb_status st = NB_OK;
    int32_t index;
    for (int32_t i = 0; st == NB_OK && i < t->n_tensors; i++)
        st = nb_intbuilder_tensor(b, &t->tensors[i], &t->tinfo[i], &index);
    for (int32_t i = 0; st == NB_OK && i < t->n_steps; i++)
        st = nb_intbuilder_step(b, &t->steps[i], &t->sinfo[i]);
    if (st == NB_OK)
        st = nb_intbuilder_finish(b, NB_INT_PLAN, &t->meta, out);
    nb_intbuilder_free(b);
    return st;
}

nb_status ref_tiny_model(nb_ctx *ctx, int32_t weight_bits, nb_intmodel **out)
{
    ref_tiny t;
    ref_tiny_fill(&t, weight_bits);
    return ref_tiny_build(ctx, &t, out);
}
