/* intfile_json.c - fields of the JSON objects in an integer checkpoint. */
#include "lower/intfile_json.h"

#include "base/check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static nb_status bad(const nb_json *o, const char *fmt, ...) NB_PRINTF(2, 3);
static nb_status bad(const nb_json *o, const char *fmt, ...)
{
    char why[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return nb_fail(o->ctx, NB_E_FORMAT, "%s: graph: %s %d: %s", o->file, o->what, o->index, why);
}

nb_status nb_json_expect(const nb_json *o, int32_t n_keys)
{
    if (!cJSON_IsObject(o->json))
        return bad(o, "must be an object");
    if (cJSON_GetArraySize(o->json) != n_keys)
        return bad(o, "has %d keys: must have %d", cJSON_GetArraySize(o->json), n_keys);
    return NB_OK;
}

nb_status nb_json_double(const nb_json *o, const char *key, double *out)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o->json, key);
    *out = 0;
    if (!cJSON_IsNumber(v) || !isfinite(v->valuedouble))
        return bad(o, "\"%s\" must be a number", key);
    *out = v->valuedouble;
    return NB_OK;
}

nb_status nb_json_whole(const nb_json *o, const char *key, double v, double min, double max)
{
    if (!(v >= min && v <= max) || v != floor(v))
        return bad(o, "%s: %.17g: must be a whole number in %.17g..%.17g", key, v, min, max);
    return NB_OK;
}

nb_status nb_json_int(const nb_json *o, const char *key, int32_t *out)
{
    double v;
    NB_TRY(nb_json_double(o, key, &v));
    NB_TRY(nb_json_whole(o, key, v, INT32_MIN, INT32_MAX));
    *out = (int32_t)v;
    return NB_OK;
}

nb_status nb_json_text(const nb_json *o, const char *key, const char **out)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o->json, key);
    *out = "";
    if (!cJSON_IsString(v))
        return bad(o, "\"%s\" must be a string", key);
    *out = v->valuestring;
    return NB_OK;
}

nb_status nb_json_choice(const nb_json *o, const char *key, const char *const *names, int32_t n, int32_t *out)
{
    const char *s;
    NB_TRY(nb_json_text(o, key, &s));
    for (*out = 0; *out < n; ++*out)
        if (strcmp(names[*out], s) == 0)
            return NB_OK;
    return bad(o, "%s: \"%.100s\" is unknown", key, s);
}

nb_status nb_json_ints(const nb_json *o, const char *key, int32_t *v, int32_t n)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o->json, key), *item;
    if (!cJSON_IsArray(list)) {
        NB_TRY(nb_json_int(o, key, v));
        for (int32_t i = 1; i < n; i++)
            v[i] = v[0];
        return NB_OK;
    }
    int32_t i = 0;
    cJSON_ArrayForEach(item, list)
    {
        if (i == n || !cJSON_IsNumber(item))
            return bad(o, "\"%s\" must be a number or %d of them", key, n);
        NB_TRY(nb_json_whole(o, key, item->valuedouble, INT32_MIN, INT32_MAX));
        v[i++] = (int32_t)item->valuedouble;
    }
    return i == n ? NB_OK : bad(o, "\"%s\" has %d numbers, not %d", key, i, n);
}
