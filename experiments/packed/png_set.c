/* png_set.c - procedural images as a folder of PNG files, one folder per class: FOLDER/train/123/0000456.png.
 *
 * Two processes share the work; files that are there already stay.
 * usage: png_set FOLDER SIDE CLASSES TRAIN TEST */
#include <nibble/dataset.h>
#include <nibble/image.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 2 };

static void must(nb_ctx *ctx, nb_status st)
{
    if (st == NB_OK)
        return;
    fprintf(stderr, "png_set: %s\n", nb_ctx_error(ctx));
    exit(1);
}

static void write_image(nb_ctx *ctx, const char *path, const uint8_t *hwc, const nb_dsinfo *d)
{
    uint8_t *png;
    size_t len;
    must(ctx, nb_png_write(ctx, hwc, d->h, d->w, d->c, &png, &len));
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(png, 1, len, f) != len || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
    nb_free(ctx, png);
}

static void write_split(nb_ctx *ctx, const nb_conf *data, const char *folder, const char *split, int32_t process)
{
    nb_data *d;
    char path[4096];
    must(ctx, nb_data_open(ctx, data, split, &d));
    const nb_dsinfo *info = nb_data_info(d);
    uint8_t *hwc = malloc((size_t)info->h * (size_t)info->w * (size_t)info->c);
    if (!hwc)
        exit(1);
    snprintf(path, sizeof path, "%s/%s", folder, split);
    mkdir(path, 0777);
    for (int32_t k = 0; k < info->classes; k++) {
        snprintf(path, sizeof path, "%s/%s/%03d", folder, split, k);
        mkdir(path, 0777);
    }
    for (int32_t i = process; i < info->count; i += PROCESSES) {
        int32_t label = i % info->classes; /* as synth has it */
        snprintf(path, sizeof path, "%s/%s/%03d/%07d.png", folder, split, label, i);
        if (access(path, F_OK) == 0)
            continue;
        nb_data_get(d, i, hwc, &label);
        write_image(ctx, path, hwc, info);
    }
    free(hwc);
    nb_data_close(ctx, d);
}

int main(int argc, char **argv)
{
    nb_ctx *ctx = nb_ctx_create();
    nb_config *config;
    char text[512];
    if (argc != 6 || !ctx) {
        fprintf(stderr, "usage: png_set FOLDER SIDE CLASSES TRAIN TEST\n");
        return 2;
    }
    snprintf(text, sizeof text,
             "data: {name: synth, height: %s, width: %s, channels: 3, noise: 24, classes: %s, count: %s, "
             "test_count: %s}\n",
             argv[2], argv[2], argv[3], argv[4], argv[5]);
    must(ctx, nb_config_parse(ctx, "png_set", text, strlen(text), NULL, 0, &config));
    mkdir(argv[1], 0777);
    const pid_t child = fork();
    write_split(ctx, nb_conf_get(nb_config_root(config), "data"), argv[1], "train", child == 0);
    write_split(ctx, nb_conf_get(nb_config_root(config), "data"), argv[1], "test", child == 0);
    int code = child < 0;
    if (child > 0)
        waitpid(child, &code, 0);
    nb_config_free(ctx, config);
    nb_ctx_destroy(ctx);
    return code != 0;
}
