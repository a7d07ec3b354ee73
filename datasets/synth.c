/* synth.c - procedural images that can be learned: for tests, demonstrations and timing, in any size.
 *
 * A class is a direction and a spacing of stripes (and with three channels a tint); an image adds its own shift of the
 * stripes, its own contrast and brightness, and noise. The shift spans three quarters of a period, so that class means
 * differ and a linear classifier does better than chance, but not well: what tells the classes apart is the texture,
 * which convolution sees. With more than 64 classes a texture is up to three sets
 * of narrow stripes, each at half the strength of the one before. Every
 * image is a pure function of (seed, split, index) in integer arithmetic, the same bytes
 * everywhere. */
#include <nibble/extend/dataset_loader.h>

#include <string.h>

#include "base/check.h"
#include "base/rng.h"

enum { STRIPES = 64, NARROW = 20, MAX_CLASSES = NARROW * NARROW * NARROW, DIRECTIONS = 5, SIDE_MAX = 512 };

typedef struct {
    int32_t height, width, channels, classes, count, test_count, noise; /* keys */
    uint64_t seed;
    uint64_t stream;                          /* of the split */
    int32_t n;                                /* images of the split */
    int32_t step_x[STRIPES], step_y[STRIPES]; /* phase a pixel advances; 2^32 is a period */
} synth_state;

/* cos and sin of k * 22.5 degrees, times 2^14; only a quarter turn, so that no class is the mirror image of another and
 * flipping is harmless */
static const int32_t direction[DIRECTIONS][2] = {{16384, 0}, {15137, 6270}, {11585, 11585}, {6270, 15137}, {0, 16384}};

static nb_status synth_open(nb_ctx *ctx, void *st, const char *path, const char *split, nb_dsinfo *info)
{
    synth_state *s = st;
    (void)ctx;
    (void)path;
    const bool train = strcmp(split, "train") == 0;
    s->n = train ? s->count : s->test_count;
    s->stream = nb_mix(s->seed, train ? 1 : 2);
    for (int32_t k = 0; k < STRIPES; k++) {
        /* a period is 4 pixels, and 1.5 times as long for each further round of directions */
        int64_t step = (int64_t)1 << 30;
        for (int32_t round = k / DIRECTIONS; round > 0; round--)
            step = step * 2 / 3;
        s->step_x[k] = (int32_t)(step * direction[k % DIRECTIONS][0] / 16384);
        s->step_y[k] = (int32_t)(step * direction[k % DIRECTIONS][1] / 16384);
    }
    info->count = s->n;
    info->h = s->height;
    info->w = s->width;
    info->c = s->channels;
    info->classes = s->classes;
    info->streams = true;
    for (int32_t c = 0; c < s->channels; c++) {
        info->mean[c] = 0.5f;
        info->std[c] = 0.25f;
    }
    return NB_OK;
}

/* A triangle wave of the phase, -64..64. */
static int32_t wave(uint32_t phase)
{
    const int32_t p = (int32_t)(phase >> 24);
    return (p < 128 ? p : 256 - p) - 64;
}

/* Of one set of stripes at a pixel. */
static int32_t stripes(const synth_state *s, int32_t set, uint32_t phase, int32_t y, int32_t x)
{
    return wave(phase + (uint32_t)y * (uint32_t)s->step_y[set] + (uint32_t)x * (uint32_t)s->step_x[set]);
}

/* -64..64; a digit of 0 behind the first is no set. */
static int32_t texture(const synth_state *s, int32_t k, uint32_t phase, int32_t y, int32_t x)
{
    if (s->classes <= STRIPES)
        return stripes(s, k, phase, y, x);
    const int32_t second = k / NARROW % NARROW, third = k / NARROW / NARROW;
    int32_t sum = 4 * stripes(s, k % NARROW, phase, y, x), weight = 4;
    if (second) {
        sum += 2 * stripes(s, second, phase * 5 + 1, y, x);
        weight += 2;
    }
    if (third) {
        sum += stripes(s, third, phase * 9 + 2, y, x);
        weight++;
    }
    return sum / weight;
}

static void synth_get(const void *st, int32_t index, uint8_t *hwc, int32_t *label)
{
    const synth_state *s = st;
    nb_rng r = nb_rng_make(s->stream, (uint64_t)index);
    const int32_t k = index % s->classes;
    const uint32_t phase = (uint32_t)((uint64_t)nb_rng_u32(&r) * 3 / 4);
    const int32_t contrast = 64 + (int32_t)nb_rng_below(&r, 65), brightness = 96 + (int32_t)nb_rng_below(&r, 65);
    uint32_t noise = 0;
    int64_t at = 0;
    for (int32_t y = 0; y < s->height; y++)
        for (int32_t x = 0; x < s->width; x++) {
            const int32_t level = texture(s, k, phase, y, x) * contrast / 128;
            for (int32_t c = 0; c < s->channels; c++, at++) {
                noise = at % 4 ? noise >> 8 : nb_rng_u32(&r);
                const int32_t grain = ((int32_t)(noise & 255) - 128) * s->noise / 128;
                const int32_t tint = s->channels > 1 ? ((k + c) % 3 - 1) * 8 : 0;
                const int32_t v = brightness + tint + level + grain;
                hwc[at] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
            }
        }
    *label = k;
}

static void synth_close(nb_ctx *ctx, void *st)
{
    (void)ctx;
    (void)st;
}

static const nb_key synth_keys[] = {
    NB_KEY_INT(synth_state, height, "16", 1, SIDE_MAX, "height in pixels"),
    NB_KEY_INT(synth_state, width, "16", 1, SIDE_MAX, "width in pixels"),
    NB_KEY_INT(synth_state, channels, "1", 1, NB_MAX_CHANNELS, "of an image"),
    NB_KEY_INT(synth_state, classes, "10", 1, MAX_CLASSES,
               "number of classes: stripes in five directions, every five classes wider (many of up to 64 need "
               "large images); with more than 64 up to three sets of narrow ones"),
    NB_KEY_INT(synth_state, count, "2000", 1, 100000000, "training images"),
    NB_KEY_INT(synth_state, test_count, "500", 1, 100000000, "test images"),
    NB_KEY_INT(synth_state, noise, "48", 0, 255, "largest noise, in grey levels"),
    NB_KEY_UINT64(synth_state, seed, "1", "another seed is another draw of the same classes"),
    {0}};

const nb_dataset nb_dataset_synth = {.name = "synth",
                                     .help = "procedural stripes in noise: learnable, any size, no files",
                                     .keys = synth_keys,
                                     .attr_size = sizeof(synth_state),
                                     .open = synth_open,
                                     .get = synth_get,
                                     .close = synth_close};
