/* make_images.c - runs on the host: the first N test images of a run's data set and the engine's logits for them, as C.
 *
 * usage: make_images MODEL.int.safetensors N >images.h */
#include <nibble/nibble.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(nb_ctx *ctx)
{
    fprintf(stderr, "make_images: %s\n", nb_ctx_error(ctx));
    return 1;
}

static void put_image(const uint8_t *pixels, int32_t n)
{
    printf("    {");
    for (int32_t i = 0; i < n; i++)
        printf("%d,", pixels[i]);
    printf("},\n");
}

static void put_logits(const nb_intmodel *m, const void *out)
{
    const nb_etensor *t = &m->e.tensors[nb_intmodel_output(m)];
    printf("    {");
    for (int32_t i = 0; i < m->classes; i++)
        printf("%" PRId32 ",", t->type == NB_EI_S32  ? ((const int32_t *)out)[i]
                               : t->type == NB_EI_S8 ? ((const int8_t *)out)[i] - t->zero
                                                     : ((const uint8_t *)out)[i] - t->zero);
    printf("},\n");
}

static int put_all(nb_ctx *ctx, const nb_intmodel *m, const nb_data *data, int32_t n)
{
    const nb_dsinfo *d = nb_data_info(data);
    const int32_t size = d->h * d->w * d->c;
    uint8_t *pixels = malloc((size_t)size);
    void *arena = aligned_alloc(64, (nb_engine_arena_bytes(&m->e) + 63) / 64 * 64);
    int32_t label;
    if (!pixels || !arena)
        return 1;
    printf("#include <stdint.h>\nenum { IMAGES = %" PRId32 " };\nstatic const uint8_t images[IMAGES][%" PRId32
           "] = {\n",
           n, size);
    for (int32_t i = 0; i < n; i++) {
        nb_data_get(data, i, pixels, &label);
        put_image(pixels, size);
    }
    printf("};\nstatic const int32_t expected[IMAGES][%" PRId32 "] = {\n", m->classes);
    for (int32_t i = 0; i < n; i++) {
        nb_data_get(data, i, pixels, &label);
        put_logits(m, nb_engine_run(&m->e, arena, pixels));
    }
    printf("};\n");
    free(pixels);
    free(arena);
    (void)ctx;
    return 0;
}

int main(int argc, char **argv)
{
    nb_ctx *ctx = nb_ctx_create();
    nb_intmodel *m = NULL;
    nb_config *config = NULL;
    nb_experiment e = {0};
    nb_data *data = NULL;
    if (argc != 3 || nb_intmodel_load(ctx, argv[1], &m) != NB_OK ||
        nb_config_parse(ctx, "the model's config", m->config, strlen(m->config), NULL, 0, &config) != NB_OK ||
        nb_experiment_bind(ctx, config, &e) != NB_OK || nb_data_open_as(ctx, e.data, "test", m->features, &data) != NB_OK)
        return fail(ctx);
    return put_all(ctx, m, data, atoi(argv[2]));
}
