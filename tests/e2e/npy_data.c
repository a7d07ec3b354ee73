/* npy_data.c - data sets in NumPy's format that a small network learns in seconds, the same bytes on every machine.
 *
 * usage: npy_data KIND FOLDER TRAIN TEST
 *   signals   float32 [n, 32, 6]: class k is a wave in channel k of 4; the channels' units differ by factors of thousands
 *   keywords  float32 [n, 49, 10]: class k of 12 is a band that rises or falls, as a word's formants do in its MFCCs
 *   sounds    float32 [n, 640]: five frames of 128; normal ones are mixtures of four spectra, anomalies, half of the test
 *             samples (label 1), have one more */
#include "ref/npy_writer.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t seed = 1;

/* -1..1, of 24 bits: exact in a float. */
static float noise(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)((int32_t)(seed >> 8) - (1 << 23)) / (float)(1 << 23);
}

/* A triangle wave of period 1, -1..1. */
static float wave(float phase)
{
    const float p = phase - (float)(int32_t)phase;
    return p < 0.5f ? 4 * p - 1 : 3 - 4 * p;
}

static void signal_of(float *x, int32_t k)
{
    static const float unit[6] = {1, 10, 1000, 0.1f, 0.001f, 1}, offset[6] = {0, 5, -300, 2, 0, 9};
    const float start = noise() + 1;
    for (int32_t t = 0; t < 32; t++)
        for (int32_t c = 0; c < 6; c++) {
            const float v = noise() + (c == k ? 2 * wave(start + (float)t * 0.0625f * (float)(k + 1)) : 0);
            x[t * 6 + c] = v * unit[c] + offset[c];
        }
}

static void keyword_of(float *x, int32_t k)
{
    const float start = 16 + 6 * noise(), slope = (float)(k % 3 - 1) * 0.15f, loud = 2 + noise();
    for (int32_t t = 0; t < 49; t++)
        for (int32_t c = 0; c < 10; c++) {
            const float middle = 1 + 2 * (float)(k / 3) + slope * ((float)t - 25), d = (float)c - middle;
            const int32_t on = (float)t > start && (float)t < start + 18;
            x[t * 10 + c] = noise() + (on && d > -1.2f && d < 1.2f ? 2 * loud : 0) - (c == 0 ? 20 : 0);
        }
}

static void sound_of(float *x, int32_t anomalous)
{
    float share[5];
    for (int32_t i = 0; i < 5; i++)
        share[i] = 1 + noise();
    for (int32_t f = 0; f < 5; f++)
        for (int32_t b = 0; b < 128; b++) {
            float v = -30 + 0.5f * noise();
            for (int32_t i = 0; i < 4; i++)
                v += 4 * share[i] * wave((float)b * (0.011f + 0.017f * (float)i));
            if (anomalous)
                v += 3 * share[4] * wave((float)b * 0.093f + 0.21f * (float)f);
            x[f * 128 + b] = v;
        }
}

static const struct {
    const char *name, *shape;
    int32_t numbers, classes;
    void (*make)(float *x, int32_t label);
} kinds[] = {
    {"signals", "32, 6", 192, 4, signal_of},
    {"keywords", "49, 10", 490, 12, keyword_of},
    {"sounds", "640", 640, 2, sound_of},
};

static void write_split(const char *folder, const char *split, int32_t kind, int32_t n)
{
    char path[4096], shape[64];
    const size_t numbers = (size_t)kinds[kind].numbers, count = (size_t)n;
    float *x = calloc(count * numbers, sizeof *x);
    int64_t *y = calloc(count, sizeof *y);
    if (!x || !y)
        abort();
    for (int32_t i = 0; i < n; i++) {
        y[i] = kind == 2 && strcmp(split, "train") == 0 ? 0 : i % kinds[kind].classes;
        kinds[kind].make(x + (size_t)i * numbers, (int32_t)y[i]);
    }
    snprintf(path, sizeof path, "%s/x_%s.npy", folder, split);
    snprintf(shape, sizeof shape, "%d, %s", n, kinds[kind].shape);
    npy_write(path, "<f4", shape, x, count * numbers * sizeof *x);
    snprintf(path, sizeof path, "%s/y_%s.npy", folder, split);
    snprintf(shape, sizeof shape, "%d,", n);
    npy_write(path, "<i8", shape, y, count * sizeof *y);
    free(x);
    free(y);
}

int main(int argc, char **argv)
{
    for (int32_t k = 0; argc == 5 && k < 3; k++)
        if (strcmp(argv[1], kinds[k].name) == 0) {
            write_split(argv[2], "train", k, atoi(argv[3]));
            write_split(argv[2], "test", k, atoi(argv[4]));
            return 0;
        }
    fprintf(stderr, "usage: npy_data signals|keywords|sounds FOLDER TRAIN TEST\n");
    return 2;
}
