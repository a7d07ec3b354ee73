/* fuzz_npy.c - bytes as a NumPy file: an error, or an array whose every number is inside; and the same bytes as the text of
 * a map of features: none, or one that reads back from what it prints. */
#include "../../datasets/array.h"

#include "base/check.h"
#include "core/feature_map.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void read_array(nb_ctx *ctx, const uint8_t *bytes, size_t len)
{
    nb_array x;
    if (nb_npy_parse(ctx, "fuzz", bytes, len, &x) != NB_OK) {
        NB_ASSERT(strncmp(nb_ctx_error(ctx), "fuzz: ", 6) == 0);
        return;
    }
    char shape[NB_ARRAY_SHAPE_BYTES];
    int64_t count = 1;
    for (int32_t i = 0; i < x.ndim; i++)
        count *= x.dim[i];
    NB_ASSERT(x.ndim > 0 && count == x.count && strlen(nb_array_shape(&x, shape)) > 2);
    NB_ASSERT(x.data + x.count * nb_array_bytes(x.dtype) == bytes + len);
    double sum = 0;
    for (int64_t i = 0; i < x.count; i++)
        sum += nb_array_value(&x, i);
    NB_ASSERT(sum == sum || nb_array_is_float(x.dtype));
}

static void read_map(nb_ctx *ctx, const uint8_t *bytes, size_t len)
{
    nb_arena *arena;
    if (nb_arena_create(ctx, &arena) != NB_OK)
        return;
    char *text = nb_arena_printf(arena, "%.*s", (int)(len < 4096 ? len : 4096), (const char *)bytes);
    const nb_features *f = NULL, *again = NULL;
    NB_ASSERT(text && nb_features_parse(arena, text, 6, 2, &f) == NB_OK);
    if (f) {
        nb_text t;
        nb_text_init(ctx, &t);
        nb_features_print(&t, f);
        NB_ASSERT(nb_features_parse(arena, t.s, 6, 2, &again) == NB_OK && again && nb_features_equal(f, again));
        (void)nb_feature_code(f, 5, (float)len);
        nb_text_free(&t);
    }
    nb_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    nb_ctx *ctx = nb_ctx_create();
    if (!ctx)
        return 0;
    read_array(ctx, bytes, len);
    read_map(ctx, bytes, len);
    nb_ctx_destroy(ctx);
    return 0;
}
