/* foreign.c - see foreign.h. */
#include "ref/foreign.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ref_foreign_open(ref_foreign *f, const char *model, int32_t h, int32_t w, int32_t c, int32_t classes)
{
    const nb_dsinfo info = {.h = h,
                            .w = w,
                            .c = c,
                            .classes = classes,
                            .mean = {0.5f, 0.5f, 0.5f, 0.5f},
                            .std = {0.25f, 0.25f, 0.25f, 0.25f}};
    char text[4096];
    *f = (ref_foreign){.ctx = nb_ctx_create()};
    NB_ASSERT(f->ctx && (size_t)snprintf(text, sizeof text, "data: {name: synth}\nmodel:\n%s", model) < sizeof text);
    NB_ASSERT(nb_config_parse(f->ctx, "test.yaml", text, strlen(text), NULL, 0, &f->cfg) == NB_OK);
    NB_ASSERT(nb_experiment_bind(f->ctx, f->cfg, &f->exp) == NB_OK);
    NB_ASSERT(nb_model_build(f->ctx, &f->exp, &info, 8, &f->g) == NB_OK);
}

void ref_foreign_close(ref_foreign *f)
{
    nb_graph_free(f->g);
    nb_config_free(f->ctx, f->cfg);
    nb_ctx_destroy(f->ctx);
}

/* Little-endian values of one tensor behind data; returns its bytes. */
static size_t put_values(uint8_t *to, const char *dtype, int64_t count, int32_t *next)
{
    size_t at = 0;
    for (int64_t i = 0; i < count; i++) {
        const double d = (*next)++;
        const float v = (float)d;
        const int64_t n = (int64_t)d;
        const uint8_t half[2] = {strcmp(dtype, "F16") == 0 ? 0 : 0xc0, strcmp(dtype, "F16") == 0 ? 0x3e : 0x3f};
        const size_t bytes = strchr(dtype, '6') && strlen(dtype) == 3 && strcmp(dtype, "F16") != 0 ? 8
                             : strcmp(dtype, "F32") == 0                                           ? 4
                                                                                                   : 2;
        memcpy(to + at,
               strcmp(dtype, "I64") == 0   ? (const void *)&n
               : strcmp(dtype, "F64") == 0 ? (const void *)&d
               : bytes == 4                ? (const void *)&v
                                           : half,
               bytes);
        at += bytes;
    }
    return at;
}

uint8_t *ref_foreign_file(const char *tensors, size_t *len)
{
    enum { HEADER = 1 << 16, DATA = 1 << 18 };
    char *header = calloc(1, HEADER);
    uint8_t *data = calloc(1, DATA), *file = calloc(1, 8 + HEADER + DATA);
    NB_ASSERT(header && data && file);
    size_t n = (size_t)snprintf(header, HEADER, "{"), at = 0;
    int32_t next = 1;
    for (const char *line = tensors; *line;) {
        char name[128], dtype[8], shape[64] = "", dims[64] = "";
        int read = 0;
        NB_ASSERT(sscanf(line, "%127s %7s%n", name, dtype, &read) == 2);
        sscanf(line + read, "%*[ ]%63[0-9x]", shape);
        int64_t count = 1;
        for (char *d = shape; *d;) {
            count *= strtol(d, &d, 10);
            d += *d == 'x';
        }
        for (size_t i = 0; i <= strlen(shape); i++)
            dims[i] = shape[i] == 'x' ? ',' : shape[i];
        size_t bytes = put_values(data + at, dtype, count, &next);
        n += (size_t)snprintf(header + n, HEADER - n,
                              "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", n > 1 ? "," : "",
                              name, dtype, dims, at, at + bytes);
        at += bytes;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    n += (size_t)snprintf(header + n, HEADER - n, "}");
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)n >> (8 * i));
    memcpy(file + 8, header, n);
    memcpy(file + 8 + n, data, at);
    free(header);
    free(data);
    *len = 8 + n + at;
    return file;
}
