/* fuzz_import_weights.c - any bytes as a mapping file and a safetensors file: an error with a sentence, or every leaf
 * of the network is finite.
 *
 * Up to the first NUL: the map (empty: none given); behind it, as in fuzz_intmodel.c, a header without its length up to
 * the first newline, then the data. */
#include "ref/foreign.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int promise)
{
    if (!promise)
        abort();
}

/* The file that a header and its data make; the caller frees it. */
static uint8_t *wrap(const uint8_t *data, size_t size, size_t *len)
{
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
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

static void require_finite(const nb_graph *g)
{
    for (int32_t i = 0; i < g->n; i++)
        if (g->node[i]->flags & (NB_NODE_PARAM | NB_NODE_BUFFER))
            for (int64_t k = 0, n = nb_count(&g->node[i]->out); k < n; k++)
                require(isfinite(((const float *)g->node[i]->out.data)[k]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    if (!nul)
        return 0;
    const char *map = (const char *)data;
    const size_t map_len = (size_t)(nul - data);
    ref_foreign f;
    nb_import_report r;
    size_t len;
    uint8_t *file = wrap(nul + 1, size - map_len - 1, &len);
    ref_foreign_open(&f,
                     "  - input\n  - conv2d: {name: c, out: 3, kernel: 2}\n  - batchnorm: {name: b}\n  - flatten\n"
                     "  - linear: {name: f, out: 2}\n",
                     3, 2, 1, 2);
    if (nb_import_weights_parse(f.g, "fuzz", file, len,
                                &(nb_import_options){.map = "map", .map_text = map_len ? map : NULL, .bn_eps = 1e-5f},
                                &r) == NB_OK)
        require_finite(f.g);
    else
        require(nb_ctx_error(f.ctx)[0] != '\0');
    nb_import_report_free(&r);
    ref_foreign_close(&f);
    free(file);
    return 0;
}
