/* feature_map.c - features to codes, and the map as text. */
#include "core/feature_map.h"

#include "base/check.h"
#include "base/numtext.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The same operations as net_features of exported C, in the same order. */
uint8_t nb_feature_code(const nb_features *f, int64_t i, float x)
{
    const int64_t k = i % f->n;
    float v = (x - f->center[k]) * f->gain[k];
    v = v != v ? 0.0f : v < -512.0f ? -512.0f : v > 512.0f ? 512.0f : v;
    int32_t q = (int32_t)v;
    const float rest = v - (float)q; /* exact */
    q += rest > 0.5f || (rest == 0.5f && (q & 1));
    q -= rest < -0.5f || (rest == -0.5f && (q & 1));
    q += f->zero;
    return (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
}

void nb_features_print(nb_text *t, const nb_features *f)
{
    char number[NB_NUMTEXT];
    nb_text_printf(t, "%s %d %s %d", f->dtype, f->zero, nb_float_text(number, f->step), f->n);
    for (int32_t i = 0; i < f->n; i++)
        nb_text_printf(t, " %s", nb_float_text(number, f->center[i]));
    for (int32_t i = 0; i < f->n; i++)
        nb_text_printf(t, " %s", nb_float_text(number, f->gain[i]));
}

typedef struct {
    const char *at;
    bool good;
} scanner;

static long next_int(scanner *s, long low, long high)
{
    char *end = NULL;
    const long v = strtol(s->at, &end, 10);
    s->good = s->good && end != s->at && v >= low && v <= high;
    s->at = end;
    return s->good ? v : low;
}

static float next_float(scanner *s, float least)
{
    char *end = NULL;
    const float v = strtof(s->at, &end);
    s->good = s->good && end != s->at && isfinite(v) && v >= least;
    s->at = end;
    return v;
}

nb_status nb_features_parse(nb_arena *arena, const char *text, int64_t values, int32_t c, const nb_features **out)
{
    *out = NULL;
    const size_t name = strcspn(text, " ");
    scanner s = {text + name, name > 0 && name < 16};
    nb_features f = {.zero = (int32_t)next_int(&s, 0, 255)};
    f.step = next_float(&s, FLT_MIN);
    f.n = (int32_t)next_int(&s, 1, INT32_MAX);
    /* two characters a number at least: no length is believed that the text cannot hold */
    if (!s.good || (f.n != 1 && f.n != c && f.n != values) || (size_t)f.n > strlen(s.at) / 4)
        return NB_OK;
    float *v = nb_arena_array(arena, 2 * (size_t)f.n, sizeof *v);
    char *dtype = nb_arena_printf(arena, "%.*s", (int)name, text);
    nb_features *kept = nb_arena_alloc(arena, sizeof *kept);
    if (!v || !dtype || !kept)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < 2 * f.n && s.good; i++)
        v[i] = next_float(&s, i < f.n ? -FLT_MAX : FLT_MIN);
    if (!s.good || *s.at)
        return NB_OK;
    *kept = f;
    kept->dtype = dtype;
    kept->center = v;
    kept->gain = v + f.n;
    *out = kept;
    return NB_OK;
}

const nb_features *nb_features_copy(nb_arena *arena, const nb_features *f)
{
    if (!f)
        return NULL;
    const size_t n = (size_t)f->n;
    nb_features *copy = nb_arena_alloc(arena, sizeof *copy);
    float *v = nb_arena_array(arena, 2 * n, sizeof *v);
    char *dtype = nb_arena_strdup(arena, f->dtype);
    if (!copy || !v || !dtype)
        return NULL;
    memcpy(v, f->center, n * sizeof *v);
    memcpy(v + n, f->gain, n * sizeof *v);
    *copy = *f;
    copy->dtype = dtype;
    copy->center = v;
    copy->gain = v + n;
    return copy;
}

bool nb_features_equal(const nb_features *a, const nb_features *b)
{
    if (!a || !b)
        return a == b;
    if (strcmp(a->dtype, b->dtype) != 0 || a->zero != b->zero || a->step != b->step || a->n != b->n)
        return false;
    for (int32_t i = 0; i < a->n; i++)
        if (a->center[i] != b->center[i] || a->gain[i] != b->gain[i])
            return false;
    return true;
}
