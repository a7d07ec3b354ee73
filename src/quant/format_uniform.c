/* format_uniform.c - every integer of the grid, with any scale. */
#include <nibble/extend/quant.h>

const nb_format nb_format_uniform = {.name = "uniform", .help = "codes of equal distance, any scale"};
