/* export_networks.c - networks as ONNX or TensorFlow Lite, with images and the engine's logits for them, for check.py
 * here and in tests/tflite.
 *
 * usage: export_networks FORMAT DIR FIRST COUNT [ties]   random networks; with "ties" they keep their other ranges
 *        export_networks FORMAT DIR models MODEL...      integer checkpoints, all test images of their data sets
 * For each network that can be lowered: DIR/nNUMBER.VARIANT.FORMAT, and DIR/nNUMBER.bin: int32 images, c, h, w, classes;
 * float scale of a logit; u8 pixels [images, c, h, w]; float logits [images, classes]. Prints what a format refuses. */
#include "ref/random_network.h"

#include <nibble/nibble.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = 64 };

typedef struct {
    const char *format, *dir;
} place;

static void put(FILE *f, const void *p, size_t bytes)
{
    if (fwrite(p, 1, bytes, f) != bytes)
        abort();
}

static void put_vectors(FILE *f, nb_ctx *ctx, const nb_data *data, int32_t most, const nb_intmodel *m)
{
    const nb_dsinfo *d = nb_data_info(data);
    const int32_t n = d->count < most ? d->count : most, head[5] = {n, d->c, d->h, d->w, m->classes};
    uint8_t *hwc = malloc((size_t)(d->h * d->w * d->c));
    float *logits = malloc((size_t)m->classes * sizeof *logits);
    int32_t label;
    put(f, head, sizeof head);
    put(f, &m->tensors[nb_intmodel_output(m)].scale, sizeof(float));
    for (int32_t i = 0; i < n; i++) {
        nb_data_get(data, i, hwc, &label);
        for (int32_t c = 0; c < d->c; c++)
            for (int32_t p = 0; p < d->h * d->w; p++)
                put(f, hwc + p * d->c + c, 1);
    }
    for (int32_t i = 0; i < n; i++) {
        nb_data_get(data, i, hwc, &label);
        if (nb_intmodel_logits(ctx, m, hwc, logits) != NB_OK)
            abort();
        put(f, logits, (size_t)m->classes * sizeof *logits);
    }
    free(hwc);
    free(logits);
}

/* Ranges that are extremes, or 32nds of them, put scales in simple ratios: sums then often lie halfway between two
 * codes, where run times and the engine part by right. Moving averages do not. */
static void with_moving_averages(char *text)
{
    char *range = strstr(strstr(text, "activations:"), "range: ") + strlen("range: ");
    size_t n = strcspn(range, "}");
    memmove(range + 3, range + n, strlen(range + n) + 1);
    memcpy(range, "ema", 3);
}

static void must(nb_ctx *ctx, nb_status st)
{
    if (st == NB_OK)
        return;
    fprintf(stderr, "export_networks: %s\n", nb_ctx_error(ctx));
    exit(1);
}

static const struct {
    const char *format, *variant;
    nb_export_options options;
} variants[] = {
    {"onnx", "qdq", {.onnx_form = NB_ONNX_QDQ}},
    {"onnx", "operator", {.onnx_form = NB_ONNX_OPERATOR}},
    {"tflite", "int8", {0}},
    {"tflite", "int4", {.tflite_int4 = true}},
    {"tflite", "pixels", {.tflite_pixels = true}},
};

static void put_network(nb_ctx *ctx, const place *to, int32_t number, const nb_intmodel *m, const nb_data *data,
                        int32_t most)
{
    char path[4096];
    for (size_t k = 0; k < sizeof variants / sizeof *variants; k++) {
        if (strcmp(variants[k].format, to->format) != 0)
            continue;
        snprintf(path, sizeof path, "%s/n%d.%s.%s", to->dir, number, variants[k].variant, to->format);
        const nb_status st = nb_exporter_find(to->format)->write(ctx, m, path, &variants[k].options);
        if (st == NB_E_UNSUPPORTED) {
            printf("n%d is refused: %s\n", number, nb_ctx_error(ctx));
            return;
        }
        must(ctx, st);
    }
    snprintf(path, sizeof path, "%s/n%d.bin", to->dir, number);
    FILE *f = fopen(path, "wb");
    if (!f)
        exit(1);
    put_vectors(f, ctx, data, most, m);
    fclose(f);
}

static void random_network(const place *to, int32_t seed, bool with_ties)
{
    char text[REF_NETWORK_BYTES];
    ref_street s;
    nb_intmodel *m = NULL;
    ref_network_text(seed, text);
    if (!with_ties)
        with_moving_averages(text);
    ref_network_open(seed, text, &s);
    if (ref_network_integers(&s, &m) == NB_OK)
        put_network(s.ctx, to, seed, m, s.test, IMAGES);
    nb_intmodel_free(s.ctx, m);
    ref_street_close(&s);
}

static void model_of_file(const place *to, int32_t number, const char *file)
{
    nb_ctx *ctx = nb_ctx_create();
    nb_intmodel *m;
    nb_config *config;
    nb_experiment e;
    nb_data *data;
    must(ctx, nb_intmodel_load(ctx, file, &m));
    must(ctx, nb_config_parse(ctx, file, m->config, strlen(m->config), NULL, 0, &config));
    must(ctx, nb_experiment_bind(ctx, config, &e));
    must(ctx, nb_data_open(ctx, e.data, "test", &data));
    put_network(ctx, to, number, m, data, INT32_MAX);
    nb_data_close(ctx, data);
    nb_config_free(ctx, config);
    nb_intmodel_free(ctx, m);
    nb_ctx_destroy(ctx);
}

int main(int argc, char **argv)
{
    if (argc < 5 || !nb_exporter_find(argv[1]))
        return 2;
    const place to = {argv[1], argv[2]};
    if (!strcmp(argv[3], "models"))
        for (int32_t i = 4; i < argc; i++)
            model_of_file(&to, i - 4, argv[i]);
    else
        for (int32_t i = 0; i < atoi(argv[4]); i++)
            random_network(&to, atoi(argv[3]) + i, argc == 6);
    return 0;
}
