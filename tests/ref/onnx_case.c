/* onnx_case.c - see onnx_case.h. */
#include "ref/onnx_case.h"

#ifdef NB_ONNX

#    include "base/check.h"
#    include "export/onnx_model.h"

#    include <stdlib.h>
#    include <string.h>

enum { MAX_VALUES = 4096, MAX_WORDS = 16 };

/* "4x2" or "1,-1"; returns how many. */
static int32_t numbers(const char *text, int64_t *v)
{
    int32_t n = 0;
    while (*text && n < ONNX_MAX_IN) {
        char *end;
        v[n++] = strtoll(text, &end, 10);
        text = *end ? end + 1 : end;
    }
    return n;
}

static void put_floats(onnx_model *o, const char *name, const char *shape, const char *all)
{
    static float values[MAX_VALUES];
    int64_t dims[ONNX_MAX_IN], count = 1;
    int32_t n = numbers(shape, dims);
    for (int32_t i = 0; i < n; i++)
        count *= dims[i];
    NB_ASSERT(count <= MAX_VALUES);
    for (int64_t i = 0; i < count; i++)
        values[i] = all ? strtof(all, NULL) : 0.01f * (float)(i + 1);
    onnx_constant(o, name, ONNX_FLOAT, dims, n, values, (size_t)count * sizeof *values);
}

static void put_values(onnx_model *o, const char *name, const char *text)
{
    float v[16];
    int64_t n = 0;
    for (char *end; *text && n < 16; text = *end ? end + 1 : end)
        v[n++] = strtof(text, &end);
    onnx_constant(o, name, ONNX_FLOAT, &n, 1, v, (size_t)n * sizeof *v);
}

static void put_node(onnx_model *o, char **word, int32_t n)
{
    const char *in[ONNX_MAX_IN];
    int32_t n_in = 0;
    for (char *at = n > 2 ? word[2] : NULL, *next; at && *at && !strchr(at, '='); at = next) {
        next = strchr(at, ',');
        if (next)
            *next++ = '\0';
        in[n_in++] = strcmp(at, "-") == 0 ? "" : at;
    }
    char *more = strchr(word[1], ',');
    if (more)
        *more++ = '\0';
    onnx_add(o, word[0], word[1], in, n_in);
    for (char *next; more; more = next) {
        next = strchr(more, ',');
        if (next)
            *next++ = '\0';
        onnx_more_output(o, more);
    }
    for (int32_t i = 2; i < n; i++) {
        char *value = strchr(word[i], '=');
        int64_t v[ONNX_MAX_IN];
        if (!value)
            continue;
        *value++ = '\0';
        int32_t count = numbers(value, v);
        if (*value > '9')
            onnx_string(o, word[i], value);
        else if (strchr(value, '.'))
            onnx_float(o, word[i], strtof(value, NULL));
        else if (strchr(value, ','))
            onnx_ints(o, word[i], v, count);
        else
            onnx_int(o, word[i], v[0]);
    }
}

static void put_line(onnx_model *o, char *line)
{
    char *word[MAX_WORDS] = {0};
    int32_t n = 0;
    for (char *at = line; *at && n < MAX_WORDS;) {
        at += strspn(at, " ");
        if (*at)
            word[n++] = at;
        at += strcspn(at, " ");
        if (*at)
            *at++ = '\0';
    }
    int64_t v[ONNX_MAX_IN];
    if (n == 0)
        return;
    NB_ASSERT(n > 1);
    if (strcmp(word[0], "floats") == 0) {
        put_floats(o, word[1], word[2], word[3]);
    } else if (strcmp(word[0], "number") == 0) {
        onnx_scalar(o, word[1], ONNX_FLOAT, strtod(word[2], NULL));
    } else if (strcmp(word[0], "values") == 0) {
        put_values(o, word[1], word[2]);
    } else if (strcmp(word[0], "bool") == 0) {
        onnx_constant(o, word[1], ONNX_BOOL, NULL, 0, &(uint8_t){word[2][0] == '1'}, 1);
    } else if (strcmp(word[0], "meta") == 0) {
        onnx_meta(o, word[1], word[2]);
    } else if (strcmp(word[0], "ints") == 0) {
        const int64_t count = numbers(word[2], v);
        onnx_constant(o, word[1], ONNX_INT64, &count, 1, v, (size_t)count * sizeof *v);
    } else if (strcmp(word[0], "output") == 0) {
        onnx_value(o, true, word[1], ONNX_FLOAT, (const int64_t[]){-1, 1}, 2);
    } else {
        put_node(o, word, n);
    }
}

void ref_onnx_write(nb_ctx *ctx, const char *path, int32_t c, int32_t h, int32_t w, const char *text)
{
    onnx_model *o;
    int64_t opset = 17;
    if (strncmp(text, "opset ", 6) == 0) {
        char *end;
        opset = strtoll(text + 6, &end, 10);
        text = end + 1;
    }
    int64_t dims[ONNX_MAX_IN] = {-1, c, h, w};
    int32_t rank = 4;
    if (strncmp(text, "input ", 6) == 0) {
        char line[64] = "";
        const size_t n = strcspn(text, "\n");
        NB_ASSERT(n < sizeof line);
        memcpy(line, text + 6, n - 6);
        rank = 1 + numbers(line, dims + 1);
        text += n + 1;
    }
    NB_ASSERT(onnx_create(ctx, opset, &o) == NB_OK);
    onnx_value(o, false, "x", ONNX_FLOAT, dims, rank);
    while (*text) {
        char line[256];
        size_t n = strcspn(text, "\n");
        NB_ASSERT(n < sizeof line);
        memcpy(line, text, n);
        line[n] = '\0';
        put_line(o, line);
        text += n + (text[n] == '\n');
    }
    NB_ASSERT(onnx_finish(o, path) == NB_OK);
    onnx_free(o);
}

#endif
