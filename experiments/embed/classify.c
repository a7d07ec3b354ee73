/* classify.c - the library in a program of one's own: an integer checkpoint, a PNG file, the most probable class.
 *
 *   cc -o classify classify.c $(pkg-config --cflags --libs nibble)
 *   ./classify model.int.safetensors image.png */
#include <nibble/nibble.h>
#include <stdio.h>
#include <stdlib.h>

static int classify(nb_ctx *ctx, const nb_intmodel *m, const char *png)
{
    int32_t h, w, c, classes, best = 0;
    nb_intmodel_sizes(m, &h, &w, &c, &classes);
    uint8_t *pixels = malloc((size_t)h * (size_t)w * (size_t)c);
    float *logits = malloc((size_t)classes * sizeof *logits);
    const nb_png_spec spec = {.h = h, .w = w, .c = c, .background = 255, .resize = true};
    nb_status st = nb_png_load(ctx, png, &spec, pixels);
    if (st == NB_OK)
        st = nb_intmodel_logits(ctx, m, pixels, logits);
    for (int32_t i = 1; st == NB_OK && i < classes; i++)
        best = logits[i] > logits[best] ? i : best;
    if (st == NB_OK)
        printf("%d %s\n", best, nb_intmodel_class_name(m, best));
    free(pixels);
    free(logits);
    return st;
}

int main(int argc, char **argv)
{
    nb_ctx *ctx = nb_ctx_create();
    nb_intmodel *m = NULL;
    if (argc != 3)
        return 2;
    nb_status st = nb_intmodel_load(ctx, argv[1], &m);
    if (st == NB_OK)
        st = classify(ctx, m, argv[2]);
    if (st != NB_OK)
        fprintf(stderr, "%s\n", nb_ctx_error(ctx));
    nb_intmodel_free(ctx, m);
    nb_ctx_destroy(ctx);
    return st != NB_OK;
}
