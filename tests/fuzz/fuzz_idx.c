/* fuzz_idx.c - bytes as an IDX file: an error, or a header that can be written again from what was understood.
 *
 * The first byte chooses images or labels. */
#include "../../datasets/idx.h"

#include "base/check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void put(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (24 - 8 * i));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return 0;
    nb_ctx *ctx = nb_ctx_create();
    if (!ctx)
        return 0;
    const int labels = bytes[0] & 1;
    const uint8_t *file = bytes + 1;
    nb_idx x;
    const nb_status st =
        labels ? nb_idx_labels(ctx, "fuzz", file, len - 1, &x) : nb_idx_images(ctx, "fuzz", file, len - 1, &x);
    if (st == NB_OK) {
        uint8_t head[20] = {0, 0, 8, labels ? 1 : file[3]};
        put(head + 4, (uint32_t)x.count);
        put(head + 8, (uint32_t)x.h);
        put(head + 12, (uint32_t)x.w);
        put(head + 16, (uint32_t)x.c);
        const size_t at = (size_t)(x.data - file);
        NB_ASSERT(at == (labels ? 8u : head[3] == 3 ? 16u : 20u));
        NB_ASSERT(memcmp(head, file, at) == 0);
        NB_ASSERT((size_t)x.count * (size_t)x.h * (size_t)x.w * (size_t)x.c == len - 1 - at);
    } else {
        NB_ASSERT(nb_ctx_error(ctx)[0]);
    }
    nb_ctx_destroy(ctx);
    return 0;
}
