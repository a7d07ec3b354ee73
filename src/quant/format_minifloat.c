/* format_minifloat.c - floating point of few bits: a sign, `exponent` and `mantissa` bits, and a scale for each channel.
 *
 * In units of the smallest subnormal number a size is m for exponent 0 and (2^mantissa + m) * 2^(e - 1) for e > 0, m its
 * mantissa bits; no code is an infinity or a NaN. Where the largest, (2^(mantissa + 1) - 1) * 2^(2^exponent - 2), is at most
 * 127 these are levels: E2M1 (fp4: 0, 0.5, 1, 1.5, 2, 3, 4, 6 times 2), E2M3 (fp6) and all that have an exponent of one bit,
 * which is subnormal and one more binade, hence uniform. */
#include <nibble/extend/quant.h>

typedef struct {
    int32_t exponent, mantissa;
} minifloat_attr;

static const nb_key minifloat_keys[] = {NB_KEY_INT(minifloat_attr, exponent, "2", 1, 5, "bits of the exponent"),
                                        NB_KEY_INT(minifloat_attr, mantissa, "1", 0, 6,
                                                   "bits of the mantissa; 1 + exponent + mantissa are the code's bits"),
                                        {0}};

/* Size of the code with these bits, in units of the smallest. */
static int64_t size_of(const minifloat_attr *a, int32_t code)
{
    const int32_t e = code >> a->mantissa, m = code & ((1 << a->mantissa) - 1);
    return e == 0 ? m : (int64_t)((1 << a->mantissa) + m) << (e - 1);
}

static int32_t minifloat_levels(const void *attr, int32_t bits, int8_t *level)
{
    const minifloat_attr *a = attr;
    const int32_t sizes = 1 << (bits - 1);
    for (int32_t i = 0; i < sizes; i++) {
        const int32_t size = (int32_t)size_of(a, i);
        level[sizes - 1 + i] = (int8_t)size;
        level[sizes - 1 - i] = (int8_t)-size;
    }
    return 2 * sizes - 1;
}

static int32_t minifloat_width(const void *attr)
{
    const minifloat_attr *a = attr;
    return 1 + a->exponent + a->mantissa;
}

static const char *minifloat_fault(const void *attr)
{
    const minifloat_attr *a = attr;
    if (minifloat_width(a) <= 8 && size_of(a, (1 << (a->exponent + a->mantissa)) - 1) <= 127)
        return NULL;
    return "its largest number is more than 127 times its smallest, or it has more than 8 bits: what fits is exponent "
           "1 with "
           "mantissa up to 6, 2 with up to 4, and 3 with 0";
}

const nb_format nb_format_minifloat = {.name = "minifloat",
                                       .help = "weights in floating point of 1 + exponent + mantissa bits, any scale",
                                       .keys = minifloat_keys,
                                       .attr_size = sizeof(minifloat_attr),
                                       .weights_only = true,
                                       .levels = minifloat_levels,
                                       .width = minifloat_width,
                                       .fault = minifloat_fault};

/* ---- by name ---- */

static const minifloat_attr e2m1 = {2, 1};

static int32_t fp4_levels(const void *attr, int32_t bits, int8_t *level)
{
    (void)attr;
    return minifloat_levels(&e2m1, bits, level);
}

static int32_t fp4_width(const void *attr)
{
    (void)attr;
    return minifloat_width(&e2m1);
}

const nb_format nb_format_fp4 = {
    .name = "fp4",
    .help = "weights in floating point of 4 bits, E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 times a scale",
    .weights_only = true,
    .levels = fp4_levels,
    .width = fp4_width};

typedef struct {
    int32_t variant;
} fp6_attr;

static const minifloat_attr fp6_variants[] = {{2, 3}, {3, 2}};
static const nb_key fp6_keys[] = {NB_KEY_ENUM(fp6_attr, variant, "e2m3", "e2m3|e3m2",
                                              "bits of exponent and mantissa; e3m2 does not fit 8-bit integers"),
                                  {0}};

static int32_t fp6_levels(const void *attr, int32_t bits, int8_t *level)
{
    return minifloat_levels(&fp6_variants[((const fp6_attr *)attr)->variant], bits, level);
}

static int32_t fp6_width(const void *attr)
{
    return minifloat_width(&fp6_variants[((const fp6_attr *)attr)->variant]);
}

static const char *fp6_fault(const void *attr)
{
    return minifloat_fault(&fp6_variants[((const fp6_attr *)attr)->variant]);
}

const nb_format nb_format_fp6 = {.name = "fp6",
                                 .help = "weights in floating point of 6 bits, any scale",
                                 .keys = fp6_keys,
                                 .attr_size = sizeof(fp6_attr),
                                 .weights_only = true,
                                 .levels = fp6_levels,
                                 .width = fp6_width,
                                 .fault = fp6_fault};
