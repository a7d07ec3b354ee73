/* format_pow2.c - every integer of the grid, with scales that are powers of two (dynamic fixed point): one exponent per
 * layer or channel. With folded batch norms all multipliers are powers of two as well: a rescale is a shift.
 *
 * The scale is the next power of two that is not below the wanted one, so that the range is covered. */
#include <nibble/extend/quant.h>

static float pow2_scale(const void *attr, float wanted)
{
    (void)attr;
    return nb_power_of_two(wanted);
}

const nb_format nb_format_pow2 = {
    .name = "pow2", .help = "codes of equal distance, scales are powers of two", .scale = pow2_scale};
