/* format_minifloat.c - small floating-point numbers: a sign, E exponent and M mantissa bits, subnormals, a scale.
 *
 * With bias 2^(E-1) - 1 a code is (1 + m / 2^M) * 2^(e - bias), or m / 2^M * 2^(1 - bias) where e is 0. Values go to the
 * nearest, of two to the one whose last bit is 0; what is too large becomes the largest (OCP 8-bit floating point
 * specification and OCP microscaling formats, 2023: saturating). Scales are free, so levels are told in steps of the
 * largest numbers, and its range's end goes to the largest: E4M3's 448 is level 14, 32 times as small.
 *
 * `top` is what the last codes are. Of E4M3 the last is NaN (largest 448), of E5M2 all with the last exponent are
 * infinities and NaN, as of IEEE's (57344); FP6 and FP4 have numbers only (28 and 7.5, 6). Where the smallest step goes
 * into the largest number 127 times at most, weights are integers: FP4, FP6 E2M3 (a tie of these goes to the smaller, as
 * of all levels). The others are simulated, and so are activations. */
#include <nibble/extend/quant.h>

#include <math.h>

typedef enum { TOP_FINITE, TOP_NAN, TOP_IEEE } top_codes;

typedef struct {
    int32_t exponent, mantissa, top;
} minifloat_attr;

static const nb_key minifloat_keys[] = {
    NB_KEY_INT(minifloat_attr, exponent, "4", 2, 7, "bits of the exponent"),
    NB_KEY_INT(minifloat_attr, mantissa, "3", 0, 5, "bits of the mantissa; with exponent and sign 8 at most"),
    NB_KEY_ENUM(
        minifloat_attr, top, "finite", "finite|nan|ieee",
        "what the last codes are: numbers; the very last NaN (FP8 E4M3); all of the last exponent infinities and "
        "NaN (FP8 E5M2)"),
    {0}};

/* Numbers >= 0 that there are. */
static int32_t count_of(const minifloat_attr *a)
{
    const int32_t codes = 1 << (a->exponent + a->mantissa);
    return a->top == TOP_FINITE ? codes : a->top == TOP_NAN ? codes - 1 : codes - (1 << a->mantissa);
}

/* The number of a code without its sign. */
static double number(const minifloat_attr *a, int32_t code)
{
    const int32_t e = code >> a->mantissa, m = code - (e << a->mantissa), bias = (1 << (a->exponent - 1)) - 1;
    const int32_t whole = e > 0 ? (1 << a->mantissa) + m : m;
    return ldexp(whole, (e > 0 ? e : 1) - bias - a->mantissa);
}

static int32_t width_of(const void *attr)
{
    const minifloat_attr *a = attr;
    return 1 + a->exponent + a->mantissa;
}

static const char *minifloat_fault(const void *attr)
{
    return width_of(attr) > 8 ? "sign, exponent and mantissa are more than 8 bits" : NULL;
}

static int32_t reals_of(const void *attr, int32_t bits, float *level)
{
    const minifloat_attr *a = attr;
    (void)bits;
    const int32_t n = count_of(a);
    const double step = number(a, n - 1) - number(a, n - 2);
    for (int32_t i = 0; i < n; i++) {
        level[n - 1 + i] = (float)(number(a, i) / step);
        level[n - 1 - i] = -level[n - 1 + i];
    }
    level[n - 1] = 0.0f;
    return 2 * n - 1;
}

static int32_t levels_of(const void *attr, int32_t bits, int8_t *level)
{
    const minifloat_attr *a = attr;
    (void)bits;
    const int32_t n = count_of(a);
    if (number(a, n - 1) > 127 * number(a, 1))
        return 0;
    for (int32_t i = 0; i < n; i++) {
        level[n - 1 + i] = (int8_t)(number(a, i) / number(a, 1));
        level[n - 1 - i] = (int8_t)-level[n - 1 + i];
    }
    return 2 * n - 1;
}

const nb_format nb_format_minifloat = {
    .name = "minifloat",
    .help = "floating-point numbers of 3 to 8 bits by exponent and mantissa; simulated unless they fit -127..127",
    .keys = minifloat_keys,
    .attr_size = sizeof(minifloat_attr),
    .fault = minifloat_fault,
    .levels = levels_of,
    .reals = reals_of,
    .width = width_of};

/* ---- those with a name: no keys, and the attributes are these ---- */

static const minifloat_attr e2m1 = {2, 1, TOP_FINITE}, e2m3 = {2, 3, TOP_FINITE}, e3m2 = {3, 2, TOP_FINITE};
static const minifloat_attr e4m3 = {4, 3, TOP_NAN}, e5m2 = {5, 2, TOP_IEEE};

const nb_format nb_format_fp4 = {
    .name = "fp4",
    .help = "minifloat E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives; weights are integers",
    .attr = &e2m1,
    .levels = levels_of,
    .reals = reals_of,
    .width = width_of};
const nb_format nb_format_fp6_e2m3 = {.name = "fp6_e2m3",
                                      .help = "minifloat E2M3, up to 7.5; weights are integers",
                                      .attr = &e2m3,
                                      .levels = levels_of,
                                      .reals = reals_of,
                                      .width = width_of};
const nb_format nb_format_fp6_e3m2 = {.name = "fp6_e3m2",
                                      .help = "minifloat E3M2, up to 28; simulated",
                                      .attr = &e3m2,
                                      .levels = levels_of,
                                      .reals = reals_of,
                                      .width = width_of};
const nb_format nb_format_fp8_e4m3 = {.name = "fp8_e4m3",
                                      .help = "minifloat E4M3 without infinities, up to 448; simulated",
                                      .attr = &e4m3,
                                      .levels = levels_of,
                                      .reals = reals_of,
                                      .width = width_of};
const nb_format nb_format_fp8_e5m2 = {.name = "fp8_e5m2",
                                      .help = "minifloat E5M2, up to 57344; simulated",
                                      .attr = &e5m2,
                                      .levels = levels_of,
                                      .reals = reals_of,
                                      .width = width_of};
