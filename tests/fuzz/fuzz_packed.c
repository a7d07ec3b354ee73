/* fuzz_packed.c - bytes as the index of a packed data set, or as a shard of one.
 *
 * The first byte chooses which, and for a shard how large its images are. The checksum at the end is made right first, so
 * that changes reach what lies behind it (of a shard it is not of the pixels, whose place only its header knows: there it
 * is right for those of the corpus). What is accepted holds as many images as it says, and all of them can be asked for. */
#include "../../datasets/shard.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/crc32.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static char folder[256];

static void remove_folder(void)
{
    char path[NB_SHARD_PATH];
    snprintf(path, sizeof path, "%s/" NB_PACK_INDEX, folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/train-00000.safetensors", folder);
    unlink(path);
    rmdir(folder);
}

static bool write_bytes(const char *path, const uint8_t *bytes, size_t len, bool repair)
{
    FILE *f = fopen(path, "wb");
    if (!f)
        return false;
    const size_t body = repair && len >= 4 ? len - 4 : len;
    const uint32_t sum = nb_crc32(0, bytes, body);
    bool good = fwrite(bytes, 1, body, f) == body;
    if (body < len)
        good &= fwrite(&sum, 1, sizeof sum, f) == sizeof sum;
    return fclose(f) == 0 && good;
}

static void read_index(nb_ctx *ctx, const uint8_t *bytes, size_t len)
{
    char path[NB_SHARD_PATH];
    nb_pack_index x;
    snprintf(path, sizeof path, "%s/" NB_PACK_INDEX, folder);
    if (!write_bytes(path, bytes, len, true))
        return;
    if (nb_pack_index_read(ctx, folder, &x) != NB_OK) {
        NB_ASSERT(nb_ctx_error(ctx)[0]);
        return;
    }
    size_t seen = 0;
    for (int32_t k = 0; x.class_names && k < x.shape.classes; k++)
        seen += strlen(x.class_names[k]);
    for (int32_t i = 0; i < 2; i++) {
        int64_t images = 0;
        for (int32_t k = 0; k < x.split[i].n_shards; k++)
            images += x.split[i].n[k] + (int64_t)(x.split[i].sums[k] & 0);
        NB_ASSERT(images == x.split[i].images && images > 0);
    }
    NB_ASSERT(nb_pack_index_write(ctx, folder, &x) == NB_OK && seen <= len); /* and what is written is read again */
    nb_arena_free(x.arena);
    NB_ASSERT(nb_pack_index_read(ctx, folder, &x) == NB_OK);
    nb_arena_free(x.arena);
}

static void read_shard(nb_ctx *ctx, const uint8_t *bytes, size_t len, int32_t side)
{
    char path[NB_SHARD_PATH];
    const nb_shard_shape shape = {.h = side, .w = side, .c = 1, .classes = 4};
    const size_t each = nb_shard_image_bytes(&shape);
    uint8_t pixels[64];
    nb_shard s;
    NB_ASSERT(each <= sizeof pixels && nb_shard_path(ctx, folder, "train", 0, path) == NB_OK);
    if (!write_bytes(path, bytes, len, false))
        return;
    if (nb_shard_open(ctx, path, "train", 0, &shape, &s) != NB_OK) {
        NB_ASSERT(nb_ctx_error(ctx)[0]);
        return;
    }
    size_t names = 0;
    for (int32_t i = 0; i < s.n; i++) {
        NB_ASSERT(s.labels[i] >= 0 && s.labels[i] < shape.classes);
        names += strlen(s.names + s.name[i]) + 1;
        if (nb_shard_read(ctx, &s, i, each, pixels) == NB_OK)
            NB_ASSERT(nb_crc32(0, pixels, each) == s.sums[i]);
    }
    NB_ASSERT(names == s.name_bytes);
    nb_shard_close(ctx, &s);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    nb_ctx *ctx = nb_ctx_create();
    const char *tmp = getenv("TMPDIR");
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "%s/nibble-fuzz-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
        NB_ASSERT(mkdtemp(folder));
        atexit(remove_folder);
    }
    if (ctx && len > 0 && bytes[0] % 2 == 0)
        read_index(ctx, bytes + 1, len - 1);
    else if (ctx && len > 0)
        read_shard(ctx, bytes + 1, len - 1, 1 + bytes[0] / 2 % 8);
    nb_ctx_destroy(ctx);
    return 0;
}
