/* export_networks.c - random networks as ONNX, with images and the engine's logits for them, for check.py.
 *
 * usage: export_networks DIR FIRST COUNT [ties]        with "ties", networks keep their other ranges
 * For each network that can be lowered: DIR/nSEED.onnx, and DIR/nSEED.bin: int32 images, c, h, w, classes; float scale
 * of a logit; u8 pixels [images, c, h, w]; float logits [images, classes]. */
#include "ref/random_network.h"

#include <nibble/export.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = 64 };

static void put(FILE *f, const void *p, size_t bytes)
{
    if (fwrite(p, 1, bytes, f) != bytes)
        abort();
}

static void put_vectors(FILE *f, const ref_street *s, const nb_intmodel *m)
{
    const nb_dsinfo *d = nb_data_info(s->test);
    const int32_t n = d->count < IMAGES ? d->count : IMAGES, head[5] = {n, d->c, d->h, d->w, m->classes};
    uint8_t *hwc = malloc((size_t)(d->h * d->w * d->c));
    float *logits = malloc((size_t)m->classes * sizeof *logits);
    int32_t label;
    put(f, head, sizeof head);
    put(f, &m->tensors[nb_intmodel_output(m)].scale, sizeof(float));
    for (int32_t i = 0; i < n; i++) {
        nb_data_get(s->test, i, hwc, &label);
        for (int32_t c = 0; c < d->c; c++)
            for (int32_t p = 0; p < d->h * d->w; p++)
                put(f, hwc + p * d->c + c, 1);
    }
    for (int32_t i = 0; i < n; i++) {
        nb_data_get(s->test, i, hwc, &label);
        if (nb_intmodel_logits(s->ctx, m, hwc, logits) != NB_OK)
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

static void one(const char *dir, int32_t seed, bool with_ties)
{
    char text[REF_NETWORK_BYTES], path[4096];
    ref_street s;
    nb_intmodel *m = NULL;
    ref_network_text(seed, text);
    if (!with_ties)
        with_moving_averages(text);
    ref_network_open(seed, text, &s);
    if (ref_network_integers(&s, &m) == NB_OK) {
        snprintf(path, sizeof path, "%s/n%d.onnx", dir, seed);
        if (nb_exporter_find("onnx")->write(s.ctx, m, path, NULL) != NB_OK) {
            fprintf(stderr, "%s\n", nb_ctx_error(s.ctx));
            exit(1);
        }
        snprintf(path, sizeof path, "%s/n%d.bin", dir, seed);
        FILE *f = fopen(path, "wb");
        if (!f)
            exit(1);
        put_vectors(f, &s, m);
        fclose(f);
    }
    nb_intmodel_free(s.ctx, m);
    ref_street_close(&s);
}

int main(int argc, char **argv)
{
    if (argc != 4 && argc != 5)
        return 2;
    for (int32_t i = 0; i < atoi(argv[3]); i++)
        one(argv[1], atoi(argv[2]) + i, argc == 5);
    return 0;
}
