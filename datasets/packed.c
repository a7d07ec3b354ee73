/* packed.c - a data set that `nibble pack` wrote: opened at once, images read when they are asked for.
 *
 * Nothing but labels, checksums and names is held (shard.h); the order is that of the data set it was packed from, and so
 * are pixels, mean and deviation, so a run on it is the run on that one. */
#include "shard.h"

#include <nibble/extend/dataset_loader.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"

typedef struct {
    nb_pack_index index;
    const nb_pack_split *split;
    nb_shard *shard;
    int32_t *first; /* [n_shards + 1] the number of each shard's first image */
    int32_t n_open;
    size_t image_bytes;
} packed_state;

static nb_status open_shard(nb_ctx *ctx, packed_state *s, const char *folder, const char *split, int32_t i)
{
    char path[NB_SHARD_PATH];
    NB_TRY(nb_shard_path(ctx, folder, split, i, path));
    if (!nb_file_exists(path))
        return nb_fail(ctx, NB_E_IO, "%s: is not there, but %s/%s knows it: " NB_PACK_AGAIN, path, folder,
                       NB_PACK_INDEX);
    NB_TRY(nb_shard_open(ctx, path, split, i, &s->index.shape, &s->shard[i]));
    s->n_open++;
    if (s->shard[i].n != s->split->n[i] || s->shard[i].checksum != s->split->sums[i])
        return nb_fail(ctx, NB_E_FORMAT,
                       "%s: is not the shard that %s/%s knows, but of another packing: " NB_PACK_AGAIN, path, folder,
                       NB_PACK_INDEX);
    return NB_OK;
}

static nb_status open_shards(nb_ctx *ctx, packed_state *s, const char *folder, const char *split)
{
    s->split = &s->index.split[strcmp(split, nb_pack_split_names[1]) == 0];
    s->shard = nb_arena_array(s->index.arena, (size_t)s->split->n_shards, sizeof *s->shard);
    s->first = nb_arena_array(s->index.arena, (size_t)s->split->n_shards + 1, sizeof *s->first);
    if (!s->shard || !s->first)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < s->split->n_shards; i++) {
        NB_TRY(open_shard(ctx, s, folder, split, i));
        s->first[i + 1] = s->first[i] + s->shard[i].n;
    }
    return NB_OK;
}

static nb_status packed_open(nb_ctx *ctx, void *st, const char *path, const char *split, nb_dsinfo *info)
{
    packed_state *s = st;
    if (!path[0])
        return nb_fail(ctx, NB_E_CONFIG, "data.path: missing: packed needs the folder that nibble pack wrote");
    NB_TRY(nb_pack_index_read(ctx, path, &s->index));
    NB_TRY(open_shards(ctx, s, path, split));
    const nb_pack_index *x = &s->index;
    s->image_bytes = nb_shard_image_bytes(&x->shape);
    info->count = s->split->images;
    info->h = x->shape.h;
    info->w = x->shape.w;
    info->c = x->shape.c;
    info->classes = x->shape.classes;
    info->class_names = x->class_names;
    memcpy(info->mean, x->mean, (size_t)x->shape.c * sizeof *x->mean);
    memcpy(info->std, x->std, (size_t)x->shape.c * sizeof *x->std);
    if (info->features && !nb_features_equal(info->features, x->features))
        return nb_fail(ctx, NB_E_SHAPE,
                       "%s: its samples were packed with another map of numbers to codes than the network's input has",
                       path);
    info->features = x->features;
    info->streams = true;
    for (int32_t i = 0; i < s->split->n_shards; i++)
        info->bytes += nb_shard_memory(&s->shard[i]);
    return NB_OK;
}

static const nb_shard *shard_of(const packed_state *s, int32_t index, int32_t *at)
{
    int32_t low = 0, high = s->split->n_shards;
    while (high - low > 1) {
        const int32_t mid = low + (high - low) / 2;
        if (s->first[mid] <= index)
            low = mid;
        else
            high = mid;
    }
    *at = index - s->first[low];
    return &s->shard[low];
}

static nb_status packed_read(nb_ctx *ctx, const void *st, int32_t index, uint8_t *hwc, int32_t *label)
{
    const packed_state *s = st;
    int32_t at;
    const nb_shard *shard = shard_of(s, index, &at);
    NB_TRY(nb_shard_read(ctx, shard, at, s->image_bytes, hwc));
    *label = shard->labels[at];
    return NB_OK;
}

static void packed_ahead(const void *st, int32_t index)
{
    const packed_state *s = st;
    int32_t at;
    const nb_shard *shard = shard_of(s, index, &at);
    nb_file_ahead(shard->fd, shard->pixels + (int64_t)s->image_bytes * at, s->image_bytes);
}

static int32_t packed_label(const void *st, int32_t index)
{
    int32_t at;
    const nb_shard *shard = shard_of(st, index, &at);
    return shard->labels[at];
}

static const char *packed_image_name(const void *st, int32_t index)
{
    int32_t at;
    const nb_shard *shard = shard_of(st, index, &at);
    const char *name = shard->names + shard->name[at];
    return *name ? name : NULL;
}

static bool packed_fingerprint(const void *st, uint64_t *labels, uint64_t *pixels)
{
    const packed_state *s = st;
    *labels = s->split->print.labels;
    *pixels = s->split->print.pixels;
    return true;
}

static void packed_close(nb_ctx *ctx, void *st)
{
    packed_state *s = st;
    for (int32_t i = 0; i < s->n_open; i++)
        nb_shard_close(ctx, &s->shard[i]);
    nb_arena_free(s->index.arena);
}

const nb_dataset nb_dataset_packed = {
    .name = "packed",
    .help = "what nibble pack wrote of another data set: decoded images in a few large files, read as they are\n"
            "needed, so that the set may be larger than memory. path is the folder",
    .attr_size = sizeof(packed_state),
    .open = packed_open,
    .read = packed_read,
    .image_name = packed_image_name,
    .close = packed_close,
    .ahead = packed_ahead,
    .label = packed_label,
    .fingerprint = packed_fingerprint};
