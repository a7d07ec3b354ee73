/* cifar.c - CIFAR-10 and CIFAR-100 (fine labels) in the binary layout, .bin or .bin.gz.
 *
 * The files of a split are held whole in memory as they are; get() interleaves the planes, 3 KB that are in the cache
 * anyway. open() proves that every file is a whole number of records with labels in range. */
#include "cifar.h"
#include "locate.h"

#include <nibble/extend/dataset_loader.h>
#include <string.h>

#include "base/check.h"

enum { MAX_FILES = 5, MAX_CLASSES = 100 };
static const size_t max_file_bytes = (size_t)1 << 30, max_names_bytes = (size_t)1 << 16;

nb_status nb_cifar_check(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, int32_t label_bytes,
                         int32_t classes, int32_t *count)
{
    const size_t record = (size_t)label_bytes + NB_CIFAR_PIXELS;
    if (len == 0 || len % record)
        return nb_fail(ctx, NB_E_FORMAT, "%s: %zu bytes: must be a multiple of %zu, the size of a record", name, len,
                       record);
    if (len / record > INT32_MAX)
        return nb_fail(ctx, NB_E_FORMAT, "%s: %zu records are too many", name, len / record);
    for (size_t i = 0; i < len / record; i++) {
        const uint8_t label = bytes[i * record + (size_t)label_bytes - 1];
        if (label >= classes)
            return nb_fail(ctx, NB_E_FORMAT, "%s: label %d of record %zu: must be 0..%d", name, label, i, classes - 1);
    }
    *count = (int32_t)(len / record);
    return NB_OK;
}

void nb_cifar_interleave(uint8_t *hwc, const uint8_t *planes)
{
    enum { AREA = NB_CIFAR_PIXELS / 3 };
    for (int32_t i = 0; i < AREA; i++) {
        hwc[3 * i] = planes[i];
        hwc[3 * i + 1] = planes[AREA + i];
        hwc[3 * i + 2] = planes[2 * AREA + i];
    }
}

nb_status nb_cifar_names(nb_ctx *ctx, const char *name, char *text, int32_t classes, const char **names)
{
    int32_t n = 0;
    for (char *p = text; *p;) {
        char *end = p + strcspn(p, "\r\n");
        char *next = *end ? end + 1 : end;
        *end = '\0';
        if (*p && n < classes)
            names[n] = p;
        n += *p != '\0';
        p = next;
    }
    if (n != classes)
        return nb_fail(ctx, NB_E_FORMAT, "%s: %d class names: must be %d, one a line", name, n, classes);
    return NB_OK;
}

typedef struct {
    const char *name;
    const char *train[MAX_FILES], *test, *names;
    int32_t n_train, label_bytes, classes;
    float mean[3], std[3]; /* of the official training images */
} variant;

static const variant cifar10 = {
    .name = "cifar10",
    .train = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
    .test = "test_batch.bin",
    .names = "batches.meta.txt",
    .n_train = 5,
    .label_bytes = 1,
    .classes = 10,
    .mean = {0.4914f, 0.4822f, 0.4465f},
    .std = {0.2470f, 0.2435f, 0.2616f}};
static const variant cifar100 = {.name = "cifar100",
                                 .train = {"train.bin"},
                                 .test = "test.bin",
                                 .names = "fine_label_names.txt",
                                 .n_train = 1,
                                 .label_bytes = 2,
                                 .classes = 100,
                                 .mean = {0.5071f, 0.4865f, 0.4409f},
                                 .std = {0.2673f, 0.2564f, 0.2762f}};

typedef struct {
    const variant *v;
    struct {
        uint8_t *bytes;
        int32_t first, count; /* images [first, first + count) */
    } file[MAX_FILES];
    int32_t n_files;
    uint8_t *names_text;
    const char *names[MAX_CLASSES];
} cifar_state;

static nb_status read_names(nb_ctx *ctx, cifar_state *s, const char *dir)
{
    char *where;
    size_t len;
    NB_TRY(nb_data_read(ctx, dir, s->v->names, max_names_bytes, &where, &s->names_text, &len));
    nb_status st = nb_cifar_names(ctx, where, (char *)s->names_text, s->v->classes, s->names);
    nb_free(ctx, where);
    return st;
}

static nb_status read_files(nb_ctx *ctx, cifar_state *s, const char *dir, const char *const *files, int32_t n,
                            nb_dsinfo *info)
{
    for (int32_t i = 0; i < n; i++) {
        char *where;
        size_t len;
        NB_TRY(nb_data_read(ctx, dir, files[i], max_file_bytes, &where, &s->file[i].bytes, &len));
        s->n_files = i + 1;
        s->file[i].first = info->count;
        nb_status st =
            nb_cifar_check(ctx, where, s->file[i].bytes, len, s->v->label_bytes, s->v->classes, &s->file[i].count);
        nb_free(ctx, where);
        NB_TRY(st);
        info->count += s->file[i].count; /* at most 5 * 2^30 / 3073 */
    }
    return NB_OK;
}

static bool describe(const variant *v, nb_dsinfo *info)
{
    info->h = info->w = NB_CIFAR_SIDE;
    info->c = 3;
    info->classes = v->classes;
    return true;
}

static bool cifar10_describe(const void *st, nb_dsinfo *info)
{
    (void)st;
    return describe(&cifar10, info);
}

static bool cifar100_describe(const void *st, nb_dsinfo *info)
{
    (void)st;
    return describe(&cifar100, info);
}

static nb_status cifar_open(nb_ctx *ctx, const variant *v, cifar_state *s, const char *path, const char *split,
                            nb_dsinfo *info)
{
    const bool train = strcmp(split, "train") == 0;
    s->v = v;
    char *dir;
    NB_TRY(nb_data_locate(ctx, v->name, path, train ? v->train[0] : v->test, &dir));
    nb_status st = read_names(ctx, s, dir);
    if (st == NB_OK)
        st = read_files(ctx, s, dir, train ? v->train : &v->test, train ? v->n_train : 1, info);
    nb_free(ctx, dir);
    describe(v, info);
    info->class_names = s->names;
    memcpy(info->mean, v->mean, sizeof v->mean);
    memcpy(info->std, v->std, sizeof v->std);
    info->bytes = (int64_t)info->count * NB_CIFAR_SIDE * NB_CIFAR_SIDE * info->c;
    return st;
}

static nb_status cifar10_open(nb_ctx *ctx, void *st, const char *path, const char *split, nb_dsinfo *info)
{
    return cifar_open(ctx, &cifar10, st, path, split, info);
}

static nb_status cifar100_open(nb_ctx *ctx, void *st, const char *path, const char *split, nb_dsinfo *info)
{
    return cifar_open(ctx, &cifar100, st, path, split, info);
}

static void cifar_get(const void *st, int32_t index, uint8_t *hwc, int32_t *label)
{
    const cifar_state *s = st;
    int32_t f = 0;
    while (index >= s->file[f].first + s->file[f].count)
        f++;
    const size_t record = (size_t)s->v->label_bytes + NB_CIFAR_PIXELS;
    const uint8_t *pixels = s->file[f].bytes + (size_t)(index - s->file[f].first) * record + s->v->label_bytes;
    nb_cifar_interleave(hwc, pixels);
    *label = pixels[-1];
}

static void cifar_close(nb_ctx *ctx, void *st)
{
    cifar_state *s = st;
    for (int32_t i = 0; i < s->n_files; i++)
        nb_free(ctx, s->file[i].bytes);
    nb_free(ctx, s->names_text);
}

const nb_dataset nb_dataset_cifar10 = {.name = "cifar10",
                                       .help = "50,000 + 10,000 colour photographs, 32x32, 10 classes (binary version)",
                                       .attr_size = sizeof(cifar_state),
                                       .open = cifar10_open,
                                       .get = cifar_get,
                                       .close = cifar_close,
                                       .describe = cifar10_describe};
const nb_dataset nb_dataset_cifar100 = {.name = "cifar100",
                                        .help =
                                            "50,000 + 10,000 colour photographs, 32x32, 100 classes (binary version)",
                                        .attr_size = sizeof(cifar_state),
                                        .open = cifar100_open,
                                        .get = cifar_get,
                                        .close = cifar_close,
                                        .describe = cifar100_describe};
