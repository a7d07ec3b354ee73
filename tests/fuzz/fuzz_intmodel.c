/* fuzz_intmodel.c - any bytes as an integer checkpoint: an error with a sentence, or a model that runs, is listed and
 * saved without a fault.
 *
 * Input that begins with '{' is a header without its length: up to the first newline JSON, behind it the data. So a
 * mutation that changes the header's length still gets past the container. */
#include <nibble/export.h>
#include <nibble/intmodel.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const size_t max_arena = (size_t)1 << 26; /* larger models are sound but too slow to run here */
static const int64_t max_macs = 10000000;

static void require(int promise)
{
    if (!promise)
        abort();
}

static void run(nb_ctx *ctx, const nb_intmodel *m)
{
    const nb_etensor *in = &m->e.tensors[nb_intmodel_input(m)];
    const size_t arena_bytes = nb_engine_arena_bytes(&m->e),
                 pixel_count = (size_t)in->h * (size_t)in->w * (size_t)in->c;
    int64_t macs = 0;
    for (int32_t i = 0; i < m->e.n_steps; i++)
        macs += m->steps[i].macs;
    if (arena_bytes > max_arena || macs > max_macs)
        return;
    void *arena = nb_alloc(ctx, arena_bytes);
    uint8_t *pixels = nb_alloc(ctx, pixel_count);
    require(arena && pixels);
    for (int image = 0; image < 2; image++) {
        for (size_t i = 0; i < pixel_count; i++)
            pixels[i] = image ? (uint8_t)(i * 151) : 255;
        const void *out = nb_engine_run(&m->e, arena, pixels);
        const int32_t best = nb_engine_argmax(&m->e, out);
        require(best >= 0 && best < m->classes);
    }
    nb_free(ctx, pixels);
    nb_free(ctx, arena);
}

/* The file that a header and its data make; the caller frees it. */
static uint8_t *wrap(const uint8_t *data, size_t size, size_t *len)
{
    const uint8_t *newline = memchr(data, '\n', size);
    const size_t header = newline ? (size_t)(newline - data) : size, skip = newline ? 1 : 0;
    uint8_t *file = malloc(8 + size);
    require(file != NULL);
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)header >> (8 * i));
    memcpy(file + 8, data, header);
    memcpy(file + 8 + header, data + header + skip, size - header - skip);
    *len = 8 + size - skip;
    return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nb_ctx *ctx = nb_ctx_create();
    uint8_t *wrapped = NULL;
    if (size > 0 && data[0] == '{')
        data = wrapped = wrap(data, size, &size);
    nb_intmodel *m = NULL;
    if (nb_intmodel_parse(ctx, "fuzz", data, size, &m) == NB_OK) {
        run(ctx, m);
        require(nb_exporter_find("text")->write(ctx, m, "/dev/null", NULL) == NB_OK);
        require(nb_intmodel_save(ctx, m, "/dev/null") == NB_OK);
    } else {
        require(m == NULL && nb_ctx_error(ctx)[0] != '\0');
    }
    nb_intmodel_free(ctx, m);
    free(wrapped);
    nb_ctx_destroy(ctx);
    return 0;
}
