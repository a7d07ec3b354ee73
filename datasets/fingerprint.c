/* fingerprint.c - 64 bits for the pixels of a data set and 64 for its labels.
 *
 * Not against an adversary: a hash as fast as memory, so that nothing needs to be sampled. Images are hashed in chunks
 * of a fixed number, the chunks' hashes are mixed in order. */
#include "fingerprint.h"

#include "base/check.h"
#include "base/parallel.h"
#include "base/rng.h"

enum { CHUNK = NB_FINGERPRINT_CHUNK, LANES = 4 };

typedef struct {
    const nb_data *data;
    size_t image_bytes;
    uint8_t *scratch; /* [threads, image_bytes] */
    nb_fingerprint *chunk;
} hashing;

/* Little-endian, on every machine. */
static uint64_t load(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
           (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

static uint64_t stir(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9fb21c651e98df25); /* odd: no word is lost; the shift brings high bits down again */
    return h ^ h >> 29;
}

static uint64_t hash_bytes(const uint8_t *p, size_t n)
{
    uint64_t h[LANES] = {1, 2, 3, 4};
    size_t i = 0;
    for (; i + (size_t)8 * LANES <= n; i += (size_t)8 * LANES)
        for (int32_t k = 0; k < LANES; k++)
            h[k] = stir(h[k], load(p + i + 8 * k));
    for (; i < n; i++)
        h[0] = stir(h[0], p[i]);
    for (int32_t k = 1; k < LANES; k++)
        h[0] = nb_mix(h[0], h[k]);
    return nb_mix(h[0], n);
}

void nb_fingerprint_image(nb_fingerprint *chunk, const uint8_t *hwc, size_t bytes, int32_t label)
{
    chunk->pixels = nb_mix(chunk->pixels, hash_bytes(hwc, bytes));
    chunk->labels = nb_mix(chunk->labels, (uint64_t)label);
    chunk->count++;
}

void nb_fingerprint_chunk(nb_fingerprint *all, const nb_fingerprint *chunk)
{
    all->pixels = nb_mix(all->pixels, chunk->pixels);
    all->labels = nb_mix(all->labels, chunk->labels);
    all->count += chunk->count;
}

static void hash_chunk(void *arg, int64_t chunk, int32_t thread)
{
    const hashing *x = arg;
    uint8_t *image = x->scratch + (size_t)thread * x->image_bytes;
    nb_fingerprint f = {0};
    int64_t end = nb_chunk_end(nb_data_info(x->data)->count, CHUNK, chunk);
    for (int64_t i = chunk * CHUNK; i < end; i++) {
        int32_t label;
        nb_data_get(x->data, (int32_t)i, image, &label);
        nb_fingerprint_image(&f, image, x->image_bytes, label);
    }
    x->chunk[chunk] = f;
}

nb_status nb_fingerprint_measure(nb_ctx *ctx, const nb_data *d, nb_fingerprint *out)
{
    const nb_dsinfo *info = nb_data_info(d);
    int64_t n = nb_chunks(info->count, CHUNK);
    hashing x = {.data = d, .image_bytes = (size_t)info->h * (size_t)info->w * (size_t)info->c};
    x.scratch = nb_alloc(ctx, (size_t)nb_threads() * x.image_bytes);
    x.chunk = nb_alloc(ctx, (size_t)n * sizeof *x.chunk);
    nb_fingerprint f = {0};
    if (x.scratch && x.chunk)
        nb_parallel_for(n, hash_chunk, &x);
    for (int64_t i = 0; x.scratch && x.chunk && i < n; i++)
        nb_fingerprint_chunk(&f, &x.chunk[i]);
    bool done = x.scratch && x.chunk;
    nb_free(ctx, x.scratch);
    nb_free(ctx, x.chunk);
    if (!done)
        return NB_E_NOMEM;
    NB_TRY(nb_data_check(ctx, d));
    *out = f;
    return NB_OK;
}
