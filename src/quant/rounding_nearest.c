/* rounding_nearest.c - to the nearest code, of two to the even one: what every kernel does, and all that integers do. */
#include <nibble/extend/quant.h>

const nb_rounding nb_rounding_nearest = {.name = "nearest", .help = "the nearest code, ties to even"};
