/* format_fixed.c - fixed point: codes of equal distance and one power of two as the scale of all weights, or of all activations,
 * that the section's rule is for. (pow2 is dynamic fixed point: an exponent for each layer, or channel.)
 *
 * `exponent: auto` is the smallest at which the range of every one of them is covered: the largest that one needs, as their
 * states are at the moment. A number is taken as it is, and what lies beyond the grid is cut off: of an asymmetric grid the
 * same share at both ends. */
#include <nibble/extend/quant.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 40 };

typedef struct {
    const char *exponent;
} fixed_attr;

static const nb_key fixed_keys[] = {
    NB_KEY_STRING(fixed_attr, exponent, "auto", "the scale is 2^exponent: a whole number -40..40, or auto"), {0}};

static bool number(const char *text, long *out)
{
    char *end;
    *out = strtol(text, &end, 10);
    return end != text && !*end && *out >= -MOST && *out <= MOST;
}

static const char *fixed_fault(const void *attr)
{
    long exponent;
    const char *text = ((const fixed_attr *)attr)->exponent;
    return strcmp(text, "auto") == 0 || number(text, &exponent) ? NULL
                                                                : "exponent must be auto or a whole number -40..40";
}

static float fixed_scale(const void *attr, float wanted)
{
    long given;
    if (number(((const fixed_attr *)attr)->exponent, &given))
        return ldexpf(1.0f, (int)given);
    return nb_power_of_two(wanted);
}

const nb_format nb_format_fixed = {.name = "fixed",
                                   .help =
                                       "codes of equal distance, one power of two as the scale of all (fixed point)",
                                   .keys = fixed_keys,
                                   .attr_size = sizeof(fixed_attr),
                                   .scale = fixed_scale,
                                   .fault = fixed_fault,
                                   .one_scale = true};
