/* export_networks.c - networks as ONNX, with images and the engine's logits for them, for check.py.
 *
 * usage: export_networks DIR FIRST COUNT [ties]   random networks; with "ties" they keep their other ranges
 *        export_networks DIR models MODEL...      integer checkpoints, all test images of their data sets
 * For each network that can be lowered: DIR/nNUMBER.qdq.onnx, DIR/nNUMBER.operator.onnx, and DIR/nNUMBER.bin: int32
 * images, c, h, w, classes; float scale of a logit; u8 pixels [images, c, h, w]; float logits [images, classes]. */
#include "ref/random_network.h"

#include <nibble/nibble.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = 64 };

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

static void put_network(nb_ctx *ctx, const char *dir, int32_t number, const nb_intmodel *m, const nb_data *data,
                        int32_t most)
{
    static const char *const forms[] = {[NB_ONNX_QDQ] = "qdq", [NB_ONNX_OPERATOR] = "operator"};
    char path[4096];
    for (int32_t k = 0; k < 2; k++) {
        snprintf(path, sizeof path, "%s/n%d.%s.onnx", dir, number, forms[k]);
        must(ctx, nb_exporter_find("onnx")->write(ctx, m, path, &(nb_export_options){.onnx_form = (nb_onnx_form)k}));
    }
    snprintf(path, sizeof path, "%s/n%d.bin", dir, number);
    FILE *f = fopen(path, "wb");
    if (!f)
        exit(1);
    put_vectors(f, ctx, data, most, m);
    fclose(f);
}

static void random_network(const char *dir, int32_t seed, bool with_ties)
{
    char text[REF_NETWORK_BYTES];
    ref_street s;
    nb_intmodel *m = NULL;
    ref_network_text(seed, text);
    if (!with_ties)
        with_moving_averages(text);
    ref_network_open(seed, text, &s);
    if (ref_network_integers(&s, &m) == NB_OK)
        put_network(s.ctx, dir, seed, m, s.test, IMAGES);
    nb_intmodel_free(s.ctx, m);
    ref_street_close(&s);
}

static void model_of_file(const char *dir, int32_t number, const char *file)
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
    put_network(ctx, dir, number, m, data, INT32_MAX);
    nb_data_close(ctx, data);
    nb_config_free(ctx, config);
    nb_intmodel_free(ctx, m);
    nb_ctx_destroy(ctx);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    if (!strcmp(argv[2], "models"))
        for (int32_t i = 3; i < argc; i++)
            model_of_file(argv[1], i - 3, argv[i]);
    else
        for (int32_t i = 0; i < atoi(argv[3]); i++)
            random_network(argv[1], atoi(argv[2]) + i, argc == 5);
    return 0;
}
