/* fuzz_cifar.c - bytes as a CIFAR file, of records or of class names.
 *
 * The first byte chooses: 0 CIFAR-10, 1 CIFAR-100, else names. Accepted records must interleave and come back; accepted
 * names must be lines of the text. */
#include "../../datasets/cifar.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void records(nb_ctx *ctx, const uint8_t *bytes, size_t len, int32_t label_bytes, int32_t classes)
{
    int32_t count;
    if (nb_cifar_check(ctx, "fuzz", bytes, len, label_bytes, classes, &count) != NB_OK) {
        NB_ASSERT(nb_ctx_error(ctx)[0]);
        return;
    }
    const size_t record = (size_t)label_bytes + NB_CIFAR_PIXELS;
    NB_ASSERT((size_t)count * record == len);
    for (int32_t i = 0; i < count; i++) {
        const uint8_t *planes = bytes + (size_t)i * record + label_bytes;
        NB_ASSERT(planes[-1] < classes);
        uint8_t hwc[NB_CIFAR_PIXELS];
        nb_cifar_interleave(hwc, planes);
        for (int32_t k = 0; k < NB_CIFAR_PIXELS; k++)
            NB_ASSERT(hwc[k] == planes[k % 3 * (NB_CIFAR_PIXELS / 3) + k / 3]);
    }
}

static void names(nb_ctx *ctx, const uint8_t *bytes, size_t len)
{
    enum { CLASSES = 3 };
    char *text = malloc(len + 1);
    if (!text)
        return;
    memcpy(text, bytes, len);
    text[len] = '\0';
    const char *name[CLASSES];
    if (nb_cifar_names(ctx, "fuzz", text, CLASSES, name) == NB_OK)
        for (int32_t i = 0; i < CLASSES; i++)
            NB_ASSERT(name[i] >= text && name[i] < text + len && name[i][0] && !strpbrk(name[i], "\r\n"));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return 0;
    nb_ctx *ctx = nb_ctx_create();
    if (!ctx)
        return 0;
    if (bytes[0] < 2)
        records(ctx, bytes + 1, len - 1, 1 + bytes[0], bytes[0] ? 100 : 10);
    else
        names(ctx, bytes + 1, len - 1);
    nb_ctx_destroy(ctx);
    return 0;
}
