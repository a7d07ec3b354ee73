/* idx.c - the MNIST family: fashion-mnist, mnist, and idx for any other pair of IDX files.
 *
 * A split is two files, held whole in memory as they are: images in HWC order, one label byte each. open() proves that
 * the sizes fit and every label is in range. The known sets carry their published mean and deviation; idx computes them
 * over its training images, also when the test split is opened, because normalisation belongs to the model. */
#include "idx.h"
#include "locate.h"
#include "stats.h"

#include <string.h>

#include "base/check.h"

enum { MAX_SIDE = 1 << 14 };
static const size_t max_image_bytes = (size_t)1 << 31, max_label_bytes = (size_t)1 << 26;

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Reads the header: sizes after a magic number that says how many: 1 for labels, 3 or 4 for images. */
static nb_status header(nb_ctx *ctx, const char *name, const uint8_t *b, size_t len, int32_t max_dim, uint32_t dim[4])
{
    const bool images = max_dim > 1;
    if (len < 4)
        return nb_fail(ctx, NB_E_FORMAT, "%s: %zu bytes are too few for an IDX header", name, len);
    const uint32_t magic = big_endian(b);
    const uint32_t lo = images ? 0x803 : 0x801, hi = images ? 0x804 : 0x801;
    if (magic < lo || magic > hi)
        return nb_fail(ctx, NB_E_FORMAT, "%s: magic number 0x%08x: must be 0x%08x (%s of unsigned bytes)", name,
                       (unsigned)magic, (unsigned)lo, images ? "images" : "labels");
    const uint32_t ndim = magic & 0xff;
    if (len < 4 + 4 * (size_t)ndim)
        return nb_fail(ctx, NB_E_FORMAT, "%s: %zu bytes are too few for an IDX header with %u sizes", name, len,
                       (unsigned)ndim);
    for (uint32_t i = 0; i < 4; i++)
        dim[i] = i < ndim ? big_endian(b + 4 + 4 * i) : 1;
    return NB_OK;
}

static nb_status parse(nb_ctx *ctx, const char *name, const uint8_t *b, size_t len, int32_t max_dim, nb_idx *out)
{
    uint32_t dim[4] = {0};
    NB_TRY(header(ctx, name, b, len, max_dim, dim));
    if (dim[0] == 0 || dim[0] > INT32_MAX)
        return nb_fail(ctx, NB_E_FORMAT, "%s: header: %u entries: must be 1..%d", name, (unsigned)dim[0], INT32_MAX);
    if (dim[1] - 1 >= MAX_SIDE || dim[2] - 1 >= MAX_SIDE || dim[3] - 1 >= NB_MAX_CHANNELS)
        return nb_fail(ctx, NB_E_FORMAT,
                       "%s: header: images of %ux%ux%u: must be 1..%d high and wide with 1..%d channels", name,
                       (unsigned)dim[1], (unsigned)dim[2], (unsigned)dim[3], MAX_SIDE, NB_MAX_CHANNELS);
    const size_t at = 4 + 4 * (size_t)(b[3]), each = (size_t)dim[1] * dim[2] * dim[3], have = len - at;
    if (have % each || have / each != dim[0])
        return nb_fail(ctx, NB_E_FORMAT, "%s: header promises %u entries of %zu bytes, but %zu bytes follow it", name,
                       (unsigned)dim[0], each, have);
    *out = (nb_idx){(int32_t)dim[0], (int32_t)dim[1], (int32_t)dim[2], (int32_t)dim[3], b + at};
    return NB_OK;
}

nb_status nb_idx_images(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_idx *out)
{
    return parse(ctx, name, bytes, len, 4, out);
}

nb_status nb_idx_labels(nb_ctx *ctx, const char *name, const uint8_t *bytes, size_t len, nb_idx *out)
{
    return parse(ctx, name, bytes, len, 1, out);
}

typedef struct {
    const char *train_images, *train_labels, *test_images, *test_labels; /* keys of idx; constants for the known sets */
    int32_t classes;
    uint8_t *image_file, *label_file;
    nb_idx images, labels;
} idx_state;

static nb_status read_images(nb_ctx *ctx, const char *dir, const char *file, char **where, uint8_t **bytes, nb_idx *out)
{
    size_t len;
    NB_TRY(nb_data_read(ctx, dir, file, max_image_bytes, where, bytes, &len));
    return nb_idx_images(ctx, *where, *bytes, len, out);
}

static nb_status check_labels(nb_ctx *ctx, const idx_state *s, const char *images, const char *labels)
{
    if (s->images.count != s->labels.count)
        return nb_fail(ctx, NB_E_FORMAT, "%s: %d labels, but %s holds %d images", labels, s->labels.count, images,
                       s->images.count);
    for (int32_t i = 0; i < s->labels.count; i++)
        if (s->labels.data[i] >= s->classes)
            return nb_fail(ctx, NB_E_FORMAT, "%s: label %d of entry %d: must be 0..%d", labels, s->labels.data[i], i,
                           s->classes - 1);
    return NB_OK;
}

static nb_status read_split(nb_ctx *ctx, idx_state *s, const char *dir, const char *split)
{
    const bool train = strcmp(split, "train") == 0;
    char *images = NULL, *labels = NULL;
    size_t len;
    nb_status st = read_images(ctx, dir, train ? s->train_images : s->test_images, &images, &s->image_file, &s->images);
    if (st == NB_OK)
        st = nb_data_read(ctx, dir, train ? s->train_labels : s->test_labels, max_label_bytes, &labels, &s->label_file,
                          &len);
    if (st == NB_OK)
        st = nb_idx_labels(ctx, labels, s->label_file, len, &s->labels);
    if (st == NB_OK)
        st = check_labels(ctx, s, images, labels);
    nb_free(ctx, images);
    nb_free(ctx, labels);
    return st;
}

static void fill_info(const idx_state *s, nb_dsinfo *info)
{
    info->count = s->images.count;
    info->h = s->images.h;
    info->w = s->images.w;
    info->c = s->images.c;
    info->classes = s->classes;
}

/* idx: files as named, relative to data.path when there is one. */
static nb_status idx_open(nb_ctx *ctx, void *st, const char *path, const char *split, nb_dsinfo *info)
{
    idx_state *s = st;
    NB_TRY(read_split(ctx, s, path, split));
    fill_info(s, info);
    nb_idx train = s->images;
    uint8_t *bytes = NULL;
    char *where = NULL;
    nb_status status = NB_OK;
    if (strcmp(split, "train") != 0)
        status = read_images(ctx, path, s->train_images, &where, &bytes, &train);
    if (status == NB_OK && (train.h != s->images.h || train.w != s->images.w || train.c != s->images.c))
        status =
            nb_fail(ctx, NB_E_FORMAT, "%s: images of %dx%dx%d, but the test images have %dx%dx%d",
                    where ? where : s->train_images, train.h, train.w, train.c, s->images.h, s->images.w, s->images.c);
    if (status == NB_OK) {
        nb_pixel_stats sums = {0};
        nb_pixel_stats_add(&sums, train.data, (int64_t)train.count * train.h * train.w, train.c);
        nb_pixel_stats_finish(&sums, train.c, info->mean, info->std);
    }
    nb_free(ctx, bytes);
    nb_free(ctx, where);
    return status;
}

/* A set of ten classes of grey images under its published file names. */
static nb_status known_open(nb_ctx *ctx, idx_state *s, const char *name, const char *path, const char *split,
                            nb_dsinfo *info)
{
    s->train_images = "train-images-idx3-ubyte";
    s->train_labels = "train-labels-idx1-ubyte";
    s->test_images = "t10k-images-idx3-ubyte";
    s->test_labels = "t10k-labels-idx1-ubyte";
    s->classes = 10;
    char *dir;
    NB_TRY(nb_data_locate(ctx, name, path, s->train_images, &dir));
    nb_status st = read_split(ctx, s, dir, split);
    if (st == NB_OK && s->images.c != 1)
        st = nb_fail(ctx, NB_E_FORMAT, "%s: %s has images with %d channels: must be 1", dir, name, s->images.c);
    nb_free(ctx, dir);
    if (st == NB_OK)
        fill_info(s, info);
    return st;
}

static const char *const fashion_names[] = {"T-shirt/top", "trouser", "pullover", "dress", "coat",
                                            "sandal",      "shirt",   "sneaker",  "bag",   "ankle boot"};
static const char *const digit_names[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};

static nb_status fashion_open(nb_ctx *ctx, void *st, const char *path, const char *split, nb_dsinfo *info)
{
    info->mean[0] = 0.2860f; /* of the 60,000 training images */
    info->std[0] = 0.3530f;
    info->class_names = fashion_names;
    return known_open(ctx, st, "fashion-mnist", path, split, info);
}

static nb_status mnist_open(nb_ctx *ctx, void *st, const char *path, const char *split, nb_dsinfo *info)
{
    info->mean[0] = 0.1307f;
    info->std[0] = 0.3081f;
    info->class_names = digit_names;
    return known_open(ctx, st, "mnist", path, split, info);
}

static void idx_get(const void *st, int32_t index, uint8_t *hwc, int32_t *label)
{
    const idx_state *s = st;
    const size_t each = (size_t)s->images.h * (size_t)s->images.w * (size_t)s->images.c;
    memcpy(hwc, s->images.data + (size_t)index * each, each);
    *label = s->labels.data[index];
}

static void idx_close(nb_ctx *ctx, void *st)
{
    idx_state *s = st;
    nb_free(ctx, s->image_file);
    nb_free(ctx, s->label_file);
}

static const nb_key idx_keys[] = {
    NB_KEY_STRING(idx_state, train_images, "train-images-idx3-ubyte",
                  "IDX file of training images, .gz or not, relative to data.path"),
    NB_KEY_STRING(idx_state, train_labels, "train-labels-idx1-ubyte", "IDX file of training labels"),
    NB_KEY_STRING(idx_state, test_images, "t10k-images-idx3-ubyte", "IDX file of test images"),
    NB_KEY_STRING(idx_state, test_labels, "t10k-labels-idx1-ubyte", "IDX file of test labels"),
    NB_KEY_INT(idx_state, classes, "10", 1, 256, "number of classes; labels are 0..classes-1"),
    {0}};

const nb_dataset nb_dataset_fashion_mnist = {.name = "fashion-mnist",
                                             .help = "60,000 + 10,000 grey images of clothes, 28x28, 10 classes",
                                             .attr_size = sizeof(idx_state),
                                             .open = fashion_open,
                                             .get = idx_get,
                                             .close = idx_close};
const nb_dataset nb_dataset_mnist = {.name = "mnist",
                                     .help = "60,000 + 10,000 grey images of digits, 28x28, 10 classes",
                                     .attr_size = sizeof(idx_state),
                                     .open = mnist_open,
                                     .get = idx_get,
                                     .close = idx_close};
const nb_dataset nb_dataset_idx = {.name = "idx",
                                   .help = "any images and labels in IDX files (the container of MNIST)",
                                   .keys = idx_keys,
                                   .attr_size = sizeof(idx_state),
                                   .open = idx_open,
                                   .get = idx_get,
                                   .close = idx_close};
