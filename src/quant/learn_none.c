/* learn_none.c - scales are what the range says; the gradient of a value passes where it is inside the grid. */
#include <nibble/extend/quant.h>

const nb_learning nb_learning_none = {.name = "none", .help = "scales follow the range, nothing is trained"};
