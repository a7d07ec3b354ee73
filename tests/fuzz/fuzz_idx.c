/* fuzz_idx.c - bytes as an IDX file: an error, or a header that can be written again from what was understood. */
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
    nb_ctx *ctx = nb_ctx_create();
    if (!ctx)
        return 0;
    nb_array x;
    if (nb_idx_parse(ctx, "fuzz", bytes, len, &x) == NB_OK) {
        uint8_t head[4 + 4 * NB_ARRAY_MAX_DIM] = {0, 0, bytes[2], (uint8_t)x.ndim};
        const size_t at = 4 + 4 * (size_t)x.ndim;
        int64_t count = 1;
        for (int32_t i = 0; i < x.ndim; i++) {
            put(head + 4 + 4 * i, (uint32_t)x.dim[i]);
            count *= x.dim[i];
        }
        NB_ASSERT(memcmp(head, bytes, at) == 0 && x.data == bytes + at);
        NB_ASSERT(count == x.count && (size_t)count * (size_t)nb_array_bytes(x.dtype) == len - at);
        double sum = 0;
        for (int64_t i = 0; i < x.count; i++)
            sum += nb_array_value(&x, i);
        NB_ASSERT(sum == sum || nb_array_is_float(x.dtype));
    } else {
        NB_ASSERT(nb_ctx_error(ctx)[0]);
    }
    nb_ctx_destroy(ctx);
    return 0;
}
