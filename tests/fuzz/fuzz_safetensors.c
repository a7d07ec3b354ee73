/* fuzz_safetensors.c - any bytes as a safetensors file: an error with a sentence, or tensors that keep every promise of
 * the header. */
#include "base/safetensors.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int promise)
{
    if (!promise)
        abort();
}

/* Reads every byte, so that a sanitizer sees a tensor that reaches outside. */
static uint32_t touch(const nb_st_tensor *t)
{
    const uint8_t *p = t->data;
    uint32_t sum = 0;
    for (size_t i = 0; i < t->bytes; i++)
        sum += p[i];
    return sum;
}

static void check_tensor(const nb_st_file *f, const nb_st_tensor *t)
{
    size_t each = nb_st_dtype_bytes(t->dtype);
    int64_t count = 1;
    require(t->ndim >= 0 && t->ndim <= NB_ST_MAX_DIM);
    for (int32_t i = 0; i < t->ndim; i++) {
        require(t->shape[i] >= 0);
        count *= t->shape[i];
    }
    require(count == t->count);
    require(each == 0 || t->bytes == (size_t)count * each);
    require(each == 0 || (uintptr_t)t->data % each == 0);
    require(nb_st_find(f, t->name) == t);
    require(nb_utf8_valid(t->name, strlen(t->name)));
    static volatile uint32_t sink;
    sink = touch(t);
    (void)sink;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nb_ctx *ctx = nb_ctx_create();
    nb_st_file *f = NULL;
    nb_status st = nb_st_parse(ctx, "fuzz", data, size, &f);
    if (st == NB_OK) {
        size_t total = 0;
        for (int32_t i = 0; i < nb_st_count(f); i++) {
            check_tensor(f, nb_st_at(f, i));
            total += nb_st_at(f, i)->bytes;
        }
        require(total <= size);
        nb_st_meta(f, "config");
    } else {
        require(f == NULL && nb_ctx_error(ctx)[0] != '\0');
    }
    nb_st_close(ctx, f);
    nb_ctx_destroy(ctx);
    return 0;
}
